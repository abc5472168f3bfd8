//! What happens to one request of spans, from its bytes to the answer.

use std::sync::Arc;
use std::time::Duration;

use ao_common::clock::now_ns;
use ao_proto::limits::{MAX_SEALED_BYTES, MAX_SPANS_DECODED_BYTES};
use ao_proto::spans;
use bytes::Bytes;
use futures_util::future::try_join_all;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tonic::{Request, Response, Status};

use super::identify;
use super::metrics::{Metrics, Outcome};
use super::split::{self, Part};
use crate::context::Context;
use crate::event::{Event, SpanChunk};

/// The ledger's source.
const SOURCE: &str = "otlp";

/// Largest part that is handed on. The batcher closes a frame at the same size, and the wire takes four times as much.
pub(super) const PART_BYTES: usize = 1 << 20;
const _: () = assert!(PART_BYTES * 2 < MAX_SEALED_BYTES);

/// What a request may take in memory once decoded. Naming the node in each resource may nearly double it, and then it
/// must still be within what a frame may have.
const DECODED_BYTES: usize = MAX_SPANS_DECODED_BYTES / 2;

/// Requests that are decoded at one time: in memory they are several times as large.
const DECODED_AT_ONCE: usize = 2;

/// One of `max_requests`, held by the request from before its body is read until its spans are handed on.
#[derive(Clone)]
pub(super) struct Permit {
    _held: Arc<OwnedSemaphorePermit>,
}

impl Permit {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self { _held: Arc::new(permit) }
    }
}

pub(super) struct Receiver {
    ctx: Context,
    deadline: Duration,
    metrics: Metrics,
    decoding: Semaphore,
}

/// The batcher or the spool has stopped, or the spool could not write.
struct Gone;

impl Receiver {
    pub(super) fn new(ctx: Context, deadline: Duration, metrics: Metrics) -> Self {
        Self { ctx, deadline, metrics, decoding: Semaphore::new(DECODED_AT_ONCE) }
    }

    /// Answers once the spool has all of the request's spans.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for what will never be taken, UNAVAILABLE for what is to be sent again.
    pub(super) async fn export(
        &self,
        mut request: Request<Bytes>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let permit = request.extensions_mut().remove::<Permit>();
        let split = self.read(request.into_inner()).await?;
        let spans: u64 = split.parts.iter().map(|part| part.spans).sum();
        let stored = async {
            let handed = self.hand_on(split.parts).await?;
            drop(permit);
            try_join_all(handed).await.map_err(|_| Gone)
        };
        match tokio::time::timeout(self.deadline, stored).await {
            Ok(Ok(_)) => {}
            Ok(Err(Gone)) => {
                self.metrics.request(Outcome::Unavailable);
                return Err(Status::unavailable("the agent cannot store spans now; send them again"));
            }
            Err(_) => {
                self.metrics.request(Outcome::Unavailable);
                let text =
                    format!("the agent did not store the spans within {:?}; send them again", self.deadline);
                return Err(Status::unavailable(text));
            }
        }
        self.metrics.request(Outcome::Stored);
        self.metrics.spans(spans, split.refused);
        Ok(Response::new(answer(split.refused)))
    }

    /// Weighs, decodes and cuts; none of it waits, so that what is decoded is in memory a few times at most.
    async fn read(&self, raw: Bytes) -> Result<split::Split, Status> {
        let malformed = |error: &dyn std::fmt::Display| {
            self.metrics.request(Outcome::Refused);
            Status::invalid_argument(format!("the request is not taken: {error}"))
        };
        // Never closed.
        let _turn = self.decoding.acquire().await;
        spans::check(&raw, DECODED_BYTES).map_err(|error| malformed(&error))?;
        let mut request = ExportTraceServiceRequest::decode(raw).map_err(|error| malformed(&error))?;
        identify::identify(&mut request, &self.ctx.node);
        Ok(split::split(request, PART_BYTES, now_ns()))
    }

    async fn hand_on(&self, parts: Vec<Part>) -> Result<Vec<oneshot::Receiver<()>>, Gone> {
        let mut handed = Vec::with_capacity(parts.len());
        for Part { request, spans, times_ns } in parts {
            let (stored, resolved) = oneshot::channel();
            let request = Bytes::from(request);
            let chunk = SpanChunk { source: SOURCE, spans, times_ns, request, stored: Some(stored) };
            self.ctx.events.send(Event::Spans(chunk)).await.map_err(|_| Gone)?;
            handed.push(resolved);
        }
        Ok(handed)
    }
}

fn answer(refused: u64) -> ExportTraceServiceResponse {
    let partial_success = (refused > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: i64::try_from(refused).unwrap_or(i64::MAX),
        error_message: format!(
            "{refused} spans are too large: with its resource a span may have {PART_BYTES} bytes"
        ),
    });
    ExportTraceServiceResponse { partial_success }
}
