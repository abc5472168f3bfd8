//! `up` of every node: 1 while its agent reports, 0 once it is silent; written by the aggregator, which knows who should
//! be there, into the journal, and so by the fan-out to every sink of metrics.
//!
//! | room | what it holds |
//! |---|---|
//! | `frames` | the samples as keyframes and frames of our own |
//!
//! The series are `up{job, instance, node, cluster}` with `instance` = `node`, one for each job that boards ask for. A
//! node is silent by boot time, which nobody sets; agents ask for the time every 10 s, so that one that lives is heard.
//! What was there before a restart of ours has one silence to come back before it is called down. A node that says
//! goodbye is down like any other: it ends, with staleness markers, where nothing came of it for `forget_after`.
//!
//! One author: of several aggregators only the one whose `author` is true writes; the others keep still.

mod frames;

use std::collections::BTreeMap;
use std::time::Duration;

use ao_common::clock::{boot_ns, now_ms};
use ao_common::journal::Journal;
use ao_common::units::Span;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::nodes::{Node, Nodes, Sighting};
use frames::Frames;

/// How often the nodes are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Section `up`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time between two samples of a series; a change is written at once.
    pub interval: Span,
    /// A node of which nothing comes for so long is down. Agents send something every 10 s.
    pub silence: Span,
    /// A node of which nothing came for so long is no longer expected: its series end.
    pub forget_after: Span,
    /// The `job` labels that each node has an `up` for: those that boards for node_exporter, cAdvisor and our own ask for.
    /// Empty: nothing is written.
    pub jobs: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval: Span::secs(15),
            silence: Span::secs(25),
            forget_after: Span::secs(7 * 24 * 3600),
            jobs: ["node-exporter", "cadvisor", "ao-agent"].map(str::to_owned).to_vec(),
        }
    }
}

/// Writes until the shutdown, while `author` is true.
pub async fn run(
    config: Config,
    nodes: Nodes,
    journal: Journal,
    author: watch::Receiver<bool>,
    shutdown: CancellationToken,
) {
    let mut frames = Frames::new(config.jobs.clone());
    let mut watch =
        Watch { started_boot_ns: boot_ns(), written_boot_ns: None, last: BTreeMap::new(), config };
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        if !*author.borrow() {
            // Another one goes on with the series: no marker ends them.
            frames.forget();
            watch.written_boot_ns = None;
            continue;
        }
        let Some(up) = watch.look(nodes.sightings(), now_ms(), boot_ns()) else { continue };
        let Some((queue, append)) = frames.next(&up, now_ms()) else { continue };
        let written = async {
            let pending = journal.append(queue, vec![append]).await?;
            pending.durable().await
        };
        if let Some(Err(error)) = shutdown.run_until_cancelled(written).await {
            tracing::warn!(%error, "cannot write which nodes are up; trying again");
        }
    }
}

/// When to write, and what.
struct Watch {
    config: Config,
    started_boot_ns: i64,
    written_boot_ns: Option<i64>,
    last: BTreeMap<Node, bool>,
}

impl Watch {
    /// Which nodes are up, where that is to be written now.
    fn look(
        &mut self,
        sightings: BTreeMap<Node, Sighting>,
        now_ms: i64,
        now_boot_ns: i64,
    ) -> Option<BTreeMap<Node, bool>> {
        let states = sightings.into_iter();
        let up = states.filter_map(|(node, seen)| Some((node, self.is_up(seen, now_ms, now_boot_ns)?)));
        let up: BTreeMap<Node, bool> = up.collect();
        let since = self.written_boot_ns.map(|written| now_boot_ns.saturating_sub(written));
        let due = since.is_none_or(|since| since >= nanos(self.config.interval));
        if !due && up == self.last {
            return None;
        }
        self.written_boot_ns = Some(now_boot_ns);
        self.last.clone_from(&up);
        Some(up)
    }

    /// `None`: nothing can be said of it, or it is forgotten.
    fn is_up(&self, seen: Sighting, now_ms: i64, now_boot_ns: i64) -> Option<bool> {
        let silent = now_boot_ns.saturating_sub(seen.seen_boot_ns.unwrap_or(self.started_boot_ns));
        let is_loud = silent < nanos(self.config.silence);
        let gone_ms = now_ms.saturating_sub(seen.seen_ms);
        let forgotten = u128::from(gone_ms.unsigned_abs()) > self.config.forget_after.0.as_millis();
        match seen.seen_boot_ns {
            Some(_) if is_loud => Some(true),
            _ if forgotten => None,
            None if is_loud => None,
            _ => Some(false),
        }
    }
}

fn nanos(span: Span) -> i64 {
    i64::try_from(span.0.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const DAY_MS: i64 = 24 * 3_600_000;

    /// Scenario: a node that reports, one that falls silent, one from before a restart that comes back or not, one that
    /// has been away for longer than nodes are kept.
    /// Guarantees: 1, 0 within the silence, nothing until it has had time to come back, then 0, and nothing.
    #[test]
    fn who_is_up() {
        let watch = Watch {
            config: Config::default(),
            started_boot_ns: 100 * SECOND,
            written_boot_ns: None,
            last: BTreeMap::new(),
        };
        let now_ms = 100 * DAY_MS;
        for (seen, seen_days_ago, at, expect) in [
            (Some(200), 0, 200, Some(true)),
            (Some(200), 0, 224, Some(true)),
            (Some(200), 0, 225, Some(false)),
            (None, 1, 124, None),
            (None, 1, 125, Some(false)),
            (None, 8, 125, None),
            (Some(200), 8, 999_999, None),
            // Its wall clock was wrong, or ours.
            (Some(200), 99, 201, Some(true)),
        ] {
            let seen = Sighting {
                seen_ms: now_ms - seen_days_ago * DAY_MS,
                seen_boot_ns: seen.map(|second: i64| second * SECOND),
            };
            assert_eq!(watch.is_up(seen, now_ms, at * SECOND), expect, "{seen:?} at {at}");
        }
    }

    /// Scenario: looks every second at a node that reports until it does not.
    /// Guarantees: written at every interval, and at once where something has changed.
    #[test]
    fn when_it_is_written() {
        let mut watch = Watch {
            config: Config::default(),
            started_boot_ns: 0,
            written_boot_ns: None,
            last: BTreeMap::new(),
        };
        let mut written = Vec::new();
        for second in 0..60_i64 {
            let seen = Sighting { seen_ms: 0, seen_boot_ns: Some(second.min(12) * SECOND) };
            let node = ("c".to_owned(), "n".to_owned());
            if let Some(up) = watch.look([(node.clone(), seen)].into(), second * 1000, second * SECOND) {
                written.push((second, up[&node]));
            }
        }
        assert_eq!(written, [(0, true), (15, true), (30, true), (37, false), (52, false)]);
    }
}
