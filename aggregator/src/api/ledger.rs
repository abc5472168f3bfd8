//! `/api/v1/ledger`: for every node, source and class what the agent read and what became of it there, what was
//! received here, and for every sink what became of that; with a verdict, and a sentence where something is open.
//!
//! The agent's half are its own figures (`ao_ledger_*`, once in a while, as any metric); the other half are ours, as of
//! now. So the two are compared only where time cannot be the reason: what an aggregator has acknowledged was received.

mod agent;
mod row;
mod verdict;

use std::collections::BTreeSet;

use serde::Serialize;

use super::state::ApiState;
use super::status;
use crate::ledger::{self, class_name};
use crate::sink::embedded::nodes::short;

pub use row::{AgentHalf, Amount, Fate, Flight, Row, Verdict};

/// The whole ledger, or one node's part.
#[derive(Debug, Serialize)]
pub struct Balance {
    /// Sinks that any line names.
    pub sinks: Vec<String>,
    /// How those that are configured are doing.
    pub health: Vec<status::Sink>,
    /// In order of node, source and class.
    pub rows: Vec<Row>,
    /// The worst verdict of all rows.
    pub verdict: Verdict,
    /// Nothing is missing that the two ends know of.
    pub balanced: bool,
    /// The sentences of the rows that are out of balance.
    pub says: Vec<String>,
}

/// Answers; an empty `node` means all.
pub fn of(state: &ApiState, node: &str) -> Balance {
    let name = |id: &[u8; 16]| {
        let named = state.nodes.name_of(id);
        named.unwrap_or_else(|| {
            state.store.nodes().name_of(id).map_or_else(|| short(id), |name| name.to_string())
        })
    };
    let mut sheets = state.ledger.by_node(name);
    let mut agents = agent::halves(&state.store.series());
    // What is read and not yet here has a row as well.
    for key in agents.keys() {
        sheets.entry(key.clone()).or_default();
    }
    let health = state.fanout.sinks();
    let rows: Vec<Row> = sheets
        .into_iter()
        .filter(|((of, ..), _)| node.is_empty() || of == node)
        .map(|(key, sheet)| row(agents.remove(&key), key, &sheet, &health))
        .collect();
    let named: BTreeSet<&String> = rows.iter().flat_map(|row| &row.sinks).map(|fate| &fate.sink).collect();
    // In the order of the configuration; what is no longer in it comes last.
    let mut sinks: Vec<String> = health.iter().map(|sink| sink.name.clone()).collect();
    sinks.retain(|name| named.contains(name));
    sinks.extend(named.into_iter().filter(|name| !sinks.contains(name)).cloned().collect::<Vec<_>>());
    let verdict = rows.iter().map(|row| row.verdict).max().unwrap_or_default();
    let open = rows.iter().filter(|row| row.verdict > Verdict::Moving);
    let says = open.map(|row| row.says.clone()).collect();
    Balance { sinks, health, rows, verdict, balanced: verdict != Verdict::Off, says }
}

fn row(
    agent: Option<AgentHalf>,
    (node, source, class): (String, String, i32),
    sheet: &ledger::Sheet,
    health: &[status::Sink],
) -> Row {
    let class = class_name(class);
    let fate = |sink: &str, fate: &ledger::Fate| {
        let flying = fate.in_flight(sheet.received);
        Fate {
            sink: sink.to_owned(),
            delivered: fate.delivered.into(),
            dropped: fate.dropped.iter().map(|(reason, count)| (*reason, (*count).into())).collect(),
            resent: fate.resent.into(),
            in_flight: Flight { records: flying.records, bytes: flying.bytes },
        }
    };
    let mut sinks: Vec<Fate> = sheet.sinks.iter().map(|(sink, of)| fate(sink, of)).collect();
    // A sink that is configured has a cell, though nothing has come to it yet.
    for sink in health.iter().filter(|sink| sink.classes.contains(&class)) {
        if !sinks.iter().any(|known| known.sink == sink.name) {
            sinks.push(fate(&sink.name, &ledger::Fate::default()));
        }
    }
    let mut row = Row {
        node,
        source,
        class,
        agent,
        received: sheet.received.into(),
        sinks,
        verdict: Verdict::default(),
        says: String::new(),
    };
    (row.verdict, row.says) = verdict::of(&row);
    row
}
