//! A cursor's file: two slots a page apart. What is written goes to the slot that does not hold the last fsynced
//! position, so that no crash can lose that one.
//!
//! ```text
//! NAME.cursor, at 0 and at 4096: count u64 | position u64 u64 | pending u64 u64 (0 0 = none) | crc32c of these, u32
//! NAME.range, the same places:   count | position | pending | end u64 u64 | length u8, name of the cursor that left
//!                                the range behind | crc32c
//! ```
//!
//! All numbers are little-endian. A range's first slot and its name are fsynced before its second slot is written: a
//! file without a good slot is half-made where it ends before the second, and damaged where it does not (or where there
//! are segments that nobody else owes anything of).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::api::Position;
use super::catalog::{Mark, number};
use super::error::JournalError;
use super::storage::{File, Open, Storage, read_full};

/// No disk writes more than this in one piece, so that a torn write hits one slot.
const SLOT_AT: [u64; 2] = [0, 4096];
/// Bytes of a plain cursor's slot, and the most that a range's takes: its cursor's name is 100 bytes at the most.
const SLOT: usize = 44;
const MAX_SLOT: usize = 44 + 16 + 1 + 255;
const CURSOR: &str = ".cursor";
const RANGE: &str = ".range";

/// An open cursor's file.
pub(super) struct MarkStore {
    file: Arc<dyn File>,
    pub(super) path: PathBuf,
    /// Writes so far; a slot with a higher one is newer.
    count: u64,
    /// The slot that holds what was fsynced last.
    safe: usize,
    /// The cursor that left this range behind; empty for a plain one.
    parent: String,
}

/// What a file's newest good slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    count: u64,
    pub(super) mark: Mark,
    /// See [`MarkStore`].
    pub(super) parent: String,
}

impl MarkStore {
    /// Opens a cursor's file, or makes a plain one; what it says, unless it is new or damaged.
    pub(super) fn open(
        storage: &dyn Storage,
        dir: &Path,
        name: &str,
        range: bool,
    ) -> Result<(Self, Option<Mark>), JournalError> {
        let path = path(dir, name, range);
        let file = storage.open(&path, Open::Write).map_err(JournalError::io("open", &path))?;
        let slots = read_slots(&*file, range).map_err(JournalError::io("read", &path))?;
        let Some(newest) = newest(&slots) else {
            // Takes the second slot's room now, so that a full disk does not keep the cursor from moving.
            file.write_at(&[0; SLOT], SLOT_AT[1]).map_err(JournalError::io("write", &path))?;
            return Ok((Self { file, path, count: 0, safe: 1, parent: String::new() }, None));
        };
        let Some(Slot { count, mark, parent }) = slots[newest].clone() else {
            unreachable!("the newest is good")
        };
        // What a killed process wrote last may be in the page cache only: it is written again, to the same slot.
        Ok((Self { file, path, count, safe: 1 - newest, parent }, Some(mark)))
    }

    /// Makes a range's file, durable.
    pub(super) fn create(
        storage: &dyn Storage,
        dir: &Path,
        name: &str,
        parent: &str,
        mark: Mark,
    ) -> Result<Self, JournalError> {
        let path = path(dir, name, true);
        let file = storage.open(&path, Open::New).map_err(JournalError::io("create", &path))?;
        let mut made = Self { file, path, count: 0, safe: 1, parent: parent.to_owned() };
        made.store(mark, true)?;
        storage.sync_dir(dir).map_err(JournalError::io("fsync", dir))?;
        // Takes the second slot's room, as above.
        made.store(mark, false)?;
        Ok(made)
    }

    /// Writes a mark to the slot that may be lost.
    pub(super) fn store(&mut self, mark: Mark, fsync: bool) -> Result<(), JournalError> {
        self.count += 1;
        let slot = 1 - self.safe;
        self.file
            .write_at(&encode(self.count, mark, &self.parent), SLOT_AT[slot])
            .map_err(JournalError::io("write", &self.path))?;
        if fsync {
            self.file.sync().map_err(JournalError::io("fsync", &self.path))?;
            self.safe = slot;
        }
        Ok(())
    }
}

/// A cursor's file in its log's folder.
pub(super) fn path(dir: &Path, name: &str, range: bool) -> PathBuf {
    dir.join(format!("{name}{}", if range { RANGE } else { CURSOR }))
}

/// The cursor that a file stands for, and whether it is a range.
pub(super) fn name(file: &str) -> Option<(&str, bool)> {
    let plain = file.strip_suffix(CURSOR).map(|name| (name, false));
    plain.or_else(|| file.strip_suffix(RANGE).map(|name| (name, true)))
}

/// What a cursor's file says; `None` where it is new or damaged.
pub(super) fn read(file: &dyn File, range: bool) -> io::Result<Option<Slot>> {
    let mut slots = read_slots(file, range)?;
    Ok(newest(&slots).and_then(|newest| slots[newest].take()))
}

/// Whether a file without a good slot was never whole. A plain cursor has nothing to lose then: it is at the beginning.
/// A range that ends before its second slot was not, unless the log keeps segments for it: then it was cut short, and
/// forgetting it would delete what it owes.
pub(super) fn is_half_made(
    storage: &dyn Storage,
    dir: &Path,
    files: &[(String, u64)],
    file: &dyn File,
    range: bool,
) -> Result<bool, JournalError> {
    if !range || file.read_at(&mut [0], SLOT_AT[1]).is_ok_and(|got| got > 0) {
        return Ok(false);
    }
    let mut marks = Vec::new();
    for (name, range) in files.iter().filter_map(|(file, _)| name(file)) {
        let path = path(dir, name, range);
        let file = match storage.open(&path, Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(JournalError::io("open", &path))?,
        };
        let slot = read(&*file, range).map_err(JournalError::io("read", &path))?;
        // A plain cursor that says nothing is at the beginning, and keeps all.
        marks.extend(slot.map(|slot| slot.mark).or_else(|| (!range).then(Mark::default)));
    }
    if marks.iter().all(|mark| mark.end.is_some()) {
        // Nothing is deleted for having been read.
        return Ok(true);
    }
    let mut segments: Vec<u64> = files.iter().filter_map(|(file, _)| number(file)).collect();
    segments.sort_unstable();
    let newest = segments.pop();
    let place = |segment, offset| Position { segment, offset };
    let owed =
        |segment: &u64| marks.iter().any(|mark| mark.owes(place(*segment, 0), place(*segment, u64::MAX)));
    Ok(newest.is_none() || segments.iter().all(owed))
}

/// All cursors among a log's files, used or not: each holds back deletion. A range that was half-made goes; one that
/// was made, but whose cursor was not moved behind it any more before a crash, has that done now.
pub(super) fn load_all(
    storage: &dyn Storage,
    dir: &Path,
    files: &[(String, u64)],
) -> Result<BTreeMap<String, Mark>, JournalError> {
    let mut cursors = BTreeMap::new();
    let mut left: Vec<(String, Position)> = Vec::new();
    let mut damaged: Vec<String> = Vec::new();
    for (name, range) in files.iter().filter_map(|(file, _)| name(file)) {
        let path = path(dir, name, range);
        let file = storage.open(&path, Open::Read).map_err(JournalError::io("open", &path))?;
        let slot = read(&*file, range).map_err(JournalError::io("read", &path))?;
        if slot.is_none() && is_half_made(storage, dir, files, &*file, range)? {
            tracing::info!(path = %path.display(), "removing a range of the journal that a crash left half-made");
            storage.remove(&path).map_err(JournalError::io("remove", &path))?;
            continue;
        }
        if slot.is_none() {
            tracing::error!(path = %path.display(), "a cursor's file is damaged: it begins anew, and sends again");
            damaged.extend(range.then(|| name.to_owned()));
        }
        if let Some(Slot { mark: Mark { end: Some(end), .. }, parent, .. }) = &slot {
            left.push((parent.clone(), *end));
        }
        cursors.insert(name.to_owned(), slot.map(|slot| slot.mark).unwrap_or_default());
    }
    // What it ended at is lost: it did not end behind the one who left it, whoever that was.
    let furthest = cursors.values().map(|mark| mark.position).max().unwrap_or_default();
    for name in damaged {
        cursors.insert(name, Mark { end: Some(furthest), ..Mark::default() });
    }
    for (parent, end) in left {
        if let Some(mark) = cursors.get_mut(&parent).filter(|mark| mark.position < end) {
            mark.pass(end);
            let (mut file, _) = MarkStore::open(storage, dir, &parent, mark.end.is_some())?;
            file.store(*mark, true)?;
        }
    }
    Ok(cursors)
}

type Slots = [Option<Slot>; 2];

fn read_slots(file: &dyn File, range: bool) -> io::Result<Slots> {
    let mut slots = [None, None];
    for (slot, at) in slots.iter_mut().zip(SLOT_AT) {
        let mut bytes = [0; MAX_SLOT];
        let got = read_full(file, &mut bytes, at)?;
        *slot = decode(&bytes[..got], range);
    }
    Ok(slots)
}

fn newest(slots: &Slots) -> Option<usize> {
    let count = |slot: usize| slots[slot].as_ref().map(|slot| slot.count);
    (0..2).filter(|slot| slots[*slot].is_some()).max_by_key(|slot| count(*slot))
}

fn encode(count: u64, mark: Mark, parent: &str) -> Vec<u8> {
    let pending = mark.pending.unwrap_or_default();
    let numbers = [count, mark.position.segment, mark.position.offset, pending.segment, pending.offset];
    let end = mark.end.map(|end| [end.segment, end.offset]);
    let mut slot = Vec::with_capacity(MAX_SLOT);
    for number in numbers.iter().chain(end.iter().flatten()) {
        slot.extend_from_slice(&number.to_le_bytes());
    }
    if end.is_some() {
        // Names are 100 bytes at the most.
        slot.push(parent.len() as u8);
        slot.extend_from_slice(parent.as_bytes());
    }
    let crc = crc32c::crc32c(&slot);
    slot.extend_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(bytes: &[u8], range: bool) -> Option<Slot> {
    let mut numbers = [0; 7];
    let count = if range { 7 } else { 5 };
    let mut size = 8 * count;
    for (number, bytes) in numbers.iter_mut().zip(bytes.get(..size)?.chunks_exact(8)) {
        *number = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    let mut parent = &[][..];
    if range {
        let len = usize::from(*bytes.get(size)?);
        parent = bytes.get(size + 1..size + 1 + len)?;
        size += 1 + len;
    }
    if bytes.get(size..size + 4)? != crc32c::crc32c(&bytes[..size]).to_le_bytes() {
        return None;
    }
    let place = |at: usize| Position { segment: numbers[at], offset: numbers[at + 1] };
    let pending = Some(place(3)).filter(|pending| *pending > Position::default());
    let mark = Mark { position: place(1), pending, end: range.then(|| place(5)), ..Mark::default() };
    Some(Slot { count: numbers[0], mark, parent: String::from_utf8(parent.to_vec()).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> impl Strategy<Value = Position> {
        (1..u64::MAX, any::<u64>()).prop_map(|(segment, offset)| Position { segment, offset })
    }

    proptest! {
        /// Scenario: any mark, of a plain cursor or a range, is written and read, with a bit flipped or cut short.
        /// Guarantees: it is read as it was written, or not at all; noise is no mark and no panic.
        #[test]
        fn round_trip(
            count: u64, position in place(), pending in proptest::option::of(place()),
            end in proptest::option::of(place()), parent in "[a-z.]{1,100}", bit: usize, noise: Vec<u8>,
        ) {
            let mark = Mark { position, pending, end, ..Mark::default() };
            let parent = if end.is_some() { parent } else { String::new() };
            let mut bytes = encode(count, mark, &parent);
            prop_assert_eq!(decode(&bytes, end.is_some()), Some(Slot { count, mark, parent }));
            prop_assert_eq!(decode(&bytes[..bytes.len() - 1], end.is_some()), None);
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(decode(&bytes, end.is_some()), None);
            prop_assert_eq!((decode(&noise, true), decode(&noise, false)), (None, None));
        }
    }
}
