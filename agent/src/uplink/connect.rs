//! From an aggregator's address to a channel, and from a channel to a stream on it. One channel carries all calls to
//! one aggregator.

use ao_proto::limits::MAX_MESSAGE_BYTES;
use ao_proto::v1::ingest_client::IngestClient;
use ao_proto::v1::{AgentMessage, AggregatorMessage};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

use crate::uplink::api::{Uplink, UplinkError};
use crate::uplink::patience::Patience;

/// Connects; the channel may be cloned, one for each call.
///
/// # Errors
/// [`UplinkError::Address`] and [`UplinkError::Connect`].
pub(crate) async fn channel(
    _uplink: &Uplink,
    address: &str,
    patience: Patience,
) -> Result<Channel, UplinkError> {
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|_| UplinkError::Address { address: address.to_owned() })?
        .connect_timeout(patience.greeting)
        .http2_keep_alive_interval(patience.ping_every)
        .keep_alive_timeout(patience.ping)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    let failed = |error| UplinkError::Connect { address: address.to_owned(), why: root_cause(&error) };
    endpoint.connect().await.map_err(failed)
}

/// Opens one stream; `outgoing` holds the hello already.
///
/// # Errors
/// [`UplinkError::Connect`], with what the aggregator says.
pub(crate) async fn stream(
    channel: Channel,
    address: &str,
    patience: Patience,
    outgoing: mpsc::Receiver<AgentMessage>,
) -> Result<Streaming<AggregatorMessage>, UplinkError> {
    let failed = |why: String| UplinkError::Connect { address: address.to_owned(), why };
    let mut client = IngestClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    match timeout(patience.greeting, client.stream(ReceiverStream::new(outgoing))).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failed(status.message().to_owned())),
        Err(_) => Err(failed(format!("no answer within {:?}", patience.greeting))),
    }
}

/// "transport error" says nothing; what lies at its bottom does.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}
