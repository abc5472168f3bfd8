//! The door for agents: checks who speaks, takes frames once, journals them, acknowledges what is on disk.
//!
//! | room | what it holds |
//! |---|---|
//! | `api` | what the streams share |
//! | `session` | one stream: hello, frames, keyframes |
//! | `acks` | answers in the order of the fsyncs |

mod acks;
mod api;
mod session;

use std::pin::Pin;
use std::sync::Arc;

use ao_proto::limits::MAX_MESSAGE_BYTES;
use ao_proto::v1::ingest_server::{Ingest as Service, IngestServer};
use ao_proto::v1::{AgentMessage, AggregatorMessage, EnrollRequest, EnrollResponse};
use futures_util::Stream;
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

pub use api::{Config, Ingest};

/// Serves until the shutdown.
///
/// # Errors
/// Where the transport fails as a whole.
pub async fn serve(ingest: Ingest, listener: TcpListener) -> Result<(), tonic::transport::Error> {
    let shutdown = ingest.shutdown.clone();
    let service = IngestServer::new(ingest)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(std::time::Duration::from_secs(10)))
        .initial_stream_window_size(Some(4 << 20))
        .initial_connection_window_size(Some(8 << 20))
        .add_service(service)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.cancelled_owned())
        .await
}

type Answers = Pin<Box<dyn Stream<Item = Result<AggregatorMessage, Status>> + Send>>;

#[tonic::async_trait]
impl Service for Ingest {
    type StreamStream = Answers;

    async fn enroll(&self, _request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        Err(Status::unimplemented("this aggregator has no certificate authority"))
    }

    async fn stream(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<Answers>, Status> {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            self.metrics.refused("streams");
            let text = "this aggregator has as many streams as ingest.max_streams allows";
            return Err(Status::resource_exhausted(text));
        };
        let (answers, outgoing) = tokio::sync::mpsc::channel(session::ANSWERS);
        let ingest = self.clone();
        tokio::spawn(async move {
            if let Err(status) = session::run(&ingest, request.into_inner(), &answers).await {
                tracing::warn!(reason = status.message(), "a stream ends");
                // The agent may have gone.
                let _gone = answers.send(Err(status)).await;
            }
            drop(permit);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}
