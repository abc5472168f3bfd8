//! The HTTP doors that every process of ours has, and how a listener is opened.
//!
//! | path | answer |
//! |---|---|
//! | `GET /metrics` | the process's metrics, OpenMetrics text |
//! | `GET /healthz` | 200 while every beating task ticks, else 503 with those that do not |
//! | `GET /readyz` | 200 when every part is ready, else 503; a line per part |
//! | `GET /log-level` | the filter in force |
//! | `PUT /log-level` | another filter, as the body; from this machine alone, since the lowest levels cost much |

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::IncomingStream;
use axum::{Extension, Router};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::door::Door;
use crate::health::Health;
use crate::telemetry::LogHandle;

/// The metrics of one process; parts register theirs when they are built.
pub type SharedRegistry = Arc<Mutex<Registry>>;

/// How long open requests may go on after the shutdown began.
pub const DRAIN: Duration = Duration::from_secs(5);

/// Connections at a time: browsers keep six each. One more closes the oldest. Each may send some 400 KiB of head.
pub const MAX_CONNECTIONS: usize = 128;

/// A connection from which nothing comes for so long is closed. Scrapers keep theirs between two scrapes.
pub const IDLE: Duration = Duration::from_secs(120);

/// How long a request may take from the end of its head to its answer: also one whose body does not come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the doors show and change.
#[derive(Clone, Debug)]
pub struct Admin {
    /// For `/metrics`.
    pub registry: SharedRegistry,
    /// For `/healthz` and `/readyz`.
    pub health: Health,
    /// For `/log-level`; without one that door answers 404.
    pub log: Option<LogHandle>,
}

/// The doors of the table above; to be merged with a process's own.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/log-level", get(log_level).put(set_log_level))
        // No filter is longer.
        .layer(DefaultBodyLimit::max(4096))
        .with_state(admin)
}

/// Serves until the shutdown; open requests then have [`DRAIN`].
///
/// # Errors
/// Where the listener fails.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> io::Result<()> {
    let overtime = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    let service = router.layer(from_fn(in_time)).into_make_service_with_connect_info::<Peer>();
    let door = Door::new(listener, MAX_CONNECTIONS, IDLE);
    let served = axum::serve(door, service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! {
        ended = served.into_future() => ended,
        () = overtime => Ok(()),
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, Door>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(*stream.remote_addr())
    }
}

async fn in_time(request: Request, next: Next) -> Response {
    let late = || (StatusCode::REQUEST_TIMEOUT, "the request was not complete in time\n").into_response();
    tokio::time::timeout(PATIENCE, next.run(request)).await.unwrap_or_else(|_| late())
}

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr} for {what}: {}; {}", reason(cause), fix(cause, key))]
pub struct BindError {
    /// The address asked for.
    pub addr: SocketAddr,
    /// What for, such as "the console".
    pub what: &'static str,
    /// The configuration key that holds the address.
    pub key: &'static str,
    /// What the system said.
    pub cause: io::Error,
}

fn reason(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "another process uses it".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        _ => cause.to_string(),
    }
}

fn fix(cause: &io::Error, key: &str) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => format!("stop that process or set {key} to a free port"),
        io::ErrorKind::PermissionDenied => format!("set {key} to a port above 1023"),
        _ => format!("set {key} to another address"),
    }
}

/// Opens a listener; `what` and `key` make the sentence of the error: what it is for, and where the user changes it.
///
/// # Errors
/// Where the address cannot be had.
pub async fn bind(addr: SocketAddr, what: &'static str, key: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr).await.map_err(|cause| BindError { addr, what, key, cause })
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    let registry = admin.registry.lock().unwrap_or_else(PoisonError::into_inner);
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(err) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot write the metrics: {err}\n")).into_response()
        }
    }
}

async fn healthz(State(admin): State<Admin>) -> Response {
    let stalled = admin.health.stalled();
    if stalled.is_empty() {
        return "ok\n".into_response();
    }
    let line = |task: &crate::health::Stalled| {
        format!("{}: no sign of life for {} s\n", task.name, task.silent_for.as_secs())
    };
    (StatusCode::SERVICE_UNAVAILABLE, stalled.iter().map(line).collect::<String>()).into_response()
}

async fn readyz(State(admin): State<Admin>) -> Response {
    let parts = admin.health.snapshot();
    let ready = parts.iter().all(|part| part.not_ready.is_none());
    let line = |part: &crate::health::PartStatus| match (&part.not_ready, &part.trouble) {
        (None, None) => format!("{}: ready\n", part.name),
        (None, Some(trouble)) => format!("{}: ready, but: {trouble}\n", part.name),
        (Some(reason), _) => format!("{}: not ready: {reason}\n", part.name),
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, parts.iter().map(line).collect::<String>()).into_response()
}

async fn log_level(State(admin): State<Admin>) -> Response {
    match admin.log {
        Some(log) => format!("{}\n", log.get()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// In a cluster `kubectl port-forward` and `kubectl exec` count as this machine.
async fn set_log_level(
    State(admin): State<Admin>,
    peer: Option<Extension<ConnectInfo<Peer>>>,
    body: String,
) -> Response {
    let Some(log) = admin.log else { return StatusCode::NOT_FOUND.into_response() };
    if !peer.is_some_and(|Extension(ConnectInfo(Peer(peer)))| peer.ip().to_canonical().is_loopback()) {
        return (StatusCode::FORBIDDEN, "the log level is changed from this machine alone\n").into_response();
    }
    match log.set(body.trim()) {
        Ok(()) => {
            tracing::info!(filter = log.get(), "log level changed");
            format!("{}\n", log.get()).into_response()
        }
        Err(err) => (StatusCode::BAD_REQUEST, format!("{err}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
