//! How fast the aggregator takes data, as the acknowledgements tell: how much may wait in a fresh queue follows from it,
//! so that what is read next is still sent in time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ao_proto::class::CLASSES;
use tokio::time::Instant;

/// Bytes a second for fresh data, before anything is known.
const BEGIN: f64 = (4 << 20) as f64;
/// With at least so much under way the acknowledgements come as fast as they can.
const BUSY: usize = 128 << 10;
/// Acknowledged bytes are counted over this time.
const WINDOW: Duration = Duration::from_millis(250);
/// A window's weight: several of them make the figure.
const WEIGHT: f64 = 0.3;
/// A fresh queue may always hold so much, and never more than this: a sink has to take it as well.
const FLOOR: usize = 64 << 10;
const MOST: usize = 4 << 20;

/// One agent's; outlives its connections.
pub(crate) struct Pace {
    within: Duration,
    state: Mutex<State>,
}

struct State {
    /// Bytes a second that fresh data can be sure of.
    rate: f64,
    /// Since when, and what was acknowledged since then.
    window: Option<(Instant, usize)>,
}

impl Pace {
    /// All fresh queues together are to be drained within this time.
    pub(crate) fn new(within: Duration) -> Self {
        Self { within, state: Mutex::new(State { rate: BEGIN, window: None }) }
    }

    /// Bytes that a class's fresh queue may hold.
    pub(crate) fn room(&self) -> usize {
        let bytes = self.lock().rate * self.within.as_secs_f64() / CLASSES.len() as f64;
        (bytes as usize).clamp(FLOOR, MOST)
    }

    /// Bytes were acknowledged, so many are still under way. `sure` is the part of the rate that is left to fresh data
    /// while a backlog drains.
    pub(crate) fn acked(&self, bytes: usize, under_way: usize, sure: f64, now: Instant) {
        let mut state = self.lock();
        if under_way < BUSY {
            state.window = None;
            return;
        }
        let Some((since, sum)) = state.window else {
            state.window = Some((now, 0));
            return;
        };
        let (sum, took) = (sum + bytes, now - since);
        if took < WINDOW {
            state.window = Some((since, sum));
        } else {
            let rate = sum as f64 / took.as_secs_f64() * sure;
            state.rate += (rate - state.rate) * WEIGHT;
            state.window = Some((now, 0));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: acknowledgements at 2 MiB/s with a lot under way, then few with nothing behind them, then none for a
    /// minute, then at 100 MiB/s.
    /// Guarantees: the room is what fresh data's half takes in a quarter of the time; an idle link tells nothing, a pause
    /// little; the room has a floor and a limit.
    #[test]
    fn the_room_follows_the_link() {
        let pace = Pace::new(Duration::from_secs(2));
        let mut now = Instant::now();
        let mut run = |every_ms: u64, bytes: usize, under_way: usize, count: usize| {
            for _ in 0..count {
                now += Duration::from_millis(every_ms);
                pace.acked(bytes, under_way, 0.5, now);
            }
            pace.room() as f64 / f64::from(512 << 10)
        };
        assert!((run(10, 20 << 10, 1 << 20, 1_000) - 0.97).abs() < 0.05);
        assert!((run(1_000, 1 << 10, 0, 1_000) - 0.97).abs() < 0.05);
        run(10, 20 << 10, 1 << 20, 1);
        let after_a_pause = run(60_000, 20 << 10, 1 << 20, 1);
        assert!((0.6..1.0).contains(&after_a_pause), "{after_a_pause}");
        assert_eq!(run(10, 1 << 20, 1 << 20, 1_000), 8.0);
        assert_eq!(run(1_000, 1 << 10, 1 << 20, 1_000), 0.125);
    }
}
