//! Log lines: the newest of each node, in a bounded number of bytes, and the search in them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ao_proto::logs::{LogFrame, Pair};
use ao_proto::model::Labels;

mod level;
mod line;
mod query;

pub use level::Level;
pub use line::Line;
pub use query::Query;

/// A longer line is cut here: the console shows it, nobody greps a dump in it.
const MAX_LINE_BYTES: usize = 8 << 10;
/// What a line costs besides its text.
const LINE_BYTES: usize = 96;
const STREAM_BYTES: usize = 160;
const PAIR_BYTES: usize = 48;

/// The lines of all nodes.
#[derive(Debug)]
pub struct Ring {
    nodes: HashMap<Arc<str>, Shelf>,
    streams: HashMap<Labels, Arc<Labels>>,
    none: Arc<[Pair]>,
    max_bytes: usize,
    max_lines: usize,
    bytes: usize,
    arrived: u64,
    evicted: u64,
}

#[derive(Debug, Default)]
struct Shelf {
    lines: VecDeque<Line>,
    bytes: usize,
}

/// How full the room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fill {
    /// Lines kept.
    pub lines: usize,
    /// Bytes that they take, by our own count.
    pub bytes: usize,
    /// The bound.
    pub max_bytes: usize,
    /// Lines that have come since the start.
    pub arrived: u64,
    /// Lines that made way for newer ones.
    pub evicted: u64,
}

impl Ring {
    /// An empty ring of at most so many bytes, and so many lines of each node.
    pub fn new(max_bytes: usize, max_lines: usize) -> Self {
        Self {
            nodes: HashMap::new(),
            streams: HashMap::new(),
            none: Arc::new([]),
            max_bytes,
            max_lines: max_lines.max(1),
            bytes: 0,
            arrived: 0,
            evicted: 0,
        }
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        Fill {
            lines: self.nodes.values().map(|shelf| shelf.lines.len()).sum(),
            bytes: self.bytes,
            max_bytes: self.max_bytes,
            arrived: self.arrived,
            evicted: self.evicted,
        }
    }

    /// Takes in the lines of a frame that have these numbers.
    pub(super) fn absorb(&mut self, frame: &LogFrame, records: &[u32], node: &Arc<str>) {
        let mut records = records.iter().copied().peekable();
        for (number, (entry, text, metadata)) in (0..).zip(frame.iter()) {
            if records.next_if_eq(&number).is_none() {
                continue;
            }
            let Some(labels) = frame.streams.get(entry.stream as usize) else { continue };
            let stream = self.stream(labels);
            let named = super::labels::node(labels).filter(|n| *n != &**node);
            let node = named.map_or_else(|| node.clone(), Arc::from);
            self.arrived += 1;
            let shared = frame.shared_by(entry).filter(|shared| !shared.pairs().is_empty());
            let shared = shared.map(|shared| self.stream(shared));
            let metadata = if metadata.is_empty() { self.none.clone() } else { metadata.into() };
            let line = Line {
                number: self.arrived,
                at_ns: entry.at_ns,
                level: Level::of(labels, &metadata, text),
                node: node.clone(),
                stream,
                text: cut(text).into(),
                metadata,
                shared,
            };
            self.put(node, line);
        }
    }

    /// The newest `limit` lines that match, oldest first; lines of a number up to `after` are known already.
    pub fn find(&self, node: &str, query: &Query, after: u64, limit: usize) -> Vec<Line> {
        let shelves = self.nodes.iter().filter(|(name, _)| node.is_empty() || &***name == node);
        let mut found: Vec<&Line> = Vec::new();
        for (_, shelf) in shelves {
            let newest = shelf.lines.iter().rev().take_while(|line| line.number > after);
            found.extend(newest.filter(|line| query.matches(line)).take(limit));
        }
        found.sort_unstable_by_key(|line| std::cmp::Reverse(line.number));
        found.truncate(limit);
        let mut found: Vec<Line> = found.into_iter().cloned().collect();
        found.sort_by_key(|line| (line.at_ns, line.number));
        found
    }

    /// The number of the newest line.
    pub fn newest(&self) -> u64 {
        self.arrived
    }

    /// Shares the labels, or the common metadata, of lines that come from one stream: every frame brings its own copy of them.
    fn stream(&mut self, labels: &Labels) -> Arc<Labels> {
        if let Some(known) = self.streams.get(labels) {
            return known.clone();
        }
        let stream = Arc::new(labels.clone());
        self.bytes += stream_cost(labels);
        self.streams.insert(labels.clone(), stream.clone());
        stream
    }

    fn put(&mut self, node: Arc<str>, line: Line) {
        let cost = line_cost(&line);
        let shelf = self.nodes.entry(node.clone()).or_default();
        shelf.bytes += cost;
        shelf.lines.push_back(line);
        self.bytes += cost;
        if shelf.lines.len() > self.max_lines {
            self.evict(&node);
        }
        while self.bytes > self.max_bytes {
            // Fair to the quiet: whoever takes most gives first.
            let Some(loudest) = self.nodes.iter().max_by_key(|(_, shelf)| shelf.bytes) else { break };
            let loudest = loudest.0.clone();
            if !self.evict(&loudest) {
                break;
            }
        }
    }

    fn evict(&mut self, node: &Arc<str>) -> bool {
        let Some(shelf) = self.nodes.get_mut(node) else { return false };
        let Some(line) = shelf.lines.pop_front() else { return false };
        let cost = line_cost(&line);
        shelf.bytes -= cost;
        self.bytes -= cost;
        self.evicted += 1;
        if shelf.lines.is_empty() {
            self.nodes.remove(node);
        }
        for labels in [Some(&line.stream), line.shared.as_ref()].into_iter().flatten() {
            // Held by the map and by this line alone: its stream has no line left.
            if Arc::strong_count(labels) == 2 {
                self.bytes -= stream_cost(labels);
                self.streams.remove(&**labels);
            }
        }
        true
    }
}

fn line_cost(line: &Line) -> usize {
    let pairs: usize = line.metadata.iter().map(|(n, v)| PAIR_BYTES + n.len() + v.len()).sum();
    LINE_BYTES + line.text.len() + pairs
}

fn stream_cost(labels: &Labels) -> usize {
    STREAM_BYTES + labels.iter().map(|(n, v)| PAIR_BYTES + n.len() + v.len()).sum::<usize>()
}

/// At most [`MAX_LINE_BYTES`], cut between two characters.
fn cut(text: &str) -> &str {
    let end = (0..=MAX_LINE_BYTES.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    text.split_at(end).0
}
