//! The memory of messages on their way in, over all streams together: each message takes its size from one budget
//! before its body is read, and gives it back when it is in the journal's queue. A stream that has to wait is not
//! read, so HTTP/2's flow control holds back its agent.
//!
//! The gRPC framing (a byte of flags, four of length, big end first, then the message) is read here only to know the
//! size. A message that has its memory must come within a time that its size gives: who is slower gives it back.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ao_proto::limits::{MAX_GREETING_BYTES, MAX_MESSAGE_BYTES};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::codegen::Service;
use tonic::server::NamedService;

use crate::ingest::door::Call;
use crate::ingest::handshake::Caller;
use crate::metrics::Metrics;

/// A message may take this long, and a second more for every so many bytes.
const PATIENCE: Duration = Duration::from_secs(10);
/// See [`PATIENCE`].
const BYTES_PER_SECOND: usize = 256 << 10;
/// Flags and length before each message.
const HEAD: usize = 5;

/// The budget. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Room {
    bytes: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// The memory that one message takes; dropped, it is given back.
pub(crate) type Held = OwnedSemaphorePermit;

/// What the messages of one call hold, in the order of the messages. Cheap to clone: the call's body fills it, the
/// session empties it.
#[derive(Clone, Default)]
pub(crate) struct Meter(Arc<Tally>);

#[derive(Default)]
struct Tally {
    held: Mutex<VecDeque<Held>>,
    greeted: AtomicBool,
}

impl Room {
    /// At least one message of the largest size has room.
    pub(crate) fn new(bytes: u64, metrics: Arc<Metrics>) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let bytes = bytes.clamp(MAX_MESSAGE_BYTES + HEAD, Semaphore::MAX_PERMITS);
        Self { bytes: Arc::new(Semaphore::new(bytes)), metrics }
    }

    /// Memory for `bytes`, which are at most a message's.
    async fn take(self, bytes: usize) -> Option<Held> {
        let n = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Ok(held) = Arc::clone(&self.bytes).try_acquire_many_owned(n) {
            return Some(held);
        }
        self.metrics.waited_for_memory.inc();
        // Never closed.
        self.bytes.acquire_many_owned(n).await.ok()
    }
}

impl Meter {
    /// What the message that was read holds: to be called once for each message.
    pub(crate) fn next(&self) -> Option<Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// The stream has greeted: its messages may be large from now on.
    pub(crate) fn greeted(&self) {
        self.0.greeted.store(true, Ordering::Relaxed);
    }

    fn push(&self, held: Held) {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner).push_back(held);
    }
}

/// A service whose requests are metered; each finds its [`Meter`] in its extensions.
#[derive(Clone)]
pub(crate) struct Metered<S> {
    pub(crate) service: S,
    pub(crate) room: Room,
}

impl<S: Service<http::Request<tonic::body::Body>>> Service<http::Request<tonic::body::Body>> for Metered<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<tonic::body::Body>) -> S::Future {
        let meter = Meter::default();
        request.extensions_mut().insert(meter.clone());
        let call = request.extensions().get::<Caller>().map(|caller| caller.conn.call());
        let room = self.room.clone();
        self.service.call(request.map(|body| tonic::body::Body::new(Incoming::new(body, room, meter, call))))
    }
}

impl<S: NamedService> NamedService for Metered<S> {
    const NAME: &'static str = S::NAME;
}

/// Where in the framing the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In the head, of which this much has come.
    Head { have: usize, head: [u8; HEAD] },
    /// In a message.
    Message { left: usize },
}

const BEGIN: At = At::Head { have: 0, head: [0; HEAD] };

impl At {
    /// How many bytes of the chunk may pass, and the size of the message that begins behind them: the last byte of its
    /// head is kept back, so that nobody makes room for it yet.
    fn scan(&mut self, chunk: &[u8]) -> (usize, Option<usize>) {
        let mut pass = 0;
        while pass < chunk.len() {
            match self {
                Self::Message { left } => {
                    let n = (*left).min(chunk.len() - pass);
                    (*left, pass) = (*left - n, pass + n);
                    if *left == 0 {
                        *self = BEGIN;
                    }
                }
                Self::Head { have, head } => {
                    head[*have] = chunk[pass];
                    *have += 1;
                    if *have == HEAD {
                        let size = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
                        *self = Self::Message { left: size + 1 };
                        return (pass, Some(size));
                    }
                    pass += 1;
                }
            }
        }
        (pass, None)
    }
}

/// The body of a request.
struct Incoming {
    body: tonic::body::Body,
    room: Room,
    meter: Meter,
    /// Bytes that came and have not passed yet.
    chunk: Bytes,
    at: At,
    taking: Option<BoxFuture<'static, Option<Held>>>,
    /// How long the message may still be waited for, and since when it is.
    patience: Duration,
    waits: Option<(Instant, Pin<Box<Sleep>>)>,
    /// The connection is in use.
    _call: Option<Call>,
}

impl Incoming {
    fn new(body: tonic::body::Body, room: Room, meter: Meter, call: Option<Call>) -> Self {
        let (chunk, taking, waits) = (Bytes::new(), None, None);
        Self { body, room, meter, chunk, at: BEGIN, taking, patience: PATIENCE, waits, _call: call }
    }

    /// A message of this size begins.
    fn begin(&mut self, size: usize) -> Result<(), Status> {
        if !self.meter.0.greeted.load(Ordering::Relaxed) && size > MAX_GREETING_BYTES {
            let text =
                format!("the first message has {size} bytes; a hello has at most {MAX_GREETING_BYTES}");
            return Err(Status::resource_exhausted(text));
        }
        if size > MAX_MESSAGE_BYTES {
            let text = format!("a message has {size} bytes, over the limit of {MAX_MESSAGE_BYTES}");
            return Err(Status::resource_exhausted(text));
        }
        self.patience = PATIENCE + Duration::from_secs((size / BYTES_PER_SECOND) as u64);
        self.taking = Some(Box::pin(self.room.clone().take(size + HEAD)));
        Ok(())
    }

    /// Nothing is there: that is well between messages, and for a time within one.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !matches!(self.at, At::Message { .. }) {
            return Poll::Pending;
        }
        let patience = self.patience;
        let begin = || (Instant::now(), Box::pin(tokio::time::sleep(patience)));
        let (_, sleep) = self.waits.get_or_insert_with(begin);
        ready!(sleep.as_mut().poll(cx));
        self.room.metrics.refused("slow");
        Poll::Ready(Some(Err(Status::deadline_exceeded("a message was begun and did not come in time"))))
    }
}

use std::future::Future as _;

impl Body for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            if let Some(taking) = &mut this.taking {
                if let Some(held) = ready!(taking.as_mut().poll(cx)) {
                    this.meter.push(held);
                }
                this.taking = None;
            }
            if !this.chunk.is_empty() {
                let (pass, begins) = this.at.scan(&this.chunk);
                let passed = this.chunk.split_to(pass);
                if let Some(size) = begins
                    && let Err(status) = this.begin(size)
                {
                    this.room.metrics.refused("size");
                    return Poll::Ready(Some(Err(status)));
                }
                if pass > 0 {
                    return Poll::Ready(Some(Ok(Frame::data(passed))));
                }
                continue;
            }
            let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else { return this.wait(cx) };
            if let Some((since, _)) = this.waits.take() {
                this.patience = this.patience.saturating_sub(since.elapsed());
            }
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => this.chunk = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests;
