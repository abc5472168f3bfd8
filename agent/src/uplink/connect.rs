//! From an aggregator's address to a channel, and from a channel to a stream on it. One channel carries all calls to
//! one aggregator.

use ao_common::tls::error::explain;
use ao_proto::limits::MAX_MESSAGE_BYTES;
use ao_proto::v1::ingest_client::IngestClient;
use ao_proto::v1::{AgentMessage, AggregatorMessage};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use crate::uplink::api::{Uplink, UplinkError};
use crate::uplink::patience::Patience;

/// Connects; the channel may be cloned, one for each call.
///
/// # Errors
/// [`UplinkError::Address`], [`UplinkError::Plaintext`], [`UplinkError::Identity`] and [`UplinkError::Connect`].
pub(crate) async fn channel(
    uplink: &Uplink,
    address: &str,
    patience: Patience,
) -> Result<Channel, UplinkError> {
    let plain = endpoint(address, patience)?;
    let (endpoint, hint) = if !address.starts_with("http://") {
        (uplink.identity.secure(plain, address).await?, "")
    } else if uplink.identity.plaintext() {
        (plain, " (over http://: has it ingest.plaintext: true?)")
    } else {
        return Err(UplinkError::Plaintext { address: address.to_owned() });
    };
    let failed = |error| UplinkError::Connect { address: address.to_owned(), why: explain(&error) + hint };
    // The endpoint's own limit is for TCP alone; a peer may be silent after that.
    match timeout(patience.greeting, endpoint.connect()).await {
        Ok(connected) => connected.map_err(failed),
        Err(_) => {
            let why = format!("no connection within {:?}", patience.greeting);
            Err(UplinkError::Connect { address: address.to_owned(), why })
        }
    }
}

/// Waits until this node's certificate has been renewed, so that a new connection is due.
pub(crate) async fn renewed(uplink: &Uplink, address: &str, patience: Patience) {
    match endpoint(address, patience) {
        Ok(endpoint) => uplink.identity.renewed(endpoint, address).await,
        Err(_) => std::future::pending().await,
    }
}

/// A status that a call ended with: of a certificate that is refused (the aggregator names its `ao-reason`), or any.
pub(crate) fn ended(uplink: &Uplink, address: &str, status: &Status) -> UplinkError {
    let (address, why) = (address.to_owned(), status.message().to_owned());
    match status.metadata().get("ao-reason").and_then(|reason| reason.to_str().ok()) {
        Some(reason) => {
            uplink.identity.refused(reason);
            UplinkError::Refused { address, why }
        }
        None => UplinkError::Ended { address, why },
    }
}

fn endpoint(address: &str, patience: Patience) -> Result<Endpoint, UplinkError> {
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(|_| UplinkError::Address { address: address.to_owned() })?
        .connect_timeout(patience.greeting)
        .http2_keep_alive_interval(patience.ping_every)
        .keep_alive_timeout(patience.ping)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    Ok(endpoint)
}

/// Opens one stream; `outgoing` holds the hello already.
///
/// # Errors
/// [`UplinkError::Refused`] and [`UplinkError::Ended`], with what the aggregator says.
pub(crate) async fn stream(
    uplink: &Uplink,
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
        Ok(Err(status)) => Err(ended(uplink, address, &status)),
        Err(_) => Err(failed(format!("no answer within {:?}", patience.greeting))),
    }
}
