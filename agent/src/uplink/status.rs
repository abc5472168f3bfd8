//! What is going on, in words: for `/readyz` and the log.

use std::time::Duration;

use ao_proto::queue::{Lane, QUEUES};
use tokio::time::{Instant, sleep};
use tracing::info;

use crate::uplink::api::Uplink;

/// Between two looks while there is a backlog, whose rate is to be known.
const EVERY: Duration = Duration::from_secs(1);
/// Between two looks while there is none.
const CALM: Duration = Duration::from_secs(5);
/// Between two lines of the log while a backlog drains.
const SAY_EVERY: u32 = 30;
/// Less is not worth a word.
const SMALL: u64 = 1 << 20;

/// Says it while connected; never returns.
pub(crate) async fn keep(uplink: &Uplink, address: &str) {
    let mut drain = Drain::default();
    let mut looks = 0_u32;
    loop {
        let waiting = waiting(uplink, Some(Lane::Backlog));
        let left = drain.look(Instant::now(), waiting);
        if waiting < SMALL {
            uplink.health.ready();
            if looks > 0 {
                info!(address, "the backlog is drained");
            }
            looks = 0;
            sleep(CALM).await;
            continue;
        }
        let sentence = sentence(address, waiting, left);
        // The rate is known at the second look.
        if looks % SAY_EVERY == 1 {
            info!("{sentence}");
        }
        uplink.health.troubled(sentence);
        looks = looks.wrapping_add(1).max(1);
        sleep(EVERY).await;
    }
}

/// Bytes on disk that no aggregator has acknowledged, of one lane or both.
pub(crate) fn waiting(uplink: &Uplink, lane: Option<Lane>) -> u64 {
    let queues = QUEUES.iter().enumerate().filter(|(_, queue)| lane.is_none_or(|lane| queue.lane == lane));
    // What lies before the place reached in the oldest segment is done; the segments before it are gone.
    let of = |queue| uplink.journal.stats(queue).bytes.saturating_sub(uplink.acks.position(queue).offset);
    queues.map(|(queue, _)| of(queue)).sum()
}

fn sentence(address: &str, waiting: u64, left: Option<Duration>) -> String {
    let backlog = human(waiting);
    match left {
        None => format!("connected to {address}, backlog {backlog}"),
        Some(left) if left < Duration::from_secs(90) => {
            format!("connected to {address}, backlog {backlog}, drains in about {} s", left.as_secs().max(1))
        }
        Some(left) => {
            let minutes = left.as_secs().div_ceil(60);
            format!("connected to {address}, backlog {backlog}, drains in about {minutes} min")
        }
    }
}

/// With one digit behind the point.
pub(crate) fn human(bytes: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

/// How fast the backlog becomes less.
#[derive(Default)]
struct Drain {
    last: Option<(Instant, u64)>,
    /// Bytes per second, smoothed over some ten looks.
    rate: Option<f64>,
}

impl Drain {
    /// The time it takes at this rate; `None` while that is not known, or nothing moves.
    fn look(&mut self, now: Instant, waiting: u64) -> Option<Duration> {
        if let Some((at, was)) = self.last.replace((now, waiting)) {
            let seconds = (now - at).as_secs_f64().max(0.001);
            let rate = (was as f64 - waiting as f64) / seconds;
            self.rate = Some(self.rate.map_or(rate, |known| known * 0.8 + rate * 0.2));
        }
        let rate = self.rate.filter(|rate| *rate >= 1.0)?;
        Some(Duration::from_secs_f64((waiting as f64 / rate).min(1e6)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a backlog of 1.2 GiB drains at 7 MiB a second.
    /// Guarantees: the words say so as soon as the rate is known.
    #[test]
    fn in_words() {
        let mut drain = Drain::default();
        let start = Instant::now();
        let mut said = Vec::new();
        for second in 0..20 {
            let waiting = (1_300 << 20) - second * (7 << 20);
            let left = drain.look(start + Duration::from_secs(second), waiting);
            said.push(sentence("http://a:4417", waiting, left));
        }
        assert_eq!(said[0], "connected to http://a:4417, backlog 1.3 GiB");
        assert_eq!(said[19], "connected to http://a:4417, backlog 1.1 GiB, drains in about 3 min");
        assert_eq!(
            sentence("x", 2 << 20, Some(Duration::from_secs(4))),
            "connected to x, backlog 2.0 MiB, drains in about 4 s"
        );
    }
}
