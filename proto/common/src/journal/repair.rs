//! `journal repair`: makes a damaged journal clean without touching a healthy record. Checksums bind each record to its
//! place, and cursors name places, so nothing is moved:
//!
//! - Damage between healthy records becomes one record, a gap, that holds the damaged bytes: readers step over it, and
//!   count it.
//! - A keyframe that is lost in one segment and is whole in another is written where it was, which gives the frames back
//!   that need it.
//! - What lies behind the last healthy record is cut, and so is, at the log's very end, what no fsync is known to have
//!   covered, from its first damage on: the start after a crash cuts exactly this too, since whoever wrote it was never
//!   told that it is safe and has it still; keeping a part of it would let a file's checkpoint step over the rest.
//! - A file without one good record, and a cursor's file without a good slot, is set aside; such a cursor begins anew.
//!
//! Of all that is changed a copy is kept and fsynced before, in `DIR/damaged/`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::api::{Key, Position};
use super::catalog::{Mark, number};
use super::error::JournalError;
use super::examine::{Examined, slice};
use super::mark::{self, MarkStore};
use super::record::{HEAD, Kind, MAX_PAYLOAD, put};
use super::scan::read_payload;
use super::storage::{File, Open, Os, Storage};
use super::witness::{self, Witness};

/// One thing that was done, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mend {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// How many bytes were damaged.
    pub bytes: u64,
    /// What was done.
    pub act: Act,
}

/// See [`Mend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Fenced in: readers step over it.
    Fenced,
    /// A keyframe was written again, from another segment.
    Restored,
    /// Cut off, from here to the file's end.
    Cut,
    /// The whole file was put into `damaged/`.
    SetAside,
    /// A cursor begins anew, and sends again.
    Rewound,
}

/// Repairs the logs of these names below `dir`, or, with `dry_run`, says what would be done. Blocking.
///
/// # Errors
/// Where a service has the folder open, or a file cannot be read or written: what was done until then is whole, and the
/// next repair goes on.
pub fn repair(dir: &Path, names: &[&str], dry_run: bool) -> Result<Vec<Mend>, JournalError> {
    let storage = &Os;
    storage.list(dir).map_err(JournalError::io("read", dir))?;
    let lock = dir.join("lock");
    let _lock = storage.lock(&lock).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => JournalError::InUse { path: dir.to_owned() },
        _ => JournalError::io("lock", &lock)(error),
    })?;
    let mut repair = Repair { storage, aside: dir.join("damaged"), dry_run, done: Vec::new() };
    for name in names {
        repair.log(&dir.join(name), name)?;
    }
    Ok(repair.done)
}

struct Repair<'a> {
    storage: &'a dyn Storage,
    aside: PathBuf,
    dry_run: bool,
    done: Vec<Mend>,
}

/// A segment that is being repaired.
struct Patient<'a> {
    log: &'a str,
    number: u64,
    path: PathBuf,
    file: Arc<dyn File>,
}

impl Repair<'_> {
    fn log(&mut self, dir: &Path, name: &str) -> Result<(), JournalError> {
        let files = match self.storage.list(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            listed => listed.map_err(JournalError::io("read", dir))?,
        };
        let segments: BTreeMap<u64, u64> =
            files.iter().filter_map(|(file, size)| Some((number(file)?, *size))).collect();
        let durable = witness::read(self.storage, dir);
        // All are looked through before any is touched: one of a later version stops it all.
        let mut ill = Vec::new();
        for (&number, &size) in &segments {
            let path = dir.join(format!("{number:016x}.seg"));
            let file = self.open(&path)?;
            let found = Examined::of(&file, number, size, &path, |_, _| {})?;
            let newest = segments.keys().next_back() == Some(&number);
            if !found.damage.is_empty() {
                let known = if durable.segment == number { durable.offset } else { 0 };
                let known = if newest { known.max(found.synced) } else { u64::MAX };
                ill.push((Patient { log: name, number, path, file }, found, known));
            } else if newest && durable.segment == number && durable.offset > size {
                self.note(&path, size, durable.offset - size, Act::Cut);
            }
        }
        for (patient, found, known) in ill {
            self.segment(dir, &segments, &patient, &found, known)?;
        }
        self.cursors(dir, &files, segments.keys().next().copied().unwrap_or(0))?;
        if self.dry_run || segments.is_empty() {
            return Ok(());
        }
        // What is there now is all that there was.
        let left = self.storage.list(dir).map_err(JournalError::io("read", dir))?;
        let newest = left.iter().filter_map(|(file, size)| Some((number(file)?, *size))).max();
        if let Some((segment, offset)) = newest.filter(|(segment, _)| *segment == durable.segment) {
            Witness::open(self.storage, dir).note(Position { segment, offset });
        }
        self.storage.sync_dir(dir).map_err(JournalError::io("fsync", dir))
    }

    fn segment(
        &mut self,
        dir: &Path,
        segments: &BTreeMap<u64, u64>,
        patient: &Patient<'_>,
        found: &Examined,
        known: u64,
    ) -> Result<(), JournalError> {
        if found.records == 0 {
            self.keep(patient, 0..found.size)?;
            self.note(&patient.path, 0, found.size, Act::SetAside);
            return if self.dry_run {
                Ok(())
            } else {
                self.storage.remove(&patient.path).map_err(JournalError::io("remove", &patient.path))
            };
        }
        for hurt in &found.damage {
            let mut bytes = hurt.bytes.clone();
            if bytes.start >= known || bytes.end == found.size {
                bytes.end = found.size;
                self.keep(patient, bytes.clone())?;
                self.note(&patient.path, bytes.start, bytes.end - bytes.start, Act::Cut);
                if !self.dry_run {
                    let done = patient.file.truncate(bytes.start);
                    done.map_err(JournalError::io("truncate", &patient.path))?;
                }
                break;
            }
            self.keep(patient, bytes.clone())?;
            for (key, _) in found.costs(hurt) {
                let Some(keyframe) = self.keyframe(dir, segments, patient.number, key)? else { continue };
                let size = (HEAD + keyframe.len()) as u64;
                let room = bytes.end - bytes.start;
                if size != room && size + HEAD as u64 > room {
                    continue;
                }
                self.note(&patient.path, bytes.start, size, Act::Restored);
                let mut record = Vec::new();
                let place = Position { segment: patient.number, offset: bytes.start };
                put(&mut record, place, Kind::Keyframe, key, bytes.start, &keyframe);
                self.write(patient, &record, bytes.start)?;
                bytes.start += size;
            }
            self.fence(patient, bytes)?;
        }
        if self.dry_run {
            Ok(())
        } else {
            patient.file.sync().map_err(JournalError::io("fsync", &patient.path))
        }
    }

    /// Makes records of damaged bytes. Only their heads are written.
    fn fence(&mut self, patient: &Patient<'_>, mut bytes: Range<u64>) -> Result<(), JournalError> {
        if bytes.end - bytes.start < HEAD as u64 {
            // Nothing that was a record is so small.
            return Ok(());
        }
        self.note(&patient.path, bytes.start, bytes.end - bytes.start, Act::Fenced);
        while bytes.start < bytes.end && !self.dry_run {
            let room = bytes.end - bytes.start;
            let most = (HEAD + MAX_PAYLOAD) as u64;
            // Leaves room for another head, or nothing.
            let piece = if room <= most { room } else { most.min(room - HEAD as u64) };
            let held = slice(&*patient.file, bytes.start + HEAD as u64..bytes.start + piece)
                .map_err(JournalError::io("read", &patient.path))?;
            let mut record = Vec::new();
            let place = Position { segment: patient.number, offset: bytes.start };
            put(&mut record, place, Kind::Gap, 0, bytes.start, &held);
            self.write(patient, &record[..HEAD], bytes.start)?;
            bytes.start += piece;
        }
        Ok(())
    }

    /// A keyframe as another segment of the log has it.
    fn keyframe(
        &self,
        dir: &Path,
        segments: &BTreeMap<u64, u64>,
        lost_in: u64,
        key: Key,
    ) -> Result<Option<Bytes>, JournalError> {
        // The next ones repeat what is still in use.
        let others = segments.range(lost_in + 1..).chain(segments.range(..lost_in).rev());
        for (&number, &size) in others {
            let path = dir.join(format!("{number:016x}.seg"));
            let Ok(file) = self.storage.open(&path, Open::Read) else { continue };
            let found = Examined::of(&file, number, size, &path, |_, _| {})?;
            if let Some(entry) = found.keyframes.get(&key) {
                let payload = read_payload(&*file, entry).map_err(JournalError::io("read", &path))?;
                if payload.is_some() {
                    return Ok(payload);
                }
            }
        }
        Ok(None)
    }

    fn cursors(&mut self, dir: &Path, files: &[(String, u64)], oldest: u64) -> Result<(), JournalError> {
        for (name, range) in files.iter().filter_map(|(file, _)| mark::name(file)) {
            let path = mark::path(dir, name, range);
            let file = self.open(&path)?;
            let slot = mark::read(&*file, range).map_err(JournalError::io("read", &path))?;
            if slot.is_some() || mark::is_half_made(self.storage, dir, files, &*file, range)? {
                continue;
            }
            let size = files.iter().find(|(other, _)| path.ends_with(other)).map_or(0, |(_, size)| *size);
            self.note(&path, 0, size, Act::Rewound);
            let log = dir.file_name().unwrap_or_default().to_string_lossy();
            let copy = format!("{log}-{}", path.file_name().unwrap_or_default().to_string_lossy());
            self.copy(&*file, 0..size, &copy)?;
            if !self.dry_run {
                let others = mark::load_all(self.storage, dir, files)?;
                let end = others.get(name).and_then(|mark| mark.end);
                let position = Position { segment: oldest, offset: 0 };
                let (mut store, _) = MarkStore::open(self.storage, dir, name, range)?;
                store.store(Mark { position, end, ..Mark::default() }, true)?;
            }
        }
        Ok(())
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>, JournalError> {
        let how = if self.dry_run { Open::Read } else { Open::Write };
        self.storage.open(path, how).map_err(JournalError::io("open", path))
    }

    fn note(&mut self, file: &Path, offset: u64, bytes: u64, act: Act) {
        self.done.push(Mend { file: file.to_owned(), offset, bytes, act });
    }

    fn write(&self, patient: &Patient<'_>, record: &[u8], at: u64) -> Result<(), JournalError> {
        if self.dry_run {
            return Ok(());
        }
        patient.file.write_at(record, at).map_err(JournalError::io("write", &patient.path))
    }

    fn keep(&self, patient: &Patient<'_>, bytes: Range<u64>) -> Result<(), JournalError> {
        let name = format!("{}-{:016x}-{}.bytes", patient.log, patient.number, bytes.start);
        self.copy(&*patient.file, bytes, &name)
    }

    /// Keeps a copy, durable. One of an earlier repair stays.
    fn copy(&self, file: &dyn File, bytes: Range<u64>, name: &str) -> Result<(), JournalError> {
        if self.dry_run {
            return Ok(());
        }
        self.storage.create_dir(&self.aside).map_err(JournalError::io("create", &self.aside))?;
        let mut path = self.aside.join(name);
        let mut again = 1;
        let copy = loop {
            match self.storage.open(&path, Open::New) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    again += 1;
                    path = self.aside.join(format!("{name}.{again}"));
                }
                opened => break opened.map_err(JournalError::io("create", &path))?,
            }
        };
        let mut at = bytes.start;
        while at < bytes.end {
            let piece =
                slice(file, at..bytes.end.min(at + (1 << 20))).map_err(JournalError::io("read", &path))?;
            if piece.is_empty() {
                break;
            }
            copy.write_at(&piece, at - bytes.start).map_err(JournalError::io("write", &path))?;
            at += piece.len() as u64;
        }
        copy.sync().map_err(JournalError::io("fsync", &path))?;
        self.storage.sync_dir(&self.aside).map_err(JournalError::io("fsync", &self.aside))
    }
}
