//! Which frames the journals hold, and the ledger's received counts: kept in step with the log, so that they outlive
//! its older segments.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ao_common::journal;
use ao_proto::frame;
use ao_proto::queue::QUEUES;
use ao_proto::v1::FrameHeader;
use bytes::Bytes;
use prost::Message;
use tracing::error;

use crate::journal::cursors::reader_of;
use crate::journal::ranges::Ranges;
use crate::journal::received::{Counts, Received};
use crate::ledger::{Count, Entry, Ledger};

/// What a sequence counts within. An epoch is of one queue, so that a frame is the same one whatever lane it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream {
    /// Agent's id.
    pub agent: [u8; 16],
    /// See `FrameHeader`.
    pub epoch: u64,
}

impl Stream {
    /// Of a frame; `None` where the agent's id is not 16 bytes.
    pub fn of(header: &FrameHeader) -> Option<Self> {
        let agent = header.agent.as_slice().try_into().ok()?;
        Some(Self { agent, epoch: header.epoch })
    }
}

/// Which frames the journals hold. Shared by the writer's thread and the streams.
#[derive(Debug, Default)]
pub struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In the log, by queue; of the newest ones the fsync may be still to come.
    logged: [HashMap<Stream, Ranges>; QUEUES.len()],
    /// Fsynced.
    durable: HashMap<Stream, Durable>,
    /// Handed to the journal and not yet fsynced, with the lane.
    claimed: HashMap<(Stream, u64), u32>,
}

/// What is fsynced of an epoch.
#[derive(Debug)]
struct Durable {
    /// The epoch's lane.
    lane: u32,
    ranges: Ranges,
}

/// What is known of a frame that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Not at all: it is claimed now, for the caller to append.
    New,
    /// On its way to the disk, by another call.
    Claimed,
    /// Fsynced.
    Durable,
}

impl Memory {
    /// Says what is known of a frame, and claims it where that is nothing.
    pub fn claim(&self, stream: Stream, lane: u32, sequence: u64) -> Known {
        let mut state = self.lock();
        if state.durable.get(&stream).is_some_and(|durable| durable.ranges.contains(sequence)) {
            return Known::Durable;
        }
        match state.claimed.entry((stream, sequence)) {
            Slot::Occupied(_) => Known::Claimed,
            Slot::Vacant(slot) => {
                slot.insert(lane);
                Known::New
            }
        }
    }

    /// A claimed frame was fsynced, or could not be.
    pub fn settle(&self, stream: Stream, sequence: u64, durable: bool) {
        let mut state = self.lock();
        if let Some(lane) = state.claimed.remove(&(stream, sequence))
            && durable
        {
            state.durable_of(stream, lane).insert(sequence);
        }
    }

    /// What is fsynced of the agent's epochs in this lane; other epochs of the agent in this lane are forgotten, since
    /// their frames will not come again.
    pub fn welcome(&self, agent: [u8; 16], lane: u32, epochs: &[u64]) -> Vec<(u64, Ranges)> {
        let mut state = self.lock();
        let keep = |stream: &Stream| stream.agent != agent || epochs.contains(&stream.epoch);
        state.durable.retain(|stream, durable| durable.lane != lane || keep(stream));
        for (logged, queue) in state.logged.iter_mut().zip(QUEUES) {
            logged.retain(|stream, _| queue.lane.number() != lane || keep(stream));
        }
        let mine = state.durable.iter().filter(|(s, durable)| s.agent == agent && durable.lane == lane);
        mine.map(|(stream, durable)| (stream.epoch, durable.ranges.clone())).collect()
    }

    /// Called once the journal is open: what it holds is on disk.
    pub(crate) fn all_durable(&self) {
        let mut state = self.lock();
        let logged = std::mem::take(&mut state.logged);
        for (streams, queue) in logged.iter().zip(QUEUES) {
            for (stream, ranges) in streams {
                let all = state.durable_of(*stream, queue.lane.number());
                ranges.iter().for_each(|(first, last)| all.insert_range(first, last));
            }
        }
        state.logged = logged;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn durable_of(&mut self, stream: Stream, lane: u32) -> &mut Ranges {
        let new = || Durable { lane, ranges: Ranges::default() };
        &mut self.durable.entry(stream).or_insert_with(new).ranges
    }
}

/// How the state lies in a segment's head.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<StoredStream>,
    #[prost(message, repeated, tag = "2")]
    counts: Vec<StoredCount>,
    #[prost(message, repeated, tag = "3")]
    shed: Vec<StoredCount>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredStream {
    #[prost(bytes = "vec", tag = "1")]
    agent: Vec<u8>,
    #[prost(fixed64, tag = "2")]
    epoch: u64,
    /// First and last, alternating.
    #[prost(uint64, repeated, tag = "4")]
    ranges: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredCount {
    #[prost(bytes = "vec", tag = "1")]
    agent: Vec<u8>,
    #[prost(string, tag = "2")]
    source: String,
    #[prost(uint64, tag = "3")]
    records: u64,
    #[prost(uint64, tag = "4")]
    bytes: u64,
    /// Of what was shed: the sink that had not read it.
    #[prost(string, tag = "5")]
    sink: String,
}

/// Keeps [`Memory`] and the ledger in step with one queue of the journal.
pub(crate) struct Fold {
    queue: usize,
    memory: Arc<Memory>,
    ledger: Ledger,
    /// Those that are configured.
    sinks: Vec<&'static str>,
    received: Arc<Mutex<Books>>,
    shed: Counts,
}

/// The received counts of a queue, and, once the journal is open, the note of them beside it.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(super) received: Counts,
    pub(super) note: Option<Received>,
}

/// Where nobody reads a queue.
const NOBODY: &str = "journal";

impl Fold {
    pub(crate) fn new(queue: usize, memory: Arc<Memory>, ledger: Ledger, sinks: &[&'static str]) -> Self {
        let sinks = [sinks, &[NOBODY]].concat();
        Self { queue, memory, ledger, sinks, received: Arc::default(), shed: Counts::new() }
    }

    /// For whoever opens the journal: its note is to be made then.
    pub(super) fn books(&self) -> Arc<Mutex<Books>> {
        Arc::clone(&self.received)
    }

    fn receive(&mut self, header: &FrameHeader, count: Count) {
        let mut books = locked(&self.received);
        add(&mut books.received, header, "", count);
        if let Some(note) = &mut books.note {
            note.add(&key(header, ""), count);
        }
        drop(books);
        self.ledger.add(header, Entry::Received, count);
    }

    fn drop(&mut self, header: &FrameHeader, sink: &str, count: Count) {
        add(&mut self.shed, header, sink, count);
        // That of a sink which is not configured now is kept, and shown once it is again.
        if let Some(sink) = self.sinks.iter().find(|known| **known == sink) {
            self.ledger.add(header, Entry::Dropped(sink, "shed"), count);
        }
    }
}

fn add(counts: &mut Counts, header: &FrameHeader, sink: &str, count: Count) {
    counts.entry(key(header, sink)).or_default().add(count);
}

fn key(header: &FrameHeader, sink: &str) -> (Vec<u8>, String, String) {
    (header.agent.clone(), header.source.clone(), sink.to_owned())
}

pub(super) fn locked(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

fn store(counts: &Counts) -> Vec<StoredCount> {
    let stored = |((agent, source, sink), count): (&(Vec<u8>, String, String), &Count)| StoredCount {
        agent: agent.clone(),
        source: source.clone(),
        records: count.records,
        bytes: count.bytes,
        sink: sink.clone(),
    };
    counts.iter().map(stored).collect()
}

impl journal::Fold for Fold {
    fn restore(&mut self, snapshot: &[u8]) {
        let stored = match Stored::decode(snapshot) {
            Ok(stored) => stored,
            Err(error) => {
                error!(%error, "the journal's state cannot be read; frames that agents send again may be doubled");
                return;
            }
        };
        let memory = Arc::clone(&self.memory);
        let mut state = memory.lock();
        for stored in stored.streams {
            let Ok(agent) = stored.agent.try_into() else { continue };
            let stream = Stream { agent, epoch: stored.epoch };
            let ranges = state.logged[self.queue].entry(stream).or_default();
            for pair in stored.ranges.chunks_exact(2) {
                ranges.insert_range(pair[0], pair[1]);
            }
        }
        drop(state);
        let class = QUEUES[self.queue].class.into();
        let read = |c: StoredCount| {
            let header = FrameHeader { agent: c.agent, source: c.source, class, ..FrameHeader::default() };
            (header, c.sink, Count { records: c.records, bytes: c.bytes })
        };
        for (header, _, count) in stored.counts.into_iter().map(read) {
            self.receive(&header, count);
        }
        for (header, sink, count) in stored.shed.into_iter().map(read) {
            self.drop(&header, &sink, count);
        }
    }

    fn apply(&mut self, sealed: &[u8]) {
        // Checked when it came in.
        let Ok(opened) = frame::open(&Bytes::copy_from_slice(sealed)) else { return };
        if let Some(stream) = Stream::of(&opened.header) {
            let mut state = self.memory.lock();
            state.logged[self.queue].entry(stream).or_default().insert(opened.header.sequence);
        }
        self.receive(&opened.header, Count::of(&opened.header));
    }

    fn shed(&mut self, sealed: &[u8], unread_by: &[&str]) {
        let Ok(opened) = frame::open(&Bytes::copy_from_slice(sealed)) else { return };
        // A sink may have left it behind twice over a crash: it is owed once.
        let sinks: BTreeSet<&str> = unread_by.iter().map(|cursor| reader_of(cursor)).collect();
        let nobody = sinks.is_empty().then_some(NOBODY);
        for sink in sinks.into_iter().chain(nobody) {
            self.drop(&opened.header, sink, Count::of(&opened.header));
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        let state = self.memory.lock();
        let streams = state.logged[self.queue].iter().map(|(stream, ranges)| StoredStream {
            agent: stream.agent.to_vec(),
            epoch: stream.epoch,
            ranges: ranges.iter().flat_map(|(first, last)| [first, last]).collect(),
        });
        let (counts, shed) = (store(&locked(&self.received).received), store(&self.shed));
        Stored { streams: streams.collect(), counts, shed }.encode_to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Stream = Stream { agent: [7; 16], epoch: 3 };

    /// Scenario: a frame comes, comes again on another call while it is written, and once more after its fsync; a
    /// second one cannot be written.
    /// Guarantees: it is appended once; the second may be claimed again.
    #[test]
    fn a_frame_is_claimed_once() {
        let memory = Memory::default();
        assert_eq!(memory.claim(STREAM, 0, 1), Known::New);
        assert_eq!(memory.claim(STREAM, 0, 1), Known::Claimed);
        memory.settle(STREAM, 1, true);
        assert_eq!(memory.claim(STREAM, 0, 1), Known::Durable);
        assert_eq!(memory.claim(STREAM, 0, 2), Known::New);
        memory.settle(STREAM, 2, false);
        assert_eq!(memory.claim(STREAM, 0, 2), Known::New);
    }

    /// Scenario: an agent that has lost interest in an epoch greets in one lane.
    /// Guarantees: only what it names is kept and reported; other agents' frames stay, and so do those of its other lane.
    #[test]
    fn old_epochs_are_forgotten() {
        let memory = Memory::default();
        let other = Stream { agent: [8; 16], ..STREAM };
        let old = Stream { epoch: 2, ..STREAM };
        for stream in [STREAM, old, other] {
            memory.claim(stream, 0, 5);
            memory.settle(stream, 5, true);
        }
        let backlog = Stream { epoch: 9, ..STREAM };
        memory.claim(backlog, 1, 5);
        memory.settle(backlog, 5, true);
        let have = memory.welcome([7; 16], 0, &[3]);
        assert_eq!(have.iter().map(|(epoch, _)| *epoch).collect::<Vec<_>>(), [3]);
        assert_eq!(memory.claim(old, 0, 5), Known::New);
        assert_eq!(memory.claim(other, 0, 5), Known::Durable);
        assert_eq!(memory.claim(backlog, 1, 5), Known::Durable);
    }

    /// Scenario: frames are logged, the state is stored and restored in a new process.
    /// Guarantees: the same frames are known, the ledger's counts go on.
    #[test]
    fn the_state_outlives_its_segments() {
        use journal::Fold as _;
        let header = FrameHeader {
            agent: vec![7; 16],
            epoch: 3,
            sequence: 9,
            class: QUEUES[0].class.into(),
            source: "collector".to_owned(),
            records: 10,
            bytes: 160,
            ..FrameHeader::default()
        };
        let mut before = Fold::new(0, Arc::default(), Ledger::default(), &[]);
        before.apply(&frame::seal(&header, &[]));
        let ledger = Ledger::default();
        let memory = Arc::new(Memory::default());
        let mut after = Fold::new(0, Arc::clone(&memory), ledger.clone(), &[]);
        after.restore(&before.snapshot());
        memory.all_durable();
        assert_eq!(memory.claim(STREAM, 0, 9), Known::Durable);
        assert_eq!(ledger.lines()[0].2, Count { records: 10, bytes: 160 });
    }

    /// Scenario: a frame is shed that one sink has read, one has not, and a third has left behind; then one that nobody
    /// reads; the state is stored and restored where the third sink is no longer configured, and where it is again.
    /// Guarantees: it counts as dropped for those that were owed it, once each, over restarts.
    #[test]
    fn shed_for_those_that_had_not_read_it() {
        use journal::Fold as _;
        let header = FrameHeader {
            agent: vec![7; 16],
            class: QUEUES[0].class.into(),
            records: 10,
            bytes: 160,
            ..FrameHeader::default()
        };
        let sealed = frame::seal(&header, &[]);
        let open = |sinks: &[&'static str], state: Option<Vec<u8>>| {
            let ledger = Ledger::default();
            let mut fold = Fold::new(0, Arc::default(), ledger.clone(), sinks);
            if let Some(state) = state {
                fold.restore(&state);
            }
            (fold, ledger)
        };
        let dropped = |ledger: &Ledger| -> Vec<_> {
            let mut sinks = Vec::new();
            for (_, entry, count) in ledger.lines() {
                let Entry::Dropped(sink, "shed") = entry else { continue };
                sinks.push((sink, count.records, count.bytes));
            }
            sinks
        };
        let (mut fold, ledger) = open(&["embedded", "loki", "tempo"], None);
        fold.apply(&sealed);
        fold.shed(&sealed, &["loki.late.3", "tempo", "loki.late.12"]);
        fold.apply(&sealed);
        fold.shed(&sealed, &[]);
        let all = [("journal", 10, 160), ("loki", 10, 160), ("tempo", 10, 160)];
        assert_eq!(dropped(&ledger), all);
        let (fold, ledger) = open(&["embedded", "loki"], Some(fold.snapshot()));
        assert_eq!(dropped(&ledger), all[..2]);
        let (_, ledger) = open(&["embedded", "loki", "tempo"], Some(fold.snapshot()));
        assert_eq!(dropped(&ledger), all);
    }
}
