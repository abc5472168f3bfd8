//! Nodes: who reports, when last, and how much of each class arrived in the last half hour.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use ao_proto::v1::FrameHeader;

/// Length of one slot of the arrival rates.
pub const SLOT_MS: i64 = 10_000;
/// Slots kept: half an hour.
pub const SLOTS: usize = 180;
/// Classes of frames: metrics, spans, logs, logs_low.
pub const CLASSES: usize = 4;

/// Records and bytes of one class, slot by slot.
#[derive(Clone, Debug)]
pub struct Arrivals {
    slots: Box<[(u64, u64); SLOTS]>,
    newest: i64,
    /// Records since the start.
    pub records: u64,
    /// Bytes since the start.
    pub bytes: u64,
    /// Milliseconds; 0 where none came.
    pub last_ms: i64,
}

/// One agent.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name, or the agent's id until its telemetry has named it.
    pub name: Arc<str>,
    /// The agent's id.
    pub agent: [u8; 16],
    /// First and last frame, milliseconds by our clock.
    pub first_ms: i64,
    /// See `first_ms`.
    pub last_ms: i64,
    /// By class, in the order of [`CLASSES`].
    pub arrivals: [Arrivals; CLASSES],
    named: bool,
}

/// All agents.
#[derive(Debug)]
pub struct Book {
    nodes: HashMap<[u8; 16], Node>,
    max: usize,
}

impl Book {
    /// An empty book of at most so many nodes.
    pub fn new(max: usize) -> Self {
        Self { nodes: HashMap::new(), max: max.max(1) }
    }

    /// Notes so many records of a frame; `named` is the node's name as far as the frame says it. Returns the name to
    /// go by.
    pub(super) fn note(
        &mut self,
        header: &FrameHeader,
        records: u64,
        named: Option<&str>,
        now_ms: i64,
    ) -> Arc<str> {
        let mut agent = [0; 16];
        let n = header.agent.len().min(16);
        agent[..n].copy_from_slice(&header.agent[..n]);
        if !self.nodes.contains_key(&agent) && self.nodes.len() >= self.max {
            let oldest = self.nodes.values().min_by_key(|node| node.last_ms).map(|node| node.agent);
            oldest.map(|agent| self.nodes.remove(&agent));
        }
        let node = self.nodes.entry(agent).or_insert_with(|| Node::new(agent, now_ms));
        if let Some(name) = named.filter(|name| !node.named || **name != *node.name) {
            node.name = name.into();
            node.named = true;
        }
        node.last_ms = node.last_ms.max(now_ms);
        // A part of a frame brings its share of the bytes.
        let bytes = (u128::from(header.bytes) * u128::from(records)).checked_div(u128::from(header.records));
        let bytes = bytes.map_or(header.bytes, |bytes| bytes as u64);
        let class = usize::try_from(header.class - 1).unwrap_or(0).min(CLASSES - 1);
        node.arrivals[class].add(records, bytes, now_ms);
        node.name.clone()
    }

    /// All nodes in order of their names.
    pub fn all(&self) -> Vec<Node> {
        let mut all: Vec<Node> = self.nodes.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name).then(a.agent.cmp(&b.agent)));
        all
    }

    /// An agent's node.
    pub fn name_of(&self, agent: &[u8; 16]) -> Option<Arc<str>> {
        self.nodes.get(agent).map(|node| node.name.clone())
    }
}

impl Node {
    fn new(agent: [u8; 16], now_ms: i64) -> Self {
        Self {
            name: short(&agent).into(),
            agent,
            first_ms: now_ms,
            last_ms: now_ms,
            arrivals: std::array::from_fn(|_| Arrivals::new()),
            named: false,
        }
    }
}

impl Arrivals {
    fn new() -> Self {
        Self { slots: Box::new([(0, 0); SLOTS]), newest: 0, records: 0, bytes: 0, last_ms: 0 }
    }

    fn add(&mut self, records: u64, bytes: u64, now_ms: i64) {
        self.records += records;
        self.bytes += bytes;
        self.last_ms = self.last_ms.max(now_ms);
        let slot = now_ms.div_euclid(SLOT_MS);
        if slot > self.newest {
            let stale = (slot - self.newest).min(SLOTS as i64);
            for old in slot - stale + 1..=slot {
                self.slots[index(old)] = (0, 0);
            }
            self.newest = slot;
        } else if slot <= self.newest - SLOTS as i64 {
            return;
        }
        let (sum_records, sum_bytes) = &mut self.slots[index(slot)];
        *sum_records += records;
        *sum_bytes += bytes;
    }

    /// Records and bytes that arrived in a slot (milliseconds / [`SLOT_MS`]).
    pub fn slot(&self, slot: i64) -> (u64, u64) {
        if slot > self.newest || slot <= self.newest - SLOTS as i64 {
            return (0, 0);
        }
        self.slots[index(slot)]
    }

    /// Records and bytes a second over the last whole minute.
    pub fn rate(&self, now_ms: i64) -> (f64, f64) {
        let end = now_ms.div_euclid(SLOT_MS);
        let sum = (end - 6..end).map(|slot| self.slot(slot)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        (sum.0 as f64 / 60.0, sum.1 as f64 / 60.0)
    }
}

fn index(slot: i64) -> usize {
    usize::try_from(slot.rem_euclid(SLOTS as i64)).unwrap_or(0)
}

/// The first half of an agent's id, in hex.
pub fn short(agent: &[u8; 16]) -> String {
    agent[..8].iter().fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ok = write!(out, "{byte:02x}");
        out
    })
}
