//! `/api/v1/ledger`: for every node, source and class what was received, and for every sink what became of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::state::ApiState;
use crate::ledger::{Account, Count, Entry, class_name};
use crate::sink::embedded::nodes::short;

/// The whole ledger.
#[derive(Debug, Serialize)]
pub struct Balance {
    /// Sinks that any line names.
    pub sinks: Vec<String>,
    /// In order of node, source and class.
    pub rows: Vec<Row>,
}

/// One account.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The node, or the agent's id where its node is not known.
    pub node: String,
    /// The agent's source.
    pub source: String,
    /// The class of frames.
    pub class: &'static str,
    /// What is durable in the journal.
    pub received: Amount,
    /// What became of it, for each sink that takes this class.
    pub sinks: Vec<Fate>,
}

/// Records and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Records.
    pub records: u64,
    /// Payload bytes.
    pub bytes: u64,
}

/// What became of an account's records at one sink: received = delivered + dropped + in flight.
#[derive(Debug, Serialize)]
pub struct Fate {
    /// The sink.
    pub sink: String,
    /// Accepted by its backend.
    pub delivered: Amount,
    /// Given up, by reason.
    pub dropped: BTreeMap<&'static str, Amount>,
    /// Sent again; not part of the balance.
    pub resent: Amount,
    /// Not yet one or the other; below zero would be a fault of ours, and is shown as one.
    pub in_flight: i64,
}

#[derive(Default)]
struct Sum {
    received: Amount,
    delivered: BTreeMap<&'static str, Amount>,
    dropped: BTreeMap<(&'static str, &'static str), Amount>,
    resent: BTreeMap<&'static str, Amount>,
}

/// Whatever the journal gave up no sink ever sees.
const JOURNAL: &str = "journal";

/// Answers.
pub fn of(state: &ApiState) -> Balance {
    let mut accounts: BTreeMap<Account, Sum> = BTreeMap::new();
    for (account, entry, count) in state.ledger.lines() {
        let sum = accounts.entry(account).or_default();
        match entry {
            Entry::Received => sum.received.add(count),
            Entry::Delivered(sink) => sum.delivered.entry(sink).or_default().add(count),
            Entry::Dropped(sink, reason) => sum.dropped.entry((sink, reason)).or_default().add(count),
            Entry::Resent(sink) => sum.resent.entry(sink).or_default().add(count),
        }
    }
    let configured = state.fanout.sinks();
    let mut by_class: BTreeMap<i32, BTreeSet<String>> = BTreeMap::new();
    for (account, sum) in &accounts {
        let sinks = by_class.entry(account.class).or_default();
        let class = class_name(account.class);
        sinks.extend(configured.iter().filter(|s| s.classes.contains(&class)).map(|s| s.name.clone()));
        let named =
            sum.delivered.keys().chain(sum.dropped.keys().map(|(sink, _)| sink)).chain(sum.resent.keys());
        sinks.extend(named.filter(|sink| **sink != JOURNAL).map(|sink| (*sink).to_owned()));
    }
    let nodes = state.store.nodes();
    let mut rows: Vec<Row> = accounts
        .iter()
        .map(|(account, sum)| Row {
            node: nodes
                .name_of(&account.agent)
                .map_or_else(|| short(&account.agent), |name| name.to_string()),
            source: account.source.clone(),
            class: class_name(account.class),
            received: sum.received,
            sinks: by_class[&account.class].iter().map(|sink| sum.fate(sink)).collect(),
        })
        .collect();
    rows.sort_by(|a, b| (&a.node, &a.source, a.class).cmp(&(&b.node, &b.source, b.class)));
    // In the order of the configuration; what is no longer in it comes last.
    let mut sinks: Vec<String> = configured.into_iter().map(|sink| sink.name).collect();
    let named: BTreeSet<String> = by_class.into_values().flatten().collect();
    sinks.extend(named.iter().filter(|name| !sinks.contains(name)).cloned().collect::<Vec<_>>());
    sinks.retain(|name| named.contains(name));
    Balance { sinks, rows }
}

impl Sum {
    fn fate(&self, sink: &str) -> Fate {
        let of = |map: &BTreeMap<&'static str, Amount>| map.get(sink).copied().unwrap_or_default();
        let mut dropped: BTreeMap<&'static str, Amount> = BTreeMap::new();
        for ((_, reason), amount) in self.dropped.iter().filter(|((at, _), _)| *at == sink || *at == JOURNAL)
        {
            let sum = dropped.entry(reason).or_default();
            sum.records += amount.records;
            sum.bytes += amount.bytes;
        }
        let delivered = of(&self.delivered);
        let gone = delivered.records + dropped.values().map(|amount| amount.records).sum::<u64>();
        Fate {
            sink: sink.to_owned(),
            delivered,
            dropped,
            resent: of(&self.resent),
            in_flight: i64::try_from(i128::from(self.received.records) - i128::from(gone))
                .unwrap_or(i64::MAX),
        }
    }
}

impl Amount {
    fn add(&mut self, count: Count) {
        self.records += count.records;
        self.bytes += count.bytes;
    }
}
