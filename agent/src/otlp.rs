//! Spans from the node's applications: an OTLP receiver over gRPC, where an application would have a local collector.
//!
//! ```text
//! client -> permit -> decode -> identify (whose node) -> split (1 MiB) -> batcher -> spool
//!    ^------------------------ answer, once the spool has fsynced all parts --------------'
//! ```
//!
//! What is answered with success is on the disk of this node. What cannot be stored in time is answered with
//! UNAVAILABLE, which tells the client to keep it and to try again (OTLP specification, "Failures", retryable codes).

pub(crate) mod fuzzing;
mod identify;
mod metrics;
mod split;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ao_common::admin::{self, BindError, SharedRegistry};
use ao_common::clock::now_ns;
use ao_common::units::{Size, Span};
use ao_proto::limits::MAX_SEALED_BYTES;
use bytes::Bytes;
use futures_util::future::try_join_all;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codec::CompressionEncoding;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::context::Context;
use crate::event::{Event, SpanChunk};
use metrics::{Metrics, Outcome};
use split::Part;

/// The ledger's source.
const SOURCE: &str = "otlp";

/// Largest part that is handed on. The batcher closes a frame at the same size, and the wire takes four times as much.
const PART_BYTES: usize = 1 << 20;
const _: () = assert!(PART_BYTES * 2 < MAX_SEALED_BYTES);

/// How long a client may take to send one request, beside the time that the spool may take.
const UPLOAD: Duration = Duration::from_secs(10);

/// How long open requests may take when the agent stops.
const DRAIN: Duration = Duration::from_secs(5);

/// Section `otlp`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether spans are received.
    pub enabled: bool,
    /// Address of the gRPC receiver. OTLP's own port; on loopback, since nothing authenticates the senders.
    pub grpc: SocketAddr,
    /// Largest request, once decompressed.
    pub max_message: Size,
    /// Requests that are received and decoded at the same time; one more is told to come again. Times `max_message`,
    /// it bounds the memory.
    pub max_requests: usize,
    /// How long the spool may take to store a request, before its client is told to send it again.
    pub deadline: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            grpc: SocketAddr::from(([127, 0, 0, 1], 4317)),
            max_message: Size::mib(4),
            max_requests: 16,
            deadline: Span::secs(5),
        }
    }
}

/// Why the receiver ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its port.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// gRPC as a whole.
    #[error("the OTLP receiver failed: {0}")]
    Serve(#[from] tonic::transport::Error),
}

/// Receives spans until shutdown, then ends what it has in hand.
///
/// # Errors
/// Where the port cannot be had.
pub async fn run(config: Config, ctx: Context, registry: SharedRegistry) -> Result<(), RunError> {
    if !config.enabled {
        ctx.shutdown.cancelled().await;
        return Ok(());
    }
    let listener = admin::bind(config.grpc, "OTLP over gRPC", "otlp.grpc").await?;
    let metrics = Metrics::new();
    metrics.register(&registry);
    serve(&config, ctx, listener, metrics).await
}

async fn serve(
    config: &Config,
    ctx: Context,
    listener: TcpListener,
    metrics: Metrics,
) -> Result<(), RunError> {
    let shutdown = ctx.shutdown.clone();
    let permits = Arc::new(Semaphore::new(config.max_requests.max(1)));
    let deadline = config.deadline.0;
    let counts = metrics.clone();
    // Before a request is read: the memory of those that are under way is what must be bounded.
    let admit = move |mut request: Request<()>| match Arc::clone(&permits).try_acquire_owned() {
        Ok(permit) => {
            request.extensions_mut().insert(Permit { _held: Arc::new(permit) });
            Ok(request)
        }
        Err(_) => {
            counts.request(Outcome::Busy);
            Err(Status::unavailable("the agent has as many requests in hand as otlp.max_requests allows"))
        }
    };
    let service = TraceServiceServer::new(Receiver { ctx, deadline, metrics })
        .max_decoding_message_size(usize::try_from(config.max_message.0).unwrap_or(usize::MAX))
        // What collectors in between send by default.
        .accept_compressed(CompressionEncoding::Gzip);
    let served = Server::builder()
        .timeout(deadline + UPLOAD)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_service(InterceptedService::new(service, admit))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.clone().cancelled_owned());
    let overtime = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = served => Ok(ended?),
        () = overtime => Ok(()),
    }
}

/// One of `max_requests`, held by the request from before its body is read until its spans are handed on.
#[derive(Clone)]
struct Permit {
    _held: Arc<OwnedSemaphorePermit>,
}

struct Receiver {
    ctx: Context,
    deadline: Duration,
    metrics: Metrics,
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        mut request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let permit = request.extensions_mut().remove::<Permit>();
        let mut request = request.into_inner();
        identify::identify(&mut request, &self.ctx.node);
        let split = split::split(request, PART_BYTES, now_ns());
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
}

/// The batcher or the spool has stopped, or the spool could not write.
struct Gone;

impl Receiver {
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

#[cfg(test)]
mod tests;
