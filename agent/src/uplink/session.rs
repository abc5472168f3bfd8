//! One connection to one aggregator: a call for each lane. Where one of them ends, both do.

use std::convert::Infallible;
use std::sync::Arc;

use ao_common::backoff::Backoff;
use ao_proto::queue::Lane;
use tracing::info;

use crate::uplink::api::{SentBefore, Uplink, UplinkError};
use crate::uplink::call::{self, Call};
use crate::uplink::connect;
use crate::uplink::gate::Gate;

/// Connects, streams, and says why it ended.
pub(crate) async fn run(
    uplink: &Uplink,
    address: &str,
    sent_before: &Arc<SentBefore>,
    backoff: &mut Backoff,
) -> UplinkError {
    match connect_and_stream(uplink, address, sent_before, backoff).await {
        Ok(never) => match never {},
        Err(ended) => ended,
    }
}

async fn connect_and_stream(
    uplink: &Uplink,
    address: &str,
    sent_before: &Arc<SentBefore>,
    backoff: &mut Backoff,
) -> Result<Infallible, UplinkError> {
    let channel = connect::channel(uplink, address).await?;
    let gate = Arc::new(Gate::new(uplink.config.backlog_share, call::window(uplink)));
    let open = |lane| Call::open(uplink, channel.clone(), address, lane, &gate, sent_before);
    let (fresh, backlog) = tokio::try_join!(open(Lane::Fresh), open(Lane::Backlog))?;
    info!(address, aggregator = fresh.aggregator, "connected");
    backoff.reset();
    uplink.health.ready();
    uplink.metrics.connected.set(1);
    uplink.metrics.connections.inc();
    tokio::select! {
        ended = fresh.run() => ended,
        ended = backlog.run() => ended,
    }
}
