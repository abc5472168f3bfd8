//! The ledger: for every node, source and class, received = delivered + dropped{reason} + in flight, per sink, in
//! records and bytes. Counted from the frames' headers; nothing here decodes a payload.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ao_proto::v1::{Class, FrameHeader};

/// Records and their payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Samples, lines or spans.
    pub records: u64,
    /// Payload bytes as read at the source.
    pub bytes: u64,
}

/// What one line of the ledger is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Account {
    /// Agent's id.
    pub agent: [u8; 16],
    /// The ledger's source: "collector", "logs", ...
    pub source: String,
    /// Class of the frames.
    pub class: i32,
}

/// What became of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// Durable in the aggregator's journal.
    Received,
    /// Accepted by a sink's backend.
    Delivered(&'static str),
    /// Given up for a sink ("journal" for all sinks), with the reason.
    Dropped(&'static str, &'static str),
    /// Sent again to a sink after a crash or an unclear answer.
    Resent(&'static str),
}

/// Shared by ingest, the fan-out workers and the console.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    lines: Arc<Mutex<BTreeMap<(Account, Entry), Count>>>,
}

impl Ledger {
    /// Adds to a line. For a part of a frame (a refused record) pass that part's count.
    pub fn add(&self, header: &FrameHeader, entry: Entry, count: Count) {
        self.add_to(Account::of(header), entry, count);
    }

    /// Adds to an account's line.
    pub fn add_to(&self, account: Account, entry: Entry, count: Count) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry((account, entry)).or_default();
        line.records += count.records;
        line.bytes += count.bytes;
    }

    /// All lines.
    pub fn lines(&self) -> Vec<(Account, Entry, Count)> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|((account, entry), count)| (account.clone(), *entry, *count)).collect()
    }
}

impl Account {
    /// That a frame is counted in.
    pub fn of(header: &FrameHeader) -> Self {
        let mut agent = [0; 16];
        let n = header.agent.len().min(16);
        agent[..n].copy_from_slice(&header.agent[..n]);
        Self { agent, source: header.source.clone(), class: header.class }
    }
}

impl Count {
    /// A whole frame's.
    pub fn of(header: &FrameHeader) -> Self {
        Self { records: header.records, bytes: header.bytes }
    }
}

/// The class's name in metrics, files and the console.
pub fn class_name(class: i32) -> &'static str {
    match Class::try_from(class) {
        Ok(Class::Metrics) => "metrics",
        Ok(Class::Spans) => "spans",
        Ok(Class::Logs) => "logs",
        Ok(Class::LogsLow) => "logs_low",
        _ => "unknown",
    }
}
