//! One connection to one aggregator: a call for each lane. Where one of them ends, both do.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ao_proto::queue::Lane;
use tokio::time::{Instant, sleep_until};
use tracing::info;

use crate::uplink::api::{SentBefore, Uplink, UplinkError};
use crate::uplink::call::{self, Call};
use crate::uplink::feed::Shared;
use crate::uplink::gate::Gate;
use crate::uplink::patience::Patience;
use crate::uplink::{connect, status};

/// What timers count in.
const TICK: Duration = Duration::from_millis(1);

/// Connects, streams, and says why it ended. `welcomed` is told once it is known that the aggregator works.
pub(crate) async fn run(
    uplink: &Uplink,
    address: &str,
    patience: Patience,
    sent_before: &Arc<SentBefore>,
    welcomed: &mut (dyn FnMut() + Send),
) -> UplinkError {
    match connect_and_stream(uplink, address, patience, sent_before, welcomed).await {
        Ok(never) => match never {},
        Err(ended) => ended,
    }
}

async fn connect_and_stream(
    uplink: &Uplink,
    address: &str,
    patience: Patience,
    sent_before: &Arc<SentBefore>,
    welcomed: &mut (dyn FnMut() + Send),
) -> Result<Infallible, UplinkError> {
    let channel = connect::channel(uplink, address, patience).await?;
    let (window, pace) = (call::window(uplink), uplink.acks.pace());
    let gate = Arc::new(Gate::new(uplink.config.backlog_share, window, pace));
    let open = |lane| Call::open(uplink, channel.clone(), address, patience, lane, &gate, sent_before);
    let (fresh, backlog) = tokio::try_join!(open(Lane::Fresh), open(Lane::Backlog))?;
    let waiting = status::human(status::waiting(uplink, None));
    info!(address, aggregator = fresh.aggregator, waiting, "connected");
    welcomed();
    uplink.health.ready();
    uplink.metrics.connected.set(1);
    uplink.metrics.connections.inc();
    let calls = [Arc::clone(&fresh.shared), Arc::clone(&backlog.shared)];
    tokio::select! {
        ended = fresh.run() => ended,
        ended = backlog.run() => ended,
        silent = silence(&calls, &gate, patience.acks) => {
            Err(UplinkError::Silent { address: address.to_owned(), silent })
        }
        () = status::keep(uplink, address) => unreachable!("it says what is going on for as long as we stream"),
    }
}

/// Resolves when frames are under way and no acknowledgement has come for so long, on any call: such an aggregator is
/// as dead as one that does not answer pings. It looks when that could be true at the earliest, which is the patience from
/// now where nothing is under way.
async fn silence(calls: &[Arc<Shared>], gate: &Gate, patience: Duration) -> Duration {
    loop {
        let now = Instant::now();
        let oldest = calls.iter().filter_map(|call| call.flight().oldest()).min();
        let since = oldest.map_or(now, |oldest| oldest.max(gate.last_ack().unwrap_or(oldest)));
        let silent = now.saturating_duration_since(since);
        if silent > patience {
            return silent;
        }
        // A timer's tick behind it, so that it is more.
        sleep_until(since + patience + TICK).await;
    }
}
