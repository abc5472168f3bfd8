//! Where a canary was seen last, by the ledger: what its accounts have gained since it was asked for.

use std::collections::BTreeMap;

use ao_proto::v1::Class;

use super::parts::Parts;
use super::place::Signal;
use crate::fanout::State;
use crate::ledger::{Sheet, class_name};

/// The ledger's source of canaries.
const SOURCE: &str = "canary";

/// The accounts of a node's canaries as they were.
pub(super) struct Trail {
    node: String,
    before: BTreeMap<i32, Sheet>,
}

impl Trail {
    pub(super) fn new(parts: &Parts, node: &str) -> Self {
        Self { node: node.to_owned(), before: sheets(parts, node) }
    }

    /// In words; `trouble` is what the store said where it could not be asked.
    pub(super) fn words(
        &self,
        parts: &Parts,
        signal: Signal,
        backend: &str,
        trouble: Option<&str>,
    ) -> String {
        let class = match signal {
            Signal::Metric => Class::Metrics,
            Signal::Line => Class::Logs,
            Signal::Span => Class::Spans,
        };
        let class = i32::from(class);
        let none = Sheet::default();
        let now = sheets(parts, &self.node);
        let (now, before) = (now.get(&class).unwrap_or(&none), self.before.get(&class).unwrap_or(&none));
        if now.received.records <= before.received.records {
            return self.at_the_agent(parts);
        }
        let (now, before) = (
            now.sinks.get(backend).cloned().unwrap_or_default(),
            before.sinks.get(backend).cloned().unwrap_or_default(),
        );
        let fresh = |(reason, count): (&&'static str, &crate::ledger::Count)| {
            let known = before.dropped.get(*reason).copied().unwrap_or_default();
            (count.records > known.records).then_some(*reason)
        };
        if let Some(reason) = now.dropped.iter().find_map(fresh) {
            return format!("it was given up for {backend}: {reason}; see the dead-letter file");
        }
        if now.delivered.records > before.delivered.records {
            return match trouble {
                Some(why) => format!("{backend} has taken it, and cannot be asked for it: {why}"),
                None => format!("{backend} has taken it, and does not show it"),
            };
        }
        let journal = format!("seen last in the aggregator's journal, on its way to {backend}");
        match sink_trouble(parts, backend, class).or_else(|| trouble.map(|why| format!("when asked: {why}")))
        {
            Some(why) => format!("{journal}, which {why}"),
            None => journal,
        }
    }

    fn at_the_agent(&self, parts: &Parts) -> String {
        let nodes = parts.nodes.list();
        let mine = || nodes.iter().filter(|info| info.node == self.node);
        if mine().any(|info| info.streams > 0) {
            "not in the aggregator's journal: in the agent's spool, or never let out (an older agent knows no canaries)"
                .to_owned()
        } else {
            "not in the aggregator's journal: the agent has gone; what it let out is in its spool".to_owned()
        }
    }
}

/// What a sink's worker says of its backend.
fn sink_trouble(parts: &Parts, backend: &str, class: i32) -> Option<String> {
    let of_class = class_name(class);
    let statuses = parts.statuses.list();
    let mine = || statuses.iter().filter(|status| status.sink == backend && status.class == of_class);
    let now = mine().find_map(|status| match &status.state {
        State::Ok => None,
        State::Retrying { reason } => Some(format!("is tried again: {reason}")),
        State::Held { reason } => Some(format!("is held: {reason}")),
    });
    now.or_else(|| mine().find_map(|status| Some(format!("last said: {}", status.last_error.as_ref()?))))
}

fn sheets(parts: &Parts, node: &str) -> BTreeMap<i32, Sheet> {
    let all = parts.ledger.by_node(|agent| parts.nodes.name_or_id(agent));
    let mine = all.into_iter().filter(|((of, source, _), _)| of == node && source == SOURCE);
    mine.map(|((_, _, class), sheet)| (class, sheet)).collect()
}
