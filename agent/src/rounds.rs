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
use std::time::Duration;

use ao_common::clock::now_ms;
use tokio::task;

use crate::context::Context;
use crate::event::{Event, MetricSet};

pub(crate) use complaint::Complaint;
pub(crate) use crew::Crew;
#[cfg(test)]
pub(crate) use said::Said;

/// Does `round` in every interval, on a blocking thread, and hands on the sets that it gives, until shutdown. `round` is
/// given what it remembers and the time that its samples bear, in milliseconds since 1970.
///
/// # Errors
/// Only where a thread could not be used.
pub(crate) async fn run<S, F>(
    mut state: S,
    interval: Duration,
    ctx: &Context,
    mut round: F,
) -> Result<(), task::JoinError>
where
    S: Send + 'static,
    F: FnMut(&mut S, i64) -> Vec<MetricSet> + Send + 'static,
{
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
    let phase = phase(&ctx.node.name, interval);
    loop {
        let before = now_ms();
        let due = next_tick(before, interval, phase);
        let wait = Duration::from_millis(due.abs_diff(before));
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
