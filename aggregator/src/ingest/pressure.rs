//! When agents are to send more slowly: their spools have room where our disk has none. Looked at once a second.
//!
//! | level | from | to the backlog | to what is fresh |
//! |---|---|---|---|
//! | easy | | | |
//! | tight | the journal is 80 % full, or its queue for 1 s | a share of 8 MiB/s | |
//! | full | 90 %, or 5 s; a write fails; the disk has neither 5 % nor two segments free | 4 KiB/s | a share of 16 MiB/s, at least 64 KiB/s |
//!
//! A level is left 5 points lower than it is entered. Fresh metrics need a few KiB/s a node, so they come even then:
//! a sink that is away fills the journal with its own classes, and must not hold up the others. At the budget's end the
//! journal sheds, and counts.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ao_common::journal::Journal;
use ao_proto::queue::{Lane, QUEUES};
use ao_proto::v1::Throttle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long a wish holds; it is said again before.
const HOLDS: Duration = Duration::from_secs(10);
/// How much lower a level is left than entered.
const SLACK: f64 = 0.05;
/// The disk has room while more than this share of it is free, or two segments.
const FREE: u64 = 20;
/// For all backlogs together, when it is tight; and the least for one.
const BACKLOG: u64 = 8 << 20;
/// See [`BACKLOG`].
const TRICKLE: u64 = 4 << 10;
/// For all that is fresh together, when it is full; and the least for one.
const FRESH: u64 = 16 << 20;
/// See [`FRESH`].
const LEAST_FRESH: u64 = 64 << 10;

/// How much room there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Enough.
    #[default]
    Easy,
    /// The backlog waits.
    Tight,
    /// All wait.
    Full,
}

/// What is measured, and what follows. Cheap to clone.
#[derive(Clone)]
pub struct Pressure(Arc<Shared>);

struct Shared {
    level: watch::Sender<Level>,
    /// Of the longest wait for a place in the journal's queue since the last look.
    commit_ms: AtomicU64,
    failed: AtomicBool,
    /// Open streams, by lane.
    streams: [AtomicUsize; Lane::ALL.len()],
}

/// Counts a stream while it is open.
pub(crate) struct Open {
    pressure: Pressure,
    lane: usize,
}

/// What one look saw.
#[derive(Clone, Copy, Debug)]
struct Sight {
    /// Of the journal's budget.
    used: f64,
    commit: Duration,
    failed: bool,
    /// The disk has room.
    room: bool,
}

impl Default for Pressure {
    fn default() -> Self {
        let (level, _) = watch::channel(Level::Easy);
        let (commit_ms, failed, streams) = Default::default();
        Self(Arc::new(Shared { level, commit_ms, failed, streams }))
    }
}

impl Pressure {
    /// A frame waited so long for a place in the journal's queue, which only the disk can make it do.
    pub(crate) fn waited(&self, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.0.commit_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// A frame could not be written.
    pub(crate) fn failed(&self) {
        self.0.failed.store(true, Ordering::Relaxed);
    }

    /// A stream of this lane opens.
    pub(crate) fn open(&self, lane: u32) -> Open {
        let lane = usize::from(lane == Lane::Backlog.number());
        self.0.streams[lane].fetch_add(1, Ordering::Relaxed);
        Open { pressure: self.clone(), lane }
    }

    /// Looks until the shutdown.
    pub(crate) async fn watch(self, ground: Ground, shutdown: CancellationToken) {
        let mut every = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = every.tick() => {}
            }
            let sight = Sight {
                used: ground.used(),
                commit: Duration::from_millis(self.0.commit_ms.swap(0, Ordering::Relaxed)),
                failed: self.0.failed.swap(false, Ordering::Relaxed),
                room: ground.has_room(),
            };
            let now = *self.0.level.borrow();
            let next = level(now, sight);
            if next != now {
                tracing::info!(?sight, "agents are asked to send as the journal can take it: {next:?}");
                self.0.level.send_replace(next);
            }
            ground.metrics.level.set(next as i64);
        }
    }
}

/// What is looked at.
pub(crate) struct Ground {
    pub(crate) journal: Journal,
    pub(crate) budget: u64,
    pub(crate) segment: u64,
    pub(crate) dir: PathBuf,
    pub(crate) metrics: Arc<Metrics>,
}

impl Ground {
    fn used(&self) -> f64 {
        let bytes: u64 = (0..QUEUES.len()).map(|n| self.journal.stats(n).bytes).sum();
        bytes as f64 / self.budget.max(1) as f64
    }

    /// Where the disk cannot be asked, it is not the reason to wait.
    fn has_room(&self) -> bool {
        rustix::fs::statvfs(&self.dir).map_or(true, |disk| {
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            bytes(disk.f_bavail) > (2 * self.segment).min(bytes(disk.f_blocks) / FREE)
        })
    }
}

fn level(now: Level, sight: Sight) -> Level {
    let entered = |level: Level, share: f64| sight.used >= if now >= level { share - SLACK } else { share };
    if sight.failed || !sight.room || sight.commit >= Duration::from_secs(5) || entered(Level::Full, 0.9) {
        Level::Full
    } else if sight.commit >= Duration::from_secs(1) || entered(Level::Tight, 0.8) {
        Level::Tight
    } else {
        Level::Easy
    }
}

impl Open {
    /// Changes of the level.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Level> {
        self.pressure.0.level.subscribe()
    }

    /// What this stream is asked for at a level. 0 for 0 ms: nothing any more.
    pub(crate) fn wish(&self, level: Level) -> Throttle {
        let streams = self.pressure.0.streams[self.lane].load(Ordering::Relaxed).max(1) as u64;
        let backlog = self.lane == 1;
        let bytes_per_second = match level {
            Level::Easy => return Throttle::default(),
            Level::Tight if backlog => (BACKLOG / streams).max(TRICKLE),
            Level::Tight => return Throttle::default(),
            Level::Full if backlog => TRICKLE,
            Level::Full => (FRESH / streams).max(LEAST_FRESH),
        };
        Throttle { bytes_per_second, for_ms: HOLDS.as_millis() as u64 }
    }

    /// When to say it again.
    pub(crate) const AGAIN: Duration = Duration::from_secs(HOLDS.as_secs() / 2);
}

impl Drop for Open {
    fn drop(&mut self) {
        self.pressure.0.streams[self.lane].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EASY: Sight = Sight { used: 0.1, commit: Duration::ZERO, failed: false, room: true };

    /// Scenario: the journal fills up and is drained again; the disk is slow, fails, is full.
    /// Guarantees: the level of the table, left a little lower than entered.
    #[test]
    fn levels() {
        let mut now = Level::Easy;
        let mut seen = Vec::new();
        for used in [0.5, 0.79, 0.81, 0.89, 0.91, 0.86, 0.84, 0.76, 0.74] {
            now = level(now, Sight { used, ..EASY });
            seen.push(now);
        }
        let (e, t, f) = (Level::Easy, Level::Tight, Level::Full);
        assert_eq!(seen, [e, e, t, t, f, f, t, t, e]);
        assert_eq!(level(e, Sight { commit: Duration::from_secs(1), ..EASY }), t);
        assert_eq!(level(e, Sight { commit: Duration::from_secs(5), ..EASY }), f);
        assert_eq!(level(e, Sight { failed: true, ..EASY }), f);
        assert_eq!(level(e, Sight { room: false, ..EASY }), f);
        assert_eq!(level(f, EASY), e);
    }

    /// Scenario: one stream of each lane, then a thousand.
    /// Guarantees: the backlog is held back first and most; nobody is stopped altogether.
    #[test]
    fn wishes() {
        let pressure = Pressure::default();
        let rates =
            |open: &Open| [Level::Easy, Level::Tight, Level::Full].map(|l| open.wish(l).bytes_per_second);
        let (fresh, backlog) = (pressure.open(0), pressure.open(1));
        assert_eq!((rates(&fresh), rates(&backlog)), ([0, 0, FRESH], [0, BACKLOG, TRICKLE]));
        let more: Vec<Open> = (0..9_998).map(|n| pressure.open(n % 2)).collect();
        assert_eq!((rates(&fresh), rates(&backlog)), ([0, 0, LEAST_FRESH], [0, TRICKLE, TRICKLE]));
        drop(more);
        assert_eq!(rates(&fresh), [0, 0, FRESH]);
    }
}
