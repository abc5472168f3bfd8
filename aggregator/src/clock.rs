//! The aggregator's own clock, which nobody above it confirms, and those of its nodes.
//!
//! Our time is anchored as an agent's is: a step of the system's clock moves it only when the agents agree with it
//! (most of those that asked in the last half minute), or, where there are few of them to ask, once it has stood for
//! ten minutes. An agent's clock does not go with a step of its own system's clock until ours confirms it, so that it
//! is a witness even on the same host.

use std::time::Duration;

use ao_common::clock::{self, Kept};
use ao_common::health::Part;
use tokio_util::sync::CancellationToken;

use crate::nodes::{NodeInfo, Nodes};

/// How often it is looked at.
const TICK: Duration = Duration::from_secs(1);
/// A step that has stood this long is followed where too few agents say anything.
const PATIENCE_NS: i64 = 600_000_000_000;
/// So many witnesses decide alone.
const ENOUGH: usize = 3;
/// A witness must be nearer to the system's clock than to ours by more than this.
const MARGIN_NS: i64 = 10_000_000;
/// What an agent has measured says something for three of its questions.
const YOUNG_NS: i64 = 30_000_000_000;
/// An offset that people should know of.
const NOTABLE_MS: u64 = 1_000;

/// Looks after the clock until the shutdown.
pub async fn watch(nodes: Nodes, part: Part, mut kept: Kept, shutdown: CancellationToken) {
    loop {
        let all = nodes.list();
        let now = clock::boot_ns();
        let is_young = |asked: i64| now.saturating_sub(asked) <= YOUNG_NS;
        let young = all.iter().filter_map(|info| info.clock.filter(|clock| is_young(clock.asked_boot_ns)));
        let offsets: Vec<i64> = young.map(|clock| clock.ahead_ns).collect();
        let (pending, followed) = clock::look(|anchor| {
            let pending = anchor.pending_ns();
            let follow = pending != 0 && is_to_follow(pending, anchor.pending_for_ns(), &offsets);
            if follow {
                anchor.follow();
            }
            (anchor.pending_ns(), follow.then_some(pending))
        });
        if let Some(by) = followed {
            nodes.clock_moved(by);
            tracing::warn!(
                seconds = by as f64 / 1e9,
                "how the system's clock was set holds: times follow it"
            );
        }
        match words(pending, &all) {
            None => part.ready(),
            Some(text) => part.troubled(text),
        }
        kept = match tokio::task::spawn_blocking(move || kept.save().map(|()| kept)).await {
            Ok(Ok(kept)) => kept,
            Ok(Err(error)) => {
                tracing::error!(%error, "a step of the clock during a restart will not be noticed");
                return shutdown.cancelled().await;
            }
            Err(_) => return,
        };
        if shutdown.run_until_cancelled(tokio::time::sleep(TICK)).await.is_none() {
            return;
        }
    }
}

/// Whether to go with a step: `pending`, the system's clock less ours, has stood for `stood`; `offsets` are the agents'
/// clocks less ours. Nanoseconds.
fn is_to_follow(pending: i64, stood: i64, offsets: &[i64]) -> bool {
    let agrees = |offset: &&i64| {
        let from_system = offset.saturating_sub(pending).saturating_abs();
        from_system.saturating_add(MARGIN_NS) < offset.saturating_abs()
    };
    let yes = offsets.iter().filter(agrees).count();
    let most = yes * 2 > offsets.len();
    most || offsets.len() < ENOUGH && stood >= PATIENCE_NS
}

/// What is wrong, in a sentence.
fn words(pending: i64, nodes: &[NodeInfo]) -> Option<String> {
    let seconds = |ns: i64| (ns as f64 / 1e8).abs().round() / 10.0;
    let side = |ns: i64| if ns > 0 { "ahead of" } else { "behind" };
    if pending != 0 {
        let (by, side) = (seconds(pending), side(pending));
        return Some(format!(
            "the system's clock was set and is now {by} s {side} ours; ours follows when the agents agree, or after ten minutes"
        ));
    }
    let off = nodes.iter().filter(|n| n.streams > 0 && n.clock_ahead_ms.unsigned_abs() > NOTABLE_MS);
    let off: Vec<_> = off.collect();
    let worst = off.iter().max_by_key(|info| info.clock_ahead_ms.unsigned_abs())?;
    let ahead = worst.clock_ahead_ms.saturating_mul(1_000_000);
    let (node, by, side) = (&worst.node, seconds(ahead), side(ahead));
    let others = match off.len() - 1 {
        0 => String::new(),
        1 => ", and one more node's is off".to_owned(),
        n => format!(", and {n} more nodes' are off"),
    };
    Some(format!("the clock of node {node} is {by} s {side} ours{others}: set all by NTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;
    const HOUR: i64 = 3_600 * S;

    /// Scenario: our system's clock was set rightly and wrongly, with no agent, one, and many of them.
    /// Guarantees: most of the agents decide at once; few or none leave it to ten minutes; many that disagree hold it
    /// forever.
    #[test]
    fn who_decides() {
        for (what, pending, stood, offsets, follow) in [
            ("nobody there", HOUR, 60 * S, vec![], false),
            ("nobody there, for long", HOUR, 600 * S, vec![], true),
            ("one agrees", HOUR, 0, vec![HOUR + S], true),
            ("one disagrees", HOUR, 60 * S, vec![S], false),
            ("one disagrees, for long", -HOUR, 600 * S, vec![0], true),
            ("many disagree, for long", -HOUR, 9_000 * S, vec![0, S, -S], false),
            ("most agree", -HOUR, 0, vec![-HOUR, -HOUR - S, 0], true),
            ("as many as not", -HOUR, 599 * S, vec![-HOUR, 0], false),
            ("absurd witnesses", i64::MAX, 0, vec![i64::MIN, i64::MAX, 0, 1], false),
        ] {
            assert_eq!(is_to_follow(pending, stood, &offsets), follow, "{what}");
        }
    }

    /// Scenario: clocks right, stepped, and off.
    /// Guarantees: one sentence that names the worst node.
    #[test]
    fn people_are_told() {
        let node = |node: &str, ahead: i64| NodeInfo {
            node: node.to_owned(),
            streams: 1,
            clock_ahead_ms: ahead,
            ..NodeInfo::default()
        };
        let gone = NodeInfo { streams: 0, ..node("gone", 9_000_000) };
        assert_eq!(words(0, &[node("a", 1_000), gone]), None);
        let text = words(0, &[node("a", -1_500), node("b", 3_600_000), node("c", 0)]).unwrap();
        assert_eq!(
            text,
            "the clock of node b is 3600 s ahead of ours, and one more node's is off: set all by NTP"
        );
        assert!(words(-HOUR, &[]).unwrap().contains("3600 s behind ours"));
    }
}
