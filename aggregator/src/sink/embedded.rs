//! The embedded sink: the recent past of everything, in bounded memory, for the console of an aggregator that has no
//! other store behind it.
//!
//! | room | what it keeps |
//! |---|---|
//! | [`series`] | last value and a short history of each series; paths and round trips are read from these |
//! | [`logs`] | the newest lines of each node |
//! | [`traces`] | the newest traces, span by span |
//! | [`nodes`] | who reports, since when, how much |
//!
//! Every room counts its bytes and stays under its share of the budget: history gets shorter, the oldest lines and
//! traces go, new series are refused last, and each of these is counted.

use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use ao_common::clock::now_ms;
use ao_common::units::{Size, Span};
use ao_proto::v1::Class;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::api::{Accepted, Answer, Batch, Decoded, Policy, Sink, Telemetry};
use crate::journal::CLASSES;
use crate::nodes::{AUTHOR, AUTHOR_NAME};

mod labels;

pub mod logs;
pub mod nodes;
pub mod series;
pub mod traces;

#[cfg(test)]
mod tests;

/// How much of the recent past is kept, and in how much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Memory for series; where it does not hold `history` of all of them, their history gets shorter.
    pub series_memory: Size,
    /// How far back a series' values are kept.
    pub history: Span,
    /// Memory for log lines; the node that takes most of it loses its oldest lines first.
    pub log_memory: Size,
    /// Lines of one node.
    pub log_lines: usize,
    /// Memory for traces; the oldest go first.
    pub trace_memory: Size,
    /// Nodes whose arrival rates are kept; the one unseen for longest goes first.
    pub nodes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            series_memory: Size::mib(64),
            history: Span::secs(30 * 60),
            log_memory: Size::mib(24),
            log_lines: 20_000,
            trace_memory: Size::mib(12),
            nodes: 1_000,
        }
    }
}

/// The recent past. Cheap to clone; each room has its own lock, held only as long as one frame or one answer takes.
#[derive(Clone)]
pub struct Store {
    rooms: Arc<Rooms>,
}

struct Rooms {
    series: Mutex<series::Book>,
    logs: Mutex<logs::Ring>,
    traces: Mutex<traces::Ring>,
    nodes: Mutex<nodes::Book>,
}

impl Store {
    /// An empty store.
    pub fn new(config: &Config) -> Self {
        let bytes = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
        let history_ms = i64::try_from(config.history.0.as_millis()).unwrap_or(i64::MAX);
        Self {
            rooms: Arc::new(Rooms {
                series: Mutex::new(series::Book::new(bytes(config.series_memory), history_ms)),
                logs: Mutex::new(logs::Ring::new(bytes(config.log_memory), config.log_lines)),
                traces: Mutex::new(traces::Ring::new(bytes(config.trace_memory))),
                nodes: Mutex::new(nodes::Book::new(config.nodes)),
            }),
        }
    }

    /// Takes in a frame of the journal.
    pub fn absorb(&self, frame: &Decoded) {
        self.absorb_records(frame, &frame.telemetry.records(), now_ms());
    }

    /// Takes in some records of a frame (their numbers, ascending) that arrived at a time, milliseconds.
    pub fn absorb_records(&self, frame: &Decoded, records: &[u32], now_ms: i64) {
        let named = node_label(&frame.telemetry);
        let node = match *frame.header.agent == AUTHOR {
            // No node's agent; its series name their nodes themselves.
            true => AUTHOR_NAME.into(),
            false => self.nodes().note(&frame.header, records.len() as u64, named, now_ms),
        };
        match &frame.telemetry {
            Telemetry::Metrics(keyframe, values) => {
                self.series().absorb(keyframe, values, records, &node, now_ms);
            }
            Telemetry::Logs(lines) => self.logs().absorb(lines, records, &node),
            Telemetry::Spans(request) => self.traces().absorb(request, records, &node),
        }
    }

    /// The room of the series, locked: copy what is needed and let go.
    pub fn series(&self) -> MutexGuard<'_, series::Book> {
        lock(&self.rooms.series)
    }

    /// The room of the log lines, locked.
    pub fn logs(&self) -> MutexGuard<'_, logs::Ring> {
        lock(&self.rooms.logs)
    }

    /// The room of the traces, locked.
    pub fn traces(&self) -> MutexGuard<'_, traces::Ring> {
        lock(&self.rooms.traces)
    }

    /// The room of the nodes, locked.
    pub fn nodes(&self) -> MutexGuard<'_, nodes::Book> {
        lock(&self.rooms.nodes)
    }
}

/// Nothing here can fail: what has no room is counted by the room that refused it.
impl Sink for Store {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn classes(&self) -> &'static [Class] {
        &CLASSES
    }

    fn policy(&self) -> Policy {
        // It takes all at once, so that nothing of it is late.
        Policy { max_records: 100_000, max_bytes: 8 << 20, fresh_first: false, ..Policy::default() }
    }

    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Answer> {
        let now_ms = now_ms();
        for part in &batch.parts {
            self.absorb_records(&part.frame, &part.records, now_ms);
        }
        Box::pin(ready(Ok(Accepted::default())))
    }
}

/// What the telemetry itself says about its node.
fn node_label(telemetry: &Telemetry) -> Option<&str> {
    match telemetry {
        Telemetry::Metrics(keyframe, _) => keyframe.series.iter().find_map(|s| labels::node(&s.labels)),
        Telemetry::Logs(frame) => frame.streams.iter().find_map(labels::node),
        Telemetry::Spans(request) => {
            let mut resources = request.resource_spans.iter().filter_map(|spans| spans.resource.as_ref());
            resources.find_map(|r| {
                let attribute = |name| traces::text_attribute(&r.attributes, name);
                attribute("k8s.node.name").or_else(|| attribute("host.name"))
            })
        }
    }
}

/// A poisoned room is still whole enough to show: every step of a change keeps its counts right or too high.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
