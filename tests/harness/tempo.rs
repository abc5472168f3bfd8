//! A server that holds the protocol in which Tempo takes spans: OTLP over gRPC, decoded by the OpenTelemetry project's
//! definitions; records, and answers by script (a status is a gRPC code). Beside it its HTTP door, where a trace is got
//! by its id.

mod query;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::Path;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

use crate::lives::{Lives, Moment};
use crate::script::{Reply, Script};

/// A running server; ends when dropped.
pub struct Tempo {
    /// Base URL.
    pub url: String,
    /// Base URL for queries.
    pub query_url: String,
    /// How it answers.
    pub script: Arc<Script>,
    accepted: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    lives: Lives,
    querying: JoinHandle<()>,
}

struct Service {
    script: Arc<Script>,
    accepted: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Tempo {
    /// Starts on a port of its own.
    ///
    /// # Panics
    /// Where loopback gives none.
    pub async fn start() -> Self {
        let lives = Lives::new();
        let url = format!("http://{}", lives.address);
        let (script, accepted) = (Arc::<Script>::default(), Arc::<Mutex<Vec<_>>>::default());
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await;
        let listener = listener.expect("loopback has a free port");
        let query_url = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
        let known = Arc::clone(&accepted);
        let get = move |Path(id): Path<String>| {
            let found = query::answer(&known.lock().unwrap_or_else(PoisonError::into_inner), &id);
            std::future::ready(found)
        };
        let router = axum::Router::new().route("/api/traces/{id}", axum::routing::get(get));
        let querying = tokio::spawn(async move {
            let _ended = axum::serve(listener, router).await;
        });
        let tempo = Self { url, query_url, script, accepted, lives, querying };
        tempo.restart();
        tempo
    }

    /// Dies; it keeps what it has accepted.
    pub async fn kill(&self, moment: Moment) {
        self.lives.die(&self.script, moment).await;
    }

    /// Serves again on the same port.
    pub fn restart(&self) {
        let service = Service { script: Arc::clone(&self.script), accepted: Arc::clone(&self.accepted) };
        let service = TraceServiceServer::new(service).max_decoding_message_size(16 << 20);
        self.lives.begin(|listener| async {
            let incoming = TcpListenerStream::new(listener).map(|stream| {
                // Closing it is then a reset.
                stream.inspect(crate::link::abort)
            });
            let server = tonic::transport::Server::builder().add_service(service);
            // It ends with its life.
            let _ended = server.serve_with_incoming(incoming).await;
        });
    }

    /// Accepted requests.
    pub fn accepted(&self) -> MutexGuard<'_, Vec<ExportTraceServiceRequest>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All spans of accepted requests.
    pub fn spans(&self) -> Vec<Span> {
        let accepted = self.accepted();
        let resources = accepted.iter().flat_map(|request| &request.resource_spans);
        resources.flat_map(|r| &r.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }
}

impl Drop for Tempo {
    fn drop(&mut self) {
        self.querying.abort();
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let take = || {
            let mut accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
            accepted.push(request.into_inner());
        };
        let _busy = self.script.busy();
        match self.script.next() {
            Reply::Accept => {
                take();
                Ok(Response::new(ExportTraceServiceResponse::default()))
            }
            Reply::Status(code, _, text) => Err(Status::new(Code::from(i32::from(code)), text)),
            Reply::Hang => match self.script.hang().await {},
            Reply::Reset => Err(Status::unavailable("connection reset")),
            Reply::AcceptAndReset => {
                take();
                Err(Status::unavailable("connection reset"))
            }
            Reply::AcceptAndHang => {
                take();
                match self.script.hang().await {}
            }
        }
    }
}
