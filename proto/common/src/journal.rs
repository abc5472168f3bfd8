//! The durable segment log with named cursors: the agent's spool and the aggregator's journal are both one of these.
//!
//! One log per class. Frames are appended by one writer thread, made durable in groups by one fsync, and read by any
//! number of readers; whoever must not lose its place has a named cursor. Segments that all cursors have passed are
//! deleted; beyond the disk budget whole segments of the least valuable class are shed.
//!
//! | file | what it holds |
//! |---|---|
//! | `api.rs` | frames, positions, options, and the [`Fold`] that the owner provides |
//! | `storage.rs` | the only door to the disk, so that tests can crash it |
//! | `record.rs` | one record: encoded, checked |
//! | `scan.rs` | from record to record, and over damage to the next |
//! | `catalog.rs` | what writer, readers and cursors share: segments, positions, counters |
//! | `recovery.rs` | opening: which segments count, and the fold's state |
//! | `witness.rs` | how far a log was fsynced, noted beside it |
//! | `survey.rs` | what is good in a segment that a crash may have torn |
//! | `writer.rs` | the thread: write, fsync, acknowledge, delete what was read |
//! | `active.rs` | the segment that is being written |
//! | `budget.rs` | shedding, counted |
//! | `inner.rs` | what the journal, its cursors and its readers hold together |
//! | `cursor.rs` | a named position, and the ranges it leaves behind |
//! | `mark.rs` | a cursor's file |
//! | `reader.rs` | frames in order, and their keyframes |
//! | `examine.rs` | a look through one segment that changes nothing |
//! | `inspect.rs`, `repair.rs` | the journal as a whole, for a person: what is in it, and damage put away |
//! | `report.rs`, `text.rs` | what they found, as data and for reading |
//! | `command.rs` | the two as commands |
//! | `error.rs` | why something cannot be done |
//!
//! # On disk
//!
//! ```text
//! DIR/lock                         flock: one process at a time
//! DIR/CLASS/NAME.cursor, .range    see `mark.rs`
//! DIR/CLASS/durable                see `witness.rs`
//! DIR/CLASS/0123456789abcdef.seg   records, one behind the other; the number grows from 1
//!
//! record:  0  magic     F8 41 4F F9
//!          4  crc32c    of bytes 8..44, begun with segment number and offset (u64 each): a copy elsewhere is no record
//!          8  crc32c    of the payload
//!         12  length    of the payload
//!         16  kind      1 segment, 2 state, 3 keyframe, 4 frame, 5 frame with a key, 6 mark, 7 gap; then 3 bytes 0
//!         20  key       u128: of the keyframe; of a state the oldest segment that counts
//!         36  synced    u64: offset up to which the segment was fsynced when this was written
//!         44  payload   segment: version u16 = 1, class; state: Fold::snapshot(); gap: what was damaged there
//! ```
//!
//! All numbers are little-endian. A segment begins with a segment record and a state record; a frame's keyframe stands
//! before it in the same segment: each segment can be read, lost or deleted by itself. Frames are only written by the
//! process that made the segment; a restart begins a new one with its first append.
//!
//! # Guarantees
//!
//! - What [`Pending::durable`] has acknowledged is read back, in order, each frame at one position, after any crash of
//!   process or machine, until all cursors have passed it or it is shed, and then [`Fold::shed`] was told.
//! - What was not acknowledged is there after a crash or is not, but never with a gap before it.
//! - A call's frames lie in one segment; if they cannot be written, none of them is in the log. (A crash right after
//!   the failure may bring some back: whoever appends them again has them twice, at least once.)
//! - Damage costs the records that it hits. It is told from a torn write by `synced` and by the file `durable`: damage
//!   before them is skipped and counted, what lies behind is cut. (A damaged keyframe also costs the frames that need it.
//!   Where a power cut and damage come together, all of the last batch behind the damage is cut.)
//! - A cursor never goes back behind an `advance` that returned. A range that it left behind ([`Cursor::leave_behind`])
//!   and what it goes on with make all that it owed, without overlap, also after a crash between the two steps.
//! - After a failed fsync nothing more is written to that segment, and what waited for it fails.
//! - [`Fold`] holds exactly the frames that were acknowledged or recovered. Frames are counted as shed before their
//!   segment is deleted, in one durable step; only where a full disk leaves no room for the count does the deletion
//!   come first, and a crash between the two loses the count (it is logged).
//! - Memory: a queue of 8 MiB, one 256 KiB buffer per reader, the keys of the keyframes in the segments at hand.
//!   Opening reads the newest segment of each class, and asks the others' size.

use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

mod api;
mod error;

mod storage;

mod record;
mod scan;

mod catalog;
mod recovery;
mod survey;
mod witness;

mod active;
mod budget;
mod writer;

mod inner;

mod cursor;
mod mark;
mod reader;

mod examine;
mod inspect;
mod repair;
mod report;
mod text;

mod command;

pub use api::{Append, Class, Fold, Key, Options, Position, Record, Stats};
pub use command::{Args, CommandError, command};
pub use cursor::Cursor;
pub use error::JournalError;
pub use inspect::inspect;
pub use reader::Reader;
pub use repair::{Act, Mend, repair};
pub use report::{About, Content, CursorReport, Damage, LogReport, Report, What};
pub use text::Text;

use catalog::{Shared, locked};
use inner::Inner;
use storage::{Os, Storage};
use writer::{QUEUE_BYTES, QUEUE_CALLS, Request, Writer};

/// All classes of one data folder; one writer thread. Cheap to clone. When the last clone, cursor and reader are gone,
/// what is queued is written and the folder is free; [`Journal::close`] does that at once.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

impl Journal {
    /// Opens or creates; takes a lock on the folder, so that two processes cannot write to it. Blocking.
    ///
    /// # Errors
    /// Where the folder cannot be used. Damage is no error: it is skipped and counted.
    pub fn open(dir: &Path, classes: Vec<Class>, options: Options) -> Result<Self, JournalError> {
        Self::open_with(Arc::new(Os), dir, classes, options)
    }

    pub(crate) fn open_with(
        storage: Arc<dyn Storage>,
        dir: &Path,
        classes: Vec<Class>,
        options: Options,
    ) -> Result<Self, JournalError> {
        let (journal, mut writer, queue, end) = Self::assemble(storage, dir, classes, options)?;
        writer.begin();
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(queue, end))
            .map_err(JournalError::io("start the writer of", dir))?;
        *locked(&journal.inner.thread) = Some(thread);
        Ok(journal)
    }

    /// Everything but the thread: a test runs the writer step by step. Whoever waits for the end waits for the last
    /// part to be dropped.
    #[allow(clippy::type_complexity)]
    fn assemble(
        storage: Arc<dyn Storage>,
        dir: &Path,
        classes: Vec<Class>,
        options: Options,
    ) -> Result<(Self, Writer, mpsc::Receiver<Request>, watch::Sender<()>), JournalError> {
        storage.create_dir(dir).map_err(JournalError::io("create", dir))?;
        let path = dir.join("lock");
        let lock = storage.lock(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => JournalError::Locked { path: dir.to_owned() },
            _ => JournalError::io("lock", &path)(error),
        })?;
        let (mut logs, mut writing) = (Vec::new(), Vec::new());
        for class in classes {
            let (log, state) = recovery::open(&*storage, dir, class)?;
            logs.push(log);
            writing.push(state);
        }
        let lock = RwLock::new(Some(lock));
        let shared = Arc::new(Shared { storage, dir: dir.to_owned(), classes: logs, lock });
        let (queue, requests) = mpsc::channel(QUEUE_CALLS);
        let (end, ended) = watch::channel(());
        let writer = Writer::new(shared.clone(), options, writing);
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        let inner = Inner { shared, queue, room, thread: Mutex::new(None), ended };
        Ok((Self { inner: Arc::new(inner) }, writer, requests, end))
    }

    /// Hands frames of one class (by its number in the list) to the writer, waiting while its queue is full.
    /// The order of calls is the order in the log. What is returned resolves once they are fsynced (group commit).
    ///
    /// # Errors
    /// Where the writer has stopped, there is no such class, or a frame or keyframe is over 64 MiB.
    pub async fn append(&self, class: usize, frames: Vec<Append>) -> Result<Pending, JournalError> {
        let classes = self.inner.shared.classes.len();
        if class >= classes {
            return Err(JournalError::NoClass { class, classes });
        }
        let payloads = frames.iter().flat_map(|f| [Some(&f.frame), f.keyframe.as_ref().map(|(_, k)| k)]);
        let mut bytes = 0;
        for payload in payloads.flatten() {
            let (size, limit) = (payload.len(), record::MAX_PAYLOAD);
            if size > limit {
                return Err(JournalError::TooLarge { size, limit });
            }
            bytes += record::HEAD + size;
        }
        let share = u32::try_from(bytes.clamp(1, QUEUE_BYTES)).unwrap_or(u32::MAX);
        let closed = |_| self.inner.closed();
        let room =
            self.inner.room.clone().acquire_many_owned(share).await.map_err(|_| self.inner.closed())?;
        let (done, waiting) = oneshot::channel();
        self.inner.queue.send(Request::Append { class, frames, done, room }).await.map_err(closed)?;
        Ok(Pending { waiting, inner: self.inner.clone() })
    }

    /// The end of what is fsynced, for readers that wait.
    pub fn durable(&self, class: usize) -> watch::Receiver<Position> {
        self.inner.shared.classes[class].durable.subscribe()
    }

    /// A named cursor, made at the log's beginning if new. Segments that all cursors of the class have passed, and that
    /// lie in no range that one of them left behind, are deleted; a class without cursors keeps everything within the
    /// budget. A range that was left behind before is opened like any other, and has its end.
    ///
    /// # Errors
    /// Where its file cannot be read or written, or the name is held by somebody or no name for a file.
    pub fn cursor(&self, class: usize, name: &str) -> Result<Cursor, JournalError> {
        Cursor::open(self.inner.clone(), class, name)
    }

    /// Names of a class's cursors, held or not: each keeps what it has not read from being deleted.
    pub fn cursors(&self, class: usize) -> Vec<String> {
        locked(&self.inner.shared.classes[class].log).cursors.keys().cloned().collect()
    }

    /// Forgets a cursor whose reader is no longer configured, or a range that is done. Blocking.
    ///
    /// # Errors
    /// Where somebody holds it or its file cannot be removed.
    pub fn remove_cursor(&self, class: usize, name: &str) -> Result<(), JournalError> {
        let shared = &self.inner.shared;
        cursor::remove(&*shared.storage, &shared.classes[class], name)?;
        // A queue that is full wakes the writer anyway.
        drop(self.inner.queue.try_send(Request::Sweep));
        Ok(())
    }

    /// Reads from a position on (one that was shed or deleted: from the oldest that there is).
    pub fn reader(&self, class: usize, from: Position) -> Reader {
        Reader::new(self.inner.clone(), class, from)
    }

    /// Figures.
    pub fn stats(&self, class: usize) -> Stats {
        self.inner.shared.classes[class].stats()
    }

    /// Writes and fsyncs what is queued, then ends the writer. Later appends are refused, and cursors do not move any
    /// more.
    pub async fn close(&self) {
        // Refused only where the writer has ended already.
        drop(self.inner.queue.send(Request::Close).await);
        let mut ended = self.inner.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

/// Resolves when the frames are durable, with the end of the last one.
pub struct Pending {
    waiting: oneshot::Receiver<Result<Position, JournalError>>,
    inner: Arc<Inner>,
}

impl Pending {
    /// Waits for the fsync.
    ///
    /// # Errors
    /// Where they could not be written; nothing of them is then in the log.
    pub async fn durable(self) -> Result<Position, JournalError> {
        self.waiting.await.unwrap_or_else(|_| Err(self.inner.closed()))
    }
}

#[cfg(test)]
mod tests;
