//! What this host's kernel drops and finds faulty at all times: frames of protocols that nobody here speaks, a tunnel's
//! errors, connection tracking that is asked for much at once. Only what is more than that counts against a host.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::counters::{self, Counters, Drops, Files};

/// How often the counters are kept, and how many: what is usual is that of the last ten to twenty minutes, in which the
/// trouble's own beginning is but a small part.
const EVERY: Duration = Duration::from_secs(600);
const KEPT: usize = 2;
/// What is steady is not even: so many times what is usual, and so many standard deviations more, is still usual.
const TIMES: f64 = 2.0;
const DEVIATIONS: f64 = 3.0;

/// The counters as they were. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Background(Arc<Mutex<VecDeque<(Instant, Files)>>>);

impl Background {
    /// Keeps them, until it is dropped.
    pub(super) async fn keep(self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // It fails only where the runtime ends.
            let Ok(files) = tokio::task::spawn_blocking(Files::read).await else { return };
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.truncate(KEPT - 1);
            kept.push_front((Instant::now(), files));
        }
    }

    /// What has happened since the oldest that is kept, and for how long; no time where none is.
    fn until(&self, now: &Counters, interface: Option<&str>) -> (Drops, Duration) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |(at, files): &(Instant, Files)| {
            (now.since(&Counters::of_files(files, interface)).drops(), at.elapsed())
        };
        kept.back().map(since).unwrap_or_default()
    }
}

/// The counters at one time, and what was usual then.
pub(super) struct Reading {
    pub(super) at: Instant,
    counters: Counters,
    /// In that time.
    usual: (Drops, Duration),
}

impl Reading {
    /// As [`Counters::read`]. Blocking, milliseconds.
    pub(super) fn read(background: &Background, proc: &Path, port: u16, towards: IpAddr) -> Self {
        let interface = counters::interface_towards(towards);
        let counters = Counters::read(proc, port, towards, interface.as_deref());
        Self { at: Instant::now(), counters, usual: background.until(&counters, interface.as_deref()) }
    }

    /// What has happened since `before`, and what of it is more than was usual then.
    pub(super) fn since(&self, before: &Self) -> Counters {
        let mut since = self.counters.since(&before.counters);
        let (usual, usually) = before.usual;
        let took = self.at.duration_since(before.at);
        let beyond = |count, usual| beyond((count, took), (usual, usually));
        since.unusual = Drops {
            nic_errors: beyond(since.nic_errors, usual.nic_errors),
            nic_drops: beyond(since.nic_drops, usual.nic_drops),
            softnet_drops: beyond(since.softnet_drops, usual.softnet_drops),
            conntrack_drops: beyond(since.conntrack_drops, usual.conntrack_drops),
        };
        since
    }
}

/// What of a count in a time is more than what was counted in another time lets expect; nothing where chance may have done
/// it, or nobody knows what is usual. Counts of what comes by chance vary by their root (Poisson), the usual one, too.
fn beyond((count, took): (u64, Duration), (usual, usually): (u64, Duration)) -> u64 {
    let share = took.as_secs_f64() / usually.as_secs_f64();
    let expected = usual as f64 * share;
    let variance = expected + (usual as f64 + 1.0) * share * share + 1.0;
    let is_more = count as f64 >= TIMES * expected + DEVIATIONS * variance.sqrt();
    if is_more { count.saturating_sub(expected as u64) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a recording of 21 s of hosts that drop a frame every two seconds, every half minute, never, a hundred a
    /// second; known for ten minutes, for a few seconds, not at all; then some more, and a lot.
    /// Guarantees: what is usual or may be chance is nothing; what is more counts without the usual part.
    #[test]
    fn more_than_usual() {
        for (count, (usual, seconds), right) in [
            (11, (300, 600), 0),
            (60, (300, 600), 50),
            (1, (20, 600), 0),
            (2, (20, 600), 0),
            (6, (20, 600), 6),
            (1, (0, 600), 0),
            (4, (0, 600), 4),
            (2300, (60_000, 600), 0),
            (5000, (60_000, 600), 2900),
            (11, (2, 3), 0),
            (11, (0, 3), 0),
            (60, (0, 15), 60),
            (11, (0, 0), 0),
            (60, (5, 0), 0),
        ] {
            let took = Duration::from_secs(21);
            let found = beyond((count, took), (usual, Duration::from_secs(seconds)));
            assert_eq!(found, right, "{count}, usually {usual} in {seconds} s");
        }
    }

    /// Scenario: twenty-five minutes; an hour.
    /// Guarantees: what is kept was read ten to twenty minutes ago, and is no more than that.
    #[tokio::test(start_paused = true)]
    async fn not_for_ever() {
        let background = Background::default();
        assert_eq!(background.until(&Counters::default(), None).1, Duration::ZERO);
        let keeping = tokio::spawn(background.clone().keep());
        for minutes in [25, 60] {
            tokio::time::sleep(Duration::from_secs(minutes * 60)).await;
            let (_, age) = background.until(&Counters::default(), None);
            assert!((EVERY..=2 * EVERY).contains(&age), "{age:?}");
        }
        keeping.abort();
    }
}
