//! A named reader's durable position. Its file has two slots a page apart; what is written goes to the slot that does
//! not hold the last fsynced position, so that no crash can lose that one.
//!
//! ```text
//! at 0 and at 4096: count u64 | position u64 u64 | pending u64 u64 (0 0 = none) | crc32c of all before, u32, all LE
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::api::Position;
use super::catalog::{ClassLog, Mark, locked};
use super::error::JournalError;
use super::inner::Inner;
use super::storage::{File, Open, Storage, read_full};
use super::writer::Request;

const SLOT: usize = 44;
/// No disk writes more than this in one piece, so that a torn write hits one slot.
const SLOT_AT: [u64; 2] = [0, 4096];
const SUFFIX: &str = ".cursor";

/// A reader's durable position, with the end of the request that is under way. One holder per name at a time.
pub struct Cursor {
    inner: Arc<Inner>,
    class: usize,
    name: String,
    file: Arc<dyn File>,
    path: PathBuf,
    /// Writes so far; a slot with a higher one is newer.
    count: u64,
    /// The slot that holds what was fsynced last.
    safe: usize,
}

impl Cursor {
    pub(super) fn open(inner: Arc<Inner>, class: usize, name: &str) -> Result<Self, JournalError> {
        let shared = inner.shared.clone();
        let (storage, log) = (&shared.storage, &shared.classes[class]);
        check_name(name)?;
        let path = log.dir.join(format!("{name}{SUFFIX}"));
        let mark = {
            let mut log_now = locked(&log.log);
            let beginning = log_now.beginning();
            let mark = log_now.cursors.entry(name.to_owned()).or_default();
            if mark.open {
                return Err(JournalError::CursorInUse { class: log.name, name: name.to_owned() });
            }
            mark.open = true;
            // One that stood in a segment that was shed moves to the oldest there is.
            mark.position = mark.position.max(beginning);
            mark.pending = mark.pending.filter(|pending| *pending > mark.position);
            *mark
        };
        let opened =
            storage.open(&path, Open::Write).map_err(JournalError::io("open", &path)).and_then(|file| {
                let slots = read_slots(&*file).map_err(JournalError::io("read", &path))?;
                Ok((file, slots))
            });
        let (file, slots) = opened.inspect_err(|_| release(log, name))?;
        let newest = newest(&slots);
        let count = newest.and_then(|slot| slots[slot]).map_or(0, |(count, _)| count);
        // What a killed process wrote last may be in the page cache only: it is written again, to the same slot.
        let safe = newest.map_or(1, |slot| 1 - slot);
        // From here on dropping it gives the name free again.
        let mut cursor = Self { inner, class, name: name.to_owned(), file, path, count, safe };
        if newest.is_none() {
            // Takes the second slot's room now, so that a full disk does not keep the cursor from moving.
            cursor.file.write_at(&[0; SLOT], SLOT_AT[1]).map_err(JournalError::io("write", &cursor.path))?;
        }
        cursor.store(mark, true)?;
        storage.sync_dir(&log.dir).map_err(JournalError::io("fsync", &log.dir))?;
        Ok(cursor)
    }

    /// Everything before it is done.
    pub fn position(&self) -> Position {
        self.mark().position
    }

    /// End of a request that may have been sent before a crash: it is sent again in exactly these bounds.
    pub fn pending(&self) -> Option<Position> {
        self.mark().pending
    }

    /// Notes the end of the request about to be sent; survives a crash of the process (no fsync).
    ///
    /// # Errors
    /// Where the cursor's file cannot be written.
    pub fn begin(&mut self, end: Position) -> Result<(), JournalError> {
        let mark = Mark { pending: Some(end), ..self.mark() };
        self.store(mark, false)?;
        self.update(|now| now.pending = Some(end).filter(|end| *end > now.position));
        Ok(())
    }

    /// Moves on, fsynced, and clears what is pending. Never back: a position that the cursor has passed (since what it
    /// stood in was shed) changes nothing. Blocking.
    ///
    /// # Errors
    /// Where the cursor's file cannot be written; the cursor has then not moved.
    pub fn advance(&mut self, to: Position) -> Result<(), JournalError> {
        let before = self.mark();
        let position = before.position.max(to);
        self.store(Mark { position, pending: None, ..before }, true)?;
        self.update(|now| {
            now.position = now.position.max(position);
            now.pending = None;
        });
        let passed = locked(&self.log().log).has_passed();
        if passed {
            // A queue that is full wakes the writer anyway.
            drop(self.inner.queue.try_send(Request::Sweep));
        }
        Ok(())
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
        let lock = self.inner.shared.lock.read().unwrap_or_else(PoisonError::into_inner);
        if lock.is_none() {
            // Somebody else may have the folder by now.
            return Err(self.inner.closed());
        }
        self.count += 1;
        let slot = 1 - self.safe;
        self.file
            .write_at(&encode(self.count, mark), SLOT_AT[slot])
            .map_err(JournalError::io("write", &self.path))?;
        if fsync {
            self.file.sync().map_err(JournalError::io("fsync", &self.path))?;
            self.safe = slot;
        }
        drop(lock);
        Ok(())
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

/// All cursors among a class's files, used or not: each holds back deletion.
pub(super) fn load_all<'a>(
    storage: &dyn Storage,
    dir: &Path,
    files: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, Mark>, JournalError> {
    let mut cursors = BTreeMap::new();
    for name in files.filter_map(|file| file.strip_suffix(SUFFIX)) {
        let path = dir.join(format!("{name}{SUFFIX}"));
        let file = storage.open(&path, Open::Read).map_err(JournalError::io("open", &path))?;
        let slots = read_slots(&*file).map_err(JournalError::io("read", &path))?;
        let mark = newest(&slots).and_then(|slot| slots[slot]).map(|(_, mark)| mark);
        if mark.is_none() {
            tracing::error!(path = %path.display(), "a cursor's file is damaged: it begins anew, and sends again");
        }
        cursors.insert(name.to_owned(), mark.unwrap_or_default());
    }
    Ok(cursors)
}

/// Deletes a cursor that nobody holds.
pub(super) fn remove(storage: &dyn Storage, log: &ClassLog, name: &str) -> Result<(), JournalError> {
    check_name(name)?;
    let mut log_now = locked(&log.log);
    if log_now.cursors.get(name).is_some_and(|mark| mark.open) {
        return Err(JournalError::CursorInUse { class: log.name, name: name.to_owned() });
    }
    let path = log.dir.join(format!("{name}{SUFFIX}"));
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

type Slots = [Option<(u64, Mark)>; 2];

fn read_slots(file: &dyn File) -> io::Result<Slots> {
    let mut slots = [None, None];
    for (slot, at) in slots.iter_mut().zip(SLOT_AT) {
        let mut bytes = [0; SLOT];
        let got = read_full(file, &mut bytes, at)?;
        *slot = decode(&bytes[..got]);
    }
    Ok(slots)
}

fn newest(slots: &Slots) -> Option<usize> {
    let count = |slot: usize| slots[slot].map(|(count, _)| count);
    (0..2).filter(|slot| slots[*slot].is_some()).max_by_key(|slot| count(*slot))
}

fn encode(count: u64, mark: Mark) -> [u8; SLOT] {
    let pending = mark.pending.unwrap_or_default();
    let numbers = [count, mark.position.segment, mark.position.offset, pending.segment, pending.offset];
    let mut slot = [0; SLOT];
    for (at, number) in numbers.iter().enumerate() {
        slot[at * 8..at * 8 + 8].copy_from_slice(&number.to_le_bytes());
    }
    let crc = crc32c::crc32c(&slot[..SLOT - 4]);
    slot[SLOT - 4..].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(bytes: &[u8]) -> Option<(u64, Mark)> {
    let slot: &[u8; SLOT] = bytes.try_into().ok()?;
    if slot[SLOT - 4..] != crc32c::crc32c(&slot[..SLOT - 4]).to_le_bytes() {
        return None;
    }
    let mut numbers = [0; 5];
    for (number, bytes) in numbers.iter_mut().zip(slot.chunks_exact(8)) {
        *number = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    let [count, segment, offset, pending_segment, pending_offset] = numbers;
    let pending = Position { segment: pending_segment, offset: pending_offset };
    let pending = Some(pending).filter(|pending| *pending > Position::default());
    Some((count, Mark { position: Position { segment, offset }, pending, open: false }))
}
