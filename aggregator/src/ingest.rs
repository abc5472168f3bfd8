//! The door for agents: checks who speaks, takes frames once, journals them, acknowledges what is on disk.
//!
//! | room | what it holds |
//! |---|---|
//! | `door` | connections: how many, and which make room for others |
//! | `handshake` | TLS on a connection, and who is at its other end |
//! | `meter` | memory of messages on their way in, over all streams |
//! | `api` | the configuration |
//! | `shared` | what the streams share |
//! | `session` | one stream: hello, frames, keyframes |
//! | `keyframes` | those that a stream has sent |
//! | `guests` | which agents are known, and how much each may take |
//! | `content` | what cannot be read is refused |
//! | `acks` | answers in the order of the fsyncs |
//! | `pressure` | when agents are asked to send more slowly |

mod acks;
mod api;
mod content;
mod door;
pub(crate) mod fuzzing;
mod guests;
mod handshake;
mod keyframes;
mod meter;
mod pressure;
mod session;
mod shared;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ao_common::repeated::Repeated;
use ao_proto::limits::MAX_MESSAGE_BYTES;
use ao_proto::v1::ingest_server::{Ingest as Service, IngestServer};
use ao_proto::v1::{AgentMessage, AggregatorMessage, EnrollRequest, EnrollResponse};
use futures_util::Stream;
use tokio::net::TcpListener;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub use api::Config;
pub use shared::Ingest;

use crate::identity::Refusal;
use api::SAID_EVERY;
use door::House;
use handshake::Caller;
use meter::{Meter, Metered, Room};
use session::Messages;

/// Bytes that may wait unread on a stream, twice as many on its connection: at 1 ms of round trip it carries 256 MB/s,
/// and a thousand connections that are not read wait with 512 MiB.
const WINDOW: u32 = 256 << 10;
/// Calls at one time on one connection: two lanes, those of a break before them, an enrolment.
const MAX_CALLS: u32 = 8;

/// Serves until the shutdown.
///
/// # Errors
/// Where the transport fails as a whole.
pub async fn serve(ingest: Ingest, listener: TcpListener) -> Result<(), tonic::transport::Error> {
    let shutdown = ingest.shutdown.clone();
    let house = House::new(ingest.config.max_connections, Arc::clone(&ingest.metrics));
    let room = Room::new(ingest.config.memory.0, Arc::clone(&ingest.metrics));
    let identity = ingest.identity.clone();
    let incoming = door::accept(listener, house);
    let incoming = handshake::all(incoming, identity, Arc::clone(&ingest.metrics), shutdown.clone());
    let service = IngestServer::new(ingest)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        // What may wait unread, for each connection; what is read is counted by `meter`.
        .initial_stream_window_size(Some(WINDOW))
        .initial_connection_window_size(Some(2 * WINDOW))
        .max_concurrent_streams(Some(MAX_CALLS))
        .add_service(Metered { service, room })
        .serve_with_incoming_shutdown(incoming, shutdown.cancelled_owned())
        .await
}

static ENDS: Repeated = Repeated::new("more streams have ended so", SAID_EVERY);

/// How long the reason of a stream's end may wait to be read.
const LAST_WORD: Duration = Duration::from_secs(1);

type Answers = Pin<Box<dyn Stream<Item = Result<AggregatorMessage, Status>> + Send>>;

#[tonic::async_trait]
impl Service for Ingest {
    type StreamStream = Answers;

    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        let none = "this aggregator speaks plaintext (ingest.plaintext): nobody enrols here";
        let identity = self.identity.as_ref().ok_or_else(|| Status::unimplemented(none))?;
        let peer = request.extensions().get::<Caller>().map(|caller| caller.peer.clone()).unwrap_or_default();
        identity.enroll(&peer, request.into_inner()).await.map(Response::new)
    }

    async fn stream(
        &self,
        mut request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Answers>, Status> {
        let caller = request.extensions_mut().remove::<Caller>();
        let (conn, peer) = caller.map(|caller| (caller.conn, caller.peer)).unzip();
        let certified = match &self.identity {
            Some(identity) => {
                let checked = identity.caller(&peer.unwrap_or_default());
                Some(checked.map_err(|refusal| self.refuse(&refusal))?)
            }
            None => None,
        };
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            self.metrics.refused("streams");
            let text = "this aggregator has as many streams as ingest.max_streams allows";
            return Err(Status::resource_exhausted(text));
        };
        let (answers, outgoing) = tokio::sync::mpsc::channel(session::ANSWERS);
        let ingest = self.clone();
        let meter = request.extensions_mut().remove::<Meter>().unwrap_or_default();
        tokio::spawn(async move {
            let messages = Messages { stream: request.into_inner(), meter };
            if let Err(status) = session::run(&ingest, certified, messages, conn.as_deref(), &answers).await {
                // A refusal has been said where it was counted.
                if status.metadata().get(Refusal::KEY).is_none() && ENDS.is_first(status.code().description())
                {
                    tracing::warn!(reason = status.message(), "a stream ends");
                }
                // The agent may have gone, or not read: it then ends with its connection.
                if let Err(SendTimeoutError::Timeout(_)) = answers.send_timeout(Err(status), LAST_WORD).await
                {
                    ingest.metrics.refused("unread");
                    conn.iter().for_each(|conn| conn.close());
                }
            }
            drop(permit);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}
