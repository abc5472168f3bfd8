//! The durable segment log with named cursors: the agent's spool and the aggregator's journal are both one of these.
//! (Layout, files and guarantees: to be written here with the implementation.)

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

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
    /// One frame was deleted before the cursors named had passed it, for want of disk.
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
    /// Roll the segment at this size (4 MiB agent, 64 MiB aggregator), but see DESIGN: never under 8 times the
    /// live keyframes.
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

/// Why the journal cannot go on. Each names the path and the operation.
#[derive(Debug, thiserror::Error, Clone)]
pub enum JournalError {
    /// To come.
    #[error("journal")]
    Todo,
}

/// All classes of one data folder; one writer thread. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    _inner: Arc<()>,
}

impl Journal {
    /// Opens or creates; takes a lock on the folder, so that two processes cannot write to it. Blocking.
    ///
    /// # Errors
    /// Where the folder cannot be used. Damage is no error: it is skipped and counted.
    pub fn open(_dir: &Path, _classes: Vec<Class>, _options: Options) -> Result<Self, JournalError> {
        unimplemented!()
    }

    /// Hands frames of one class (by its number in the list) to the writer, waiting while its queue is full.
    /// The order of calls is the order in the log. What is returned resolves once they are fsynced (group commit).
    ///
    /// # Errors
    /// Where the writer has stopped.
    pub async fn append(&self, _class: usize, _frames: Vec<Append>) -> Result<Pending, JournalError> {
        unimplemented!()
    }

    /// The end of what is fsynced, for readers that wait.
    pub fn durable(&self, _class: usize) -> watch::Receiver<Position> {
        unimplemented!()
    }

    /// A named cursor, made at the log's beginning if new. Segments that all cursors of the class have passed are
    /// deleted; a class without cursors keeps everything within the budget.
    ///
    /// # Errors
    /// Where its file cannot be read or written.
    pub fn cursor(&self, _class: usize, _name: &str) -> Result<Cursor, JournalError> {
        unimplemented!()
    }

    /// Reads from a position on (one that was shed or deleted: from the oldest that there is).
    pub fn reader(&self, _class: usize, _from: Position) -> Reader {
        unimplemented!()
    }

    /// Figures.
    pub fn stats(&self, _class: usize) -> Stats {
        unimplemented!()
    }

    /// Writes and fsyncs what is queued, then ends the writer. Later appends are refused.
    pub async fn close(&self) {
        unimplemented!()
    }
}

/// Resolves when the frames are durable, with the end of the last one.
pub struct Pending {
    _todo: (),
}

impl Pending {
    /// Waits for the fsync.
    ///
    /// # Errors
    /// Where they could not be written; nothing of them is then in the log.
    pub async fn durable(self) -> Result<Position, JournalError> {
        unimplemented!()
    }
}

/// A reader's durable position, with the end of the request that is under way.
pub struct Cursor {
    _todo: (),
}

impl Cursor {
    /// Everything before it is done.
    pub fn position(&self) -> Position {
        unimplemented!()
    }

    /// End of a request that may have been sent before a crash: it is sent again in exactly these bounds.
    pub fn pending(&self) -> Option<Position> {
        unimplemented!()
    }

    /// Notes the end of the request about to be sent; survives a crash of the process (no fsync).
    ///
    /// # Errors
    /// Where the cursor's file cannot be written.
    pub fn begin(&mut self, _end: Position) -> Result<(), JournalError> {
        unimplemented!()
    }

    /// Moves on, fsynced, and clears what is pending. Blocking.
    ///
    /// # Errors
    /// Where the cursor's file cannot be written.
    pub fn advance(&mut self, _to: Position) -> Result<(), JournalError> {
        unimplemented!()
    }
}

/// Reads frames in order. Blocking, but only on disk: `None` at the durable end.
pub struct Reader {
    _todo: (),
}

impl Reader {
    /// The next frame that is durable.
    ///
    /// # Errors
    /// Where the disk fails. Damaged records are skipped and counted.
    pub fn read(&mut self) -> Result<Option<Record>, JournalError> {
        unimplemented!()
    }

    /// A keyframe of the segment that the last frame came from.
    pub fn keyframe(&mut self, _key: Key) -> Option<Bytes> {
        unimplemented!()
    }

    /// Where the next call reads.
    pub fn position(&self) -> Position {
        unimplemented!()
    }
}
