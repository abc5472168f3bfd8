//! Spans from the node's applications: an OTLP receiver over gRPC, where an application would have a local collector.
//!
//! ```text
//! client -> door -> permit -> weigh -> decode -> identify (whose node) -> split (1 MiB) -> batcher -> spool
//!    ^------------------------ answer, once the spool has fsynced all parts --------------'
//! ```
//!
//! What is answered with success is on the disk of this node. What cannot be stored in time is answered with
//! UNAVAILABLE, which tells the client to keep it and to try again (OTLP specification, "Failures", retryable codes).

pub(crate) mod fuzzing;
mod identify;
mod incoming;
mod metrics;
mod receiver;
mod service;
mod split;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ao_common::admin::{self, BindError, SharedRegistry};
use ao_common::door::{Conn, Door};
use ao_common::units::{Size, Span};
use ao_proto::limits::MAX_RAW_BYTES;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::{Request, Status};

use crate::context::Context;
use metrics::{Metrics, Outcome};
use receiver::{Permit, Receiver};
use service::Traces;

/// How long a client may take to send one request, beside the time that the spool may take.
const UPLOAD: Duration = Duration::from_secs(10);

/// A connection from which nothing comes for so long is closed; a client answers our pings meanwhile.
const IDLE: Duration = Duration::from_secs(60);

/// Requests at one time on one connection, and the bytes of each that may wait unread; twice as many of all.
const MAX_CALLS: u32 = 64;
const WINDOW: u32 = 256 << 10;

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
    /// Largest request, once decompressed (at most 16MiB).
    pub max_message: Size,
    /// Requests that are received and decoded at the same time; one more is told to come again. Times `max_message`,
    /// it bounds the memory.
    pub max_requests: usize,
    /// Connections at a time; one more closes one that has not sent spans yet, or the one silent for longest.
    pub max_connections: usize,
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
            max_connections: 256,
            deadline: Span::secs(5),
        }
    }
}

impl Config {
    /// What cannot be kept, before anything begins.
    ///
    /// # Errors
    /// A sentence with the setting, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=MAX_RAW_BYTES as u64).contains(&self.max_message.0) {
            let most = Size(MAX_RAW_BYTES as u64);
            return Err(format!(
                "otlp.max_message is {}, which is not between 1B and {most}",
                self.max_message
            ));
        }
        Ok(())
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
            if let Some(conn) = request.extensions().get::<Arc<Conn>>() {
                conn.is_client();
            }
            request.extensions_mut().insert(Permit::new(permit));
            Ok(request)
        }
        Err(_) => {
            counts.request(Outcome::Busy);
            Err(Status::unavailable("the agent has as many requests in hand as otlp.max_requests allows"))
        }
    };
    let receiver = Arc::new(Receiver::new(ctx, deadline, metrics));
    // `check` has refused more.
    let max_message =
        usize::try_from(config.max_message.0).map_or(MAX_RAW_BYTES, |max| max.min(MAX_RAW_BYTES));
    let service = Traces { receiver, max_message };
    let incoming = incoming::all(Door::new(listener, config.max_connections, IDLE));
    let served = Server::builder()
        .timeout(deadline + UPLOAD)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .initial_stream_window_size(Some(WINDOW))
        .initial_connection_window_size(Some(2 * WINDOW))
        .max_concurrent_streams(Some(MAX_CALLS))
        .add_service(InterceptedService::new(service, admit))
        .serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned());
    let overtime = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = served => Ok(ended?),
        () = overtime => Ok(()),
    }
}

#[cfg(test)]
mod tests;
