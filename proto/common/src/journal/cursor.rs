//! A named reader's durable position, and the ranges that it leaves behind for others; its file is `mark`'s.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::api::Position;
use super::catalog::{ClassLog, Mark, locked};
use super::error::JournalError;
use super::inner::Inner;
use super::mark::{self, MarkStore};
use super::storage::Storage;
use super::writer::Request;

/// How long the writer may take to store what it has shed, before a cursor that missed it is refused. The model in
/// the tests drives the writer from the cursor's own thread, where waiting would be for nothing.
const STORING_MS: u32 = if cfg!(test) { 0 } else { 500 };

/// A reader's durable position, with the end of the request that is under way. One holder per name at a time.
///
/// A bounded cursor (see [`Cursor::leave_behind`]) owes only the frames that begin before its end: its reader stops at
/// the first that does not, and says so by advancing to the end.
pub struct Cursor {
    inner: Arc<Inner>,
    class: usize,
    name: String,
    file: MarkStore,
}

impl Cursor {
    pub(super) fn open(inner: Arc<Inner>, class: usize, name: &str) -> Result<Self, JournalError> {
        let shared = inner.shared.clone();
        let (storage, log) = (&*shared.storage, &shared.classes[class]);
        check_name(name)?;
        let mark = {
            let mut log_now = locked(&log.log);
            let beginning = log_now.beginning();
            let mark = log_now.cursors.entry(name.to_owned()).or_default();
            if mark.open {
                return Err(JournalError::CursorInUse { class: log.name, name: name.to_owned() });
            }
            mark.open = true;
            // One that stood in a segment that was shed moves to the oldest there is.
            mark.pass(beginning);
            *mark
        };
        let opened = MarkStore::open(storage, &log.dir, name, mark.end.is_some());
        let (file, stored) = opened.inspect_err(|_| release(log, name))?;
        // From here on dropping it gives the name free again.
        let mut cursor = Self { inner, class, name: name.to_owned(), file };
        let mark = if mark.uncounted { stored.unwrap_or_default() } else { mark };
        cursor.store(mark, true)?;
        storage.sync_dir(&log.dir).map_err(JournalError::io("fsync", &log.dir))?;
        Ok(cursor)
    }

    /// Everything before it is done.
    pub fn position(&self) -> Position {
        self.mark().position
    }

    /// Where a bounded cursor's range ends; `None` for one that goes on for ever. It is done when it stands there.
    pub fn end(&self) -> Option<Position> {
        self.mark().end
    }

    /// End of a request that may have been sent before a crash: it is sent again in exactly these bounds.
    pub fn pending(&self) -> Option<Position> {
        self.mark().pending
    }

    /// Notes the end of the request about to be sent; survives a crash of the process (no fsync).
    ///
    /// # Errors
    /// Where the cursor's file cannot be written, or must not yet ([`JournalError::Uncounted`]).
    pub fn begin(&mut self, end: Position) -> Result<(), JournalError> {
        let mark = Mark { pending: Some(end), ..self.counted() };
        self.store(mark, false)?;
        self.update(|now| now.pending = Some(end).filter(|end| *end > now.position));
        Ok(())
    }

    /// Moves on, fsynced, and clears what is pending. Never back: a position that the cursor has passed (since what it
    /// stood in was shed) changes nothing; never beyond its end. Returns where it stood: what lies before was counted as
    /// shed, if it is more than its holder had done. Blocking.
    ///
    /// # Errors
    /// Where the cursor's file cannot be written, or must not yet ([`JournalError::Uncounted`]); the cursor has then not
    /// moved.
    pub fn advance(&mut self, to: Position) -> Result<Position, JournalError> {
        let mut mark = self.counted();
        mark.pending = None;
        mark.pass(to);
        self.store(mark, true)?;
        let mut stood = to;
        self.update(|now| {
            stood = now.position;
            now.pending = None;
            now.pass(mark.position);
        });
        self.sweep();
        Ok(stood)
    }

    /// Leaves what lies between here and `to` to a new bounded cursor, and goes on at `to`. Both are durable then; a
    /// crash on the way leaves things as they were or does it wholly. `to` is where a frame begins or ends; if it is
    /// not ahead, the range is empty. A request that is under way goes with the range, if it ends within it (choose no
    /// `to` in the middle of one). Blocking.
    ///
    /// # Errors
    /// Where the name is one for no file or there is such a cursor already, or the range cannot be stored, or must not
    /// yet ([`JournalError::Uncounted`]); this cursor has then not moved.
    pub fn leave_behind(&mut self, name: &str, to: Position) -> Result<Self, JournalError> {
        check_name(name)?;
        self.counted();
        let shared = self.inner.shared.clone();
        let log = &shared.classes[self.class];
        let range = {
            // At once, so that what is shed meanwhile is counted for the range, and once.
            let mut log_now = locked(&log.log);
            let Some(before) = log_now.cursors.get(&self.name).copied() else {
                return Err(self.inner.closed());
            };
            if log_now.cursors.contains_key(name) {
                return Err(JournalError::CursorExists { class: log.name, name: name.to_owned() });
            }
            if before.uncounted {
                drop(log_now);
                return Err(self.refuse());
            }
            let end = before.end.map_or(to, |own| own.min(to)).max(before.position);
            let pending = before.pending.filter(|pending| *pending <= end);
            let range =
                Mark { position: before.position, pending, end: Some(end), open: true, uncounted: false };
            log_now.cursors.insert(name.to_owned(), range);
            log_now.cursors.entry(self.name.clone()).and_modify(|mark| mark.pass(end));
            range
        };
        let lock = shared.lock.read().unwrap_or_else(PoisonError::into_inner);
        let made = match &*lock {
            Some(_) => MarkStore::create(&*shared.storage, &log.dir, name, &self.name, range),
            None => Err(self.inner.closed()),
        };
        drop(lock);
        let file = made.inspect_err(|_| self.take_back(name, range.pending))?;
        let range = Self { inner: self.inner.clone(), class: self.class, name: name.to_owned(), file };
        // The range is durable and names this cursor: the next opening would move it, if this does not succeed.
        let mark = self.mark();
        if let Err(error) = self.store(mark, true).or_else(|_| self.store(mark, true)) {
            tracing::error!(%error, "a cursor has left a range behind, but its own place cannot be stored yet");
        }
        self.sweep();
        Ok(range)
    }

    /// Undoes what could not be stored.
    fn take_back(&self, range: &str, pending: Option<Position>) {
        let log = self.log();
        let storage = &*self.inner.shared.storage;
        let path = mark::path(&log.dir, range, true);
        if let Err(error) = storage.remove(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a range that could not be made");
        }
        let mut log_now = locked(&log.log);
        // Where it is by now: what is shed meanwhile is counted already.
        let Some(range) = log_now.cursors.remove(range) else { return };
        if let Some(mark) = log_now.cursors.get_mut(&self.name) {
            mark.position = range.position;
            mark.uncounted |= range.uncounted;
            mark.pending = mark.pending.or(pending).filter(|pending| *pending > range.position);
        }
    }

    /// Wakes the writer where segments can go.
    fn sweep(&self) {
        let passed = locked(&self.log().log).has_passed();
        if passed {
            self.wake_writer();
        }
    }

    /// Where it stands, once what was shed before is stored, or could not be for so long. Whoever has just kept a count
    /// of what lies before the next step would else have to keep it apart from that step. Blocking.
    fn counted(&self) -> Mark {
        let mut left = STORING_MS;
        loop {
            let mark = self.mark();
            if !mark.uncounted || left == 0 {
                return mark;
            }
            left -= 1;
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn wake_writer(&self) {
        // A queue that is full wakes the writer anyway.
        drop(self.inner.queue.try_send(Request::Sweep));
    }

    /// Has the writer try to store what was shed.
    fn refuse(&self) -> JournalError {
        self.wake_writer();
        JournalError::Uncounted { class: self.log().name, name: self.name.clone() }
    }

    fn log(&self) -> &ClassLog {
        &self.inner.shared.classes[self.class]
    }

    fn mark(&self) -> Mark {
        locked(&self.log().log).cursors.get(&self.name).copied().unwrap_or_default()
    }

    fn update(&self, change: impl FnOnce(&mut Mark)) {
        if let Some(mark) = locked(&self.log().log).cursors.get_mut(&self.name) {
            change(mark);
        }
    }

    fn store(&mut self, mark: Mark, fsync: bool) -> Result<(), JournalError> {
        if mark.uncounted {
            return Err(self.refuse());
        }
        let lock = self.inner.shared.lock.read().unwrap_or_else(PoisonError::into_inner);
        if lock.is_none() {
            // Somebody else may have the folder by now.
            return Err(self.inner.closed());
        }
        self.file.store(mark, fsync)
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        release(self.log(), &self.name);
    }
}

fn release(log: &ClassLog, name: &str) {
    if let Some(mark) = locked(&log.log).cursors.get_mut(name) {
        mark.open = false;
    }
}

/// Deletes a cursor that nobody holds.
pub(super) fn remove(storage: &dyn Storage, log: &ClassLog, name: &str) -> Result<(), JournalError> {
    check_name(name)?;
    let mut log_now = locked(&log.log);
    let mark = log_now.cursors.get(name).copied().unwrap_or_default();
    if mark.open {
        return Err(JournalError::CursorInUse { class: log.name, name: name.to_owned() });
    }
    let path = mark::path(&log.dir, name, mark.end.is_some());
    match storage.remove(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(JournalError::io("remove", &path)(error))
        }
        _ => {
            log_now.cursors.remove(name);
            storage.sync_dir(&log.dir).map_err(JournalError::io("fsync", &log.dir))
        }
    }
}

fn check_name(name: &str) -> Result<(), JournalError> {
    let fine = name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if fine { Ok(()) } else { Err(JournalError::CursorName { name: name.to_owned() }) }
}
