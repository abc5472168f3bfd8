//! What a row of the ledger is made of.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ledger::Count;

/// One account: everything of a node's source in one class.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The node, or the agent's id where its node is not known.
    pub node: String,
    /// The agent's source.
    pub source: String,
    /// The class of frames.
    pub class: &'static str,
    /// What the agent says; `None` until its own metrics have come.
    pub agent: Option<AgentHalf>,
    /// What is durable in the journal.
    pub received: Amount,
    /// What became of it, for each sink that takes this class.
    pub sinks: Vec<Fate>,
    /// See [`Verdict`].
    pub verdict: Verdict,
    /// The verdict in words; empty where nothing is open.
    pub says: String,
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
    pub in_flight: Flight,
}

/// Records and bytes that are under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flight {
    /// Records.
    pub records: i64,
    /// Payload bytes.
    pub bytes: i64,
}

/// What an agent says: read = delivered + dropped + in flight.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AgentHalf {
    /// In its spool, at some time.
    pub read: Amount,
    /// Acknowledged by an aggregator, this one or another.
    pub delivered: Amount,
    /// Given up at the agent, by reason.
    pub dropped: BTreeMap<String, Amount>,
    /// Still in the spool.
    pub in_flight: Amount,
    /// Sent again; not part of the balance.
    pub resent: Amount,
    /// When it said so, milliseconds since 1970.
    pub at_ms: i64,
}

/// How a row stands; the worst last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything is delivered to every sink, or was given up and counted.
    #[default]
    Settled,
    /// In balance; something is still in the spool or in the journal.
    Moving,
    /// An aggregator has acknowledged more than was received here: another one has it, or this one's journal was
    /// begun anew.
    Away,
    /// Records are missing, or there are too many: a fault of ours.
    Off,
}

impl From<Count> for Amount {
    fn from(Count { records, bytes }: Count) -> Self {
        Self { records, bytes }
    }
}
