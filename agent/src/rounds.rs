//! Rounds at an interval, for the sources that read the host: when, on which thread, with which deadline.
//!
//! | file | room |
//! |---|---|
//! | `complaint.rs` | how often a failure is said |
//! | `crew.rs` | blocking jobs with a deadline, of which none holds up the others |
//! | `said.rs` | counts in a test what is said |

mod complaint;
mod crew;
#[cfg(test)]
mod said;

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use ao_common::admin::SharedRegistry;
use ao_common::clock::now_ms;
use prometheus_client::metrics::counter::Counter;
use tokio::task;

use crate::context::Context;
use crate::event::{Event, MetricSet};

pub(crate) use complaint::Complaint;
pub(crate) use crew::Crew;
#[cfg(test)]
pub(crate) use said::Said;

/// Does `round` in every interval, on a blocking thread, and hands on the sets that it gives, until shutdown. `round` is
/// given what it remembers and the time that its samples bear, in milliseconds since 1970. A round that was due while
/// the one before was not done yet, or waited for somebody to take its sets, is left out and counted.
///
/// # Errors
/// Only where a thread could not be used.
pub(crate) async fn run<S, F>(
    mut state: S,
    interval: Duration,
    ctx: &Context,
    skipped: Counter,
    mut round: F,
) -> Result<(), task::JoinError>
where
    S: Send + 'static,
    F: FnMut(&mut S, i64) -> Vec<MetricSet> + Send + 'static,
{
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
    let phase = phase(&ctx.node.name, interval);
    let mut last = None;
    loop {
        let before = now_ms();
        let due = next_tick(before, interval, phase);
        let wait = Duration::from_millis(due.abs_diff(before));
        let next = Due { at_ms: due, at: Instant::now() + wait };
        skipped.inc_by(last.replace(next).map_or(0, |last| next.behind(last, interval)));
        if ctx.shutdown.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
            return Ok(());
        }
        let at_ms = stamp(now_ms(), due, interval);
        let sets;
        (state, round, sets) = task::spawn_blocking(move || {
            let sets = round(&mut state, at_ms);
            (state, round, sets)
        })
        .await?;
        for set in sets {
            // The batcher is gone only when the agent stops.
            let sent = ctx.shutdown.run_until_cancelled(ctx.events.send(Event::Metrics(set))).await;
            if !matches!(sent, Some(Ok(()))) {
                return Ok(());
            }
        }
    }
}

/// The count of rounds that were left out, among the agent's own figures.
pub(crate) fn skipped(registry: &SharedRegistry, source: &str) -> Counter {
    let skipped = Counter::default();
    let text = "Rounds that were left out, since the one before or who takes its samples was too slow";
    let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
    registry.register(format!("ao_{source}_skipped_rounds"), text, skipped.clone());
    skipped
}

/// When a round is due, by both clocks.
#[derive(Clone, Copy)]
struct Due {
    at_ms: i64,
    at: Instant,
}

impl Due {
    /// Rounds that were due since another one. A clock that was set has left out none.
    fn behind(self, last: Self, interval_ms: i64) -> u64 {
        let interval_ms = interval_ms.max(1);
        let by_clock = (self.at_ms - last.at_ms) / interval_ms;
        let elapsed = self.at.saturating_duration_since(last.at).as_millis();
        let elapsed =
            i64::try_from(elapsed).unwrap_or(i64::MAX).saturating_add(interval_ms / 2) / interval_ms;
        u64::try_from(by_clock.min(elapsed) - 1).unwrap_or(0)
    }
}

/// The part of the interval by which a node's rounds are shifted, so that a fleet's do not come all at once. It hangs
/// on the name alone: a restart keeps the rhythm.
fn phase(node: &str, interval_ms: i64) -> i64 {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(node);
    i64::try_from(hash % interval_ms.unsigned_abs().max(1)).unwrap_or(0)
}

/// The first moment behind `now` that is a multiple of the interval, plus the phase.
fn next_tick(now_ms: i64, interval_ms: i64, phase_ms: i64) -> i64 {
    now_ms - (now_ms - phase_ms).rem_euclid(interval_ms) + interval_ms
}

/// A round that begins as good as punctually bears the time that it was due, since Prometheus stores regular times in
/// a fraction of the space (its own scrapes are treated so); any other its true time.
fn stamp(now_ms: i64, due_ms: i64, interval_ms: i64) -> i64 {
    if now_ms.abs_diff(due_ms) <= interval_ms.unsigned_abs() / 100 { due_ms } else { now_ms }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: a round that begins as good as in time, and one that is late.
    /// Guarantees: the first bears the due time, the second its own.
    #[test]
    fn stamps() {
        assert_eq!(stamp(15_100, 15_000, 15_000), 15_000);
        assert_eq!(stamp(14_990, 15_000, 15_000), 15_000);
        assert_eq!(stamp(16_000, 15_000, 15_000), 16_000);
    }

    /// Scenario: rounds in turn; one late enough for two more to be due; the clock set ahead and back between two.
    /// Guarantees: what was left out is counted, and a clock that is set is not.
    #[test]
    fn left_out() {
        let begin = Instant::now();
        let due = |at_ms, elapsed_ms| Due { at_ms, at: begin + Duration::from_millis(elapsed_ms) };
        let first = due(30_000, 0);
        assert_eq!(due(45_000, 15_001).behind(first, 15_000), 0);
        assert_eq!(due(75_000, 44_999).behind(first, 15_000), 2);
        assert_eq!(due(3_645_000, 15_000).behind(first, 15_000), 0);
        assert_eq!(due(3_660_000, 30_000).behind(first, 15_000), 1);
        assert_eq!(due(15_000, 60_000).behind(first, 15_000), 0);
    }

    proptest! {
        /// Scenario: any time, interval and node.
        /// Guarantees: the next tick is ahead by at most an interval, and lies on the node's rhythm.
        #[test]
        fn ticks(now in -1_000_000_000_000_i64..4_000_000_000_000, interval in 1_000_i64..3_600_000, node in "[a-z]{0,9}") {
            let phase = phase(&node, interval);
            let next = next_tick(now, interval, phase);
            prop_assert!((0..interval).contains(&phase));
            prop_assert!(next > now && next <= now + interval);
            prop_assert_eq!((next - phase).rem_euclid(interval), 0);
        }
    }
}
