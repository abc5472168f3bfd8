//! `/api/v1/overview`: who reports, how much arrives, how the sinks are, what is missing.

use std::sync::Arc;

use serde::Serialize;

use super::grid::round;
use super::missing::{self, Missing};
use super::nodes::{self, Node, SIGNALS};
use super::state::ApiState;
use super::status::Sink;
use crate::sink::embedded::nodes::{SLOT_MS, SLOTS};
use crate::sink::embedded::{Store, logs, series, traces};

const MAX_WARNINGS: usize = 8;
const MAX_WARNING_CHARS: usize = 300;

/// Everything at a glance.
#[derive(Debug, Serialize)]
pub struct Overview {
    /// In order of their names.
    pub nodes: Vec<Node>,
    /// metrics, logs, spans.
    pub signals: [Signal; 3],
    /// Sinks.
    pub sinks: Vec<Sink>,
    /// What the console cannot show, and why.
    pub missing: Vec<Missing>,
    /// The newest lines that are warnings or worse, oldest first.
    pub warnings: Vec<Warning>,
    /// How full the embedded store is.
    pub store: Fill,
}

/// A line that somebody should read.
#[derive(Debug, Serialize)]
pub struct Warning {
    /// Its number, in order of arrival.
    pub number: u64,
    /// Milliseconds.
    pub at_ms: i64,
    /// Its severity.
    pub level: logs::Level,
    /// Its node.
    pub node: Arc<str>,
    /// The line, or its beginning.
    pub text: String,
}

/// How full each room of the embedded store is.
#[derive(Debug, Serialize)]
pub struct Fill {
    /// Series.
    pub series: series::Fill,
    /// Lines.
    pub logs: logs::Fill,
    /// Traces.
    pub traces: traces::Fill,
}

/// What arrives of one signal, from all nodes.
#[derive(Debug, Serialize)]
pub struct Signal {
    /// "metrics", "logs" or "spans".
    pub name: &'static str,
    /// Records a second over the last minute.
    pub records: f64,
    /// Payload bytes a second over the last minute.
    pub bytes: f64,
    /// Records since the start.
    pub total: u64,
    /// Records a second, in slots of ten seconds over half an hour.
    pub history: Vec<f64>,
}

/// Answers.
pub fn of(state: &ApiState, now_ms: i64) -> Overview {
    let store = &state.store;
    let nodes = nodes::of(store, now_ms, true);
    let missing = missing::of(store, &nodes, now_ms);
    // Each room is locked by itself: never two at once.
    let series = store.series().fill();
    let logs = store.logs().fill();
    let traces = store.traces().fill();
    Overview {
        nodes,
        signals: signals(store, now_ms),
        sinks: state.fanout.sinks(),
        missing,
        warnings: warnings(store),
        store: Fill { series, logs, traces },
    }
}

fn warnings(store: &Store) -> Vec<Warning> {
    let query = logs::Query::new("", Some(logs::Level::Warn));
    let found = store.logs().find("", &query, 0, MAX_WARNINGS);
    let warning = |line: logs::Line| Warning {
        number: line.number,
        at_ms: line.at_ns / 1_000_000,
        level: line.level,
        node: line.node.clone(),
        text: line.text.chars().take(MAX_WARNING_CHARS).collect(),
    };
    found.into_iter().map(warning).collect()
}

fn signals(store: &Store, now_ms: i64) -> [Signal; 3] {
    let nodes = store.nodes().all();
    let newest = now_ms.div_euclid(SLOT_MS);
    SIGNALS.map(|(name, classes)| {
        let arrivals = || nodes.iter().flat_map(|node| classes.iter().map(|class| &node.arrivals[*class]));
        let rates = arrivals().map(|arrivals| arrivals.rate(now_ms));
        let (records, bytes) = rates.fold((0.0, 0.0), |sum, rate| (sum.0 + rate.0, sum.1 + rate.1));
        let history = (newest - SLOTS as i64 + 1..newest).map(|slot| {
            let records: u64 = arrivals().map(|arrivals| arrivals.slot(slot).0).sum();
            round(records as f64 * 1_000.0 / SLOT_MS as f64)
        });
        Signal {
            name,
            records: round(records),
            bytes: round(bytes),
            total: arrivals().map(|arrivals| arrivals.records).sum(),
            history: history.collect(),
        }
    })
}
