//! What goes into a journal and comes out of it, and what its owner provides.

use std::time::Duration;

use bytes::Bytes;

/// Names a keyframe within a journal. The owner chooses it (the aggregator: agent and keyframe id).
pub type Key = u128;

/// A place in one class's log: a segment's number and a byte offset in it. Ordered as the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Number of the segment, from 1, growing.
    pub segment: u64,
    /// Offset of a record's first byte.
    pub offset: u64,
}

/// What the owner of a class keeps in step with its log: file positions, ledger counters, sequence ranges. The journal
/// calls it in log order from the writer's thread, stores a snapshot at the head of each segment, and on opening
/// calls `restore` with the newest snapshot and then `apply` for every frame behind it: so it outlives older segments.
pub trait Fold: Send + 'static {
    /// The newest stored snapshot, before any `apply`; not called for a new log.
    fn restore(&mut self, snapshot: &[u8]);
    /// One frame was appended (or, on opening, found behind the snapshot).
    fn apply(&mut self, frame: &[u8]);
    /// One frame was deleted before the cursors named had passed it, for want of disk. Named are those that owed this
    /// very frame: of ranges that were left behind, those that it lies in. None where the class has no cursors.
    fn shed(&mut self, frame: &[u8], unread_by: &[&str]);
    /// The state as of the last `apply`.
    fn snapshot(&self) -> Vec<u8>;
}

/// One class, in the order of its worth: the last of the list is shed first.
pub struct Class {
    /// Name of its folder.
    pub name: &'static str,
    /// See [`Fold`].
    pub fold: Box<dyn Fold>,
}

/// Sizes and times.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Roll the segment at this size (4 MiB agent, 64 MiB aggregator), but never under 8 times what the next one
    /// repeats of it: the fold's state and the keyframes.
    pub segment_bytes: u64,
    /// Roll a segment that is older than this.
    pub segment_age: Duration,
    /// Disk budget over all classes; beyond it whole segments of the lowest class go first.
    pub budget_bytes: u64,
}

/// One frame to append.
#[derive(Clone, Debug)]
pub struct Append {
    /// The frame.
    pub frame: Bytes,
    /// The keyframe it depends on, written before it where the segment does not hold it yet.
    pub keyframe: Option<(Key, Bytes)>,
}

/// One record read back.
#[derive(Clone, Debug)]
pub struct Record {
    /// Where it begins.
    pub position: Position,
    /// Where the next one begins: what a cursor is advanced to once this one is done.
    pub end: Position,
    /// The keyframe it needs, as named at append.
    pub key: Option<Key>,
    /// The frame.
    pub frame: Bytes,
}

/// Figures of one class, for metrics and the console.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Bytes on disk.
    pub bytes: u64,
    /// Segments on disk.
    pub segments: u64,
    /// Frames appended since opening.
    pub appended: u64,
    /// Frames shed since opening.
    pub shed: u64,
    /// Damaged records skipped (bytes) and torn tails cut, found at opening or while reading.
    pub corrupt_records: u64,
    /// See `corrupt_records`.
    pub corrupt_bytes: u64,
    /// See `corrupt_records`.
    pub torn_tails: u64,
}
