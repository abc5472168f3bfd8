//! The segment that is being written: only ever by the process that made it, and only behind its good end.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::api::{Append, Key, Options, Position};
use super::catalog::{ClassLog, Segment, locked};
use super::error::JournalError;
use super::record::{HEAD, Kind, VERSION, put};
use super::storage::{File, Open, Storage};

/// A segment rolls only when it is this many times as large as its state and keyframes, which the next one repeats.
const REPEATED_SHARE: u64 = 8;

/// See the module.
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    file: Arc<dyn File>,
    path: PathBuf,
    /// Good end: the next record goes here.
    end: u64,
    /// Fsynced up to here.
    synced: u64,
    /// The folder does not durably hold the file yet.
    new: bool,
    /// Something may lie behind the good end and must be cut before more is written.
    dirty: bool,
    /// The last record is a mark, the only one that need not be fsynced.
    marked: bool,
    /// An fsync failed: what the page cache says of this file is not to be trusted, so nothing more is written to it.
    pub(super) retired: bool,
    /// Keyframes in it.
    keys: HashSet<Key>,
    /// Bytes of these and of the state.
    repeated: u64,
    since: Instant,
}

impl Active {
    /// Makes the file with its first two records, which the next fsync makes durable, and lists it. On failure nothing
    /// is left.
    pub(super) fn create(
        storage: &dyn Storage,
        class: &ClassLog,
        number: u64,
        state: &[u8],
        buf: &mut Vec<u8>,
    ) -> Result<Self, JournalError> {
        let path = class.segment_path(number);
        buf.clear();
        let mut payload = VERSION.to_le_bytes().to_vec();
        payload.extend_from_slice(class.name.as_bytes());
        put(buf, Position { segment: number, offset: 0 }, Kind::Segment, 0, 0, &payload);
        let oldest = locked(&class.log).segments.first_key_value().map_or(number, |(oldest, _)| *oldest);
        let at = Position { segment: number, offset: buf.len() as u64 };
        put(buf, at, Kind::State, oldest.into(), 0, state);

        let file = storage.open(&path, Open::New).map_err(JournalError::io("create", &path))?;
        if let Err(error) = file.write_at(buf, 0) {
            if let Err(also) = storage.remove(&path) {
                tracing::warn!(path = %path.display(), error = %also, "cannot remove a segment that could not be begun");
            }
            return Err(JournalError::io("write", &path)(error));
        }
        let end = buf.len() as u64;
        let segment = Arc::new(Segment::begun(number, end));
        class.tally.bytes.fetch_add(end, Ordering::Relaxed);
        locked(&class.log).segments.insert(number, segment.clone());
        Ok(Self {
            segment,
            file,
            path,
            end,
            synced: 0,
            new: true,
            dirty: false,
            marked: false,
            retired: false,
            keys: HashSet::new(),
            repeated: end,
            since: Instant::now(),
        })
    }

    /// Bytes that these frames would add.
    pub(super) fn cost(&self, frames: &[Append]) -> u64 {
        cost(frames, |key| self.keys.contains(key))
    }

    /// Whether so many more bytes belong into the next segment.
    pub(super) fn is_due(&self, more: u64, options: &Options) -> bool {
        let old = self.since.elapsed() >= options.segment_age;
        (old || self.end + more > options.segment_bytes) && self.end >= REPEATED_SHARE * self.repeated
    }

    /// Writes frames, each behind its keyframe. All of them or, on failure, none.
    pub(super) fn stage(
        &mut self,
        class: &ClassLog,
        frames: &[Append],
        buf: &mut Vec<u8>,
    ) -> Result<Position, JournalError> {
        buf.clear();
        let mut added: Vec<Key> = Vec::new();
        let mut repeated = 0;
        for Append { frame, keyframe } in frames {
            let Some((key, keyframe)) = keyframe else {
                put(buf, self.place(buf), Kind::Frame, 0, self.synced, frame);
                continue;
            };
            if !self.keys.contains(key) && !added.contains(key) {
                put(buf, self.place(buf), Kind::Keyframe, *key, self.synced, keyframe);
                added.push(*key);
                repeated += (HEAD + keyframe.len()) as u64;
            }
            put(buf, self.place(buf), Kind::KeyedFrame, *key, self.synced, frame);
        }
        self.write(class, buf)?;
        self.keys.extend(added);
        self.repeated += repeated;
        Ok(Position { segment: self.segment.number, offset: self.end })
    }

    /// Writes the fold's state in mid-segment, as of all frames before it.
    pub(super) fn stage_state(
        &mut self,
        class: &ClassLog,
        state: &[u8],
        buf: &mut Vec<u8>,
    ) -> Result<(), JournalError> {
        buf.clear();
        let oldest = locked(&class.log).beginning().segment;
        put(buf, self.place(buf), Kind::State, oldest.into(), self.synced, state);
        self.write(class, buf)
    }

    /// Says, for a start after a crash of the process, that all up to here was fsynced. Not fsynced itself, and no
    /// loss if it fails. False where it was said before or is not so.
    pub(super) fn mark(&mut self, class: &ClassLog, buf: &mut Vec<u8>) -> bool {
        if self.synced != self.end || self.dirty || self.retired {
            return false;
        }
        buf.clear();
        put(buf, self.place(buf), Kind::Mark, 0, self.synced, &[]);
        match self.write(class, buf) {
            Ok(()) => self.marked = true,
            Err(error) => tracing::debug!(%error, "cannot write the mark behind an fsync"),
        }
        true
    }

    /// Whether something waits for an fsync.
    pub(super) fn is_synced(&self) -> bool {
        self.synced == self.end || self.marked
    }

    /// Nothing of it was ever durable.
    pub(super) fn is_void(&self) -> bool {
        self.synced == 0
    }

    /// Makes durable what was written, and readable.
    pub(super) fn sync(&mut self, storage: &dyn Storage, class: &ClassLog) -> Result<(), JournalError> {
        let done = self.file.sync().map_err(JournalError::io("fsync", &self.path)).and_then(|()| {
            if self.new {
                storage.sync_dir(&class.dir).map_err(JournalError::io("fsync", &class.dir))?;
                self.new = false;
            }
            Ok(())
        });
        if done.is_ok() {
            self.synced = self.end;
            self.segment.publish(self.end);
        } else {
            self.retired = true;
            self.dirty = true;
            self.marked = false;
            self.end = self.synced;
        }
        done
    }

    /// Cuts what a failed write left. Until that works, nothing more of the class can be written.
    pub(super) fn repair(&mut self, class: &ClassLog) -> Result<(), JournalError> {
        if self.dirty {
            self.file.truncate(self.end).map_err(JournalError::io("truncate", &self.path))?;
            self.dirty = false;
            self.set_written(class, self.end);
            if self.retired {
                // So that the cut lasts; if it does not, the worst is a frame twice.
                if let Err(error) = self.file.sync() {
                    tracing::warn!(path = %self.path.display(), %error, "cannot fsync a segment after cutting it");
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, class: &ClassLog, bytes: &[u8]) -> Result<(), JournalError> {
        self.repair(class)?;
        if let Err(error) = self.file.write_at(bytes, self.end) {
            self.dirty = true;
            if let Err(error) = self.repair(class) {
                tracing::error!(%error, "cannot undo a write that failed; trying again with the next one");
            }
            return Err(JournalError::io("write", &self.path)(error));
        }
        self.end += bytes.len() as u64;
        self.marked = false;
        self.set_written(class, self.end);
        Ok(())
    }

    fn place(&self, buf: &[u8]) -> Position {
        Position { segment: self.segment.number, offset: self.end + buf.len() as u64 }
    }

    fn set_written(&self, class: &ClassLog, bytes: u64) {
        let before = self.segment.written.swap(bytes, Ordering::Relaxed);
        // Wrapping, as atomics do, makes one addition of both directions.
        class.tally.bytes.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
    }
}

/// Bytes that frames take on disk, with the keyframes that are not there yet.
pub(super) fn cost(frames: &[Append], known: impl Fn(&Key) -> bool) -> u64 {
    let mut seen: Vec<Key> = Vec::new();
    let mut bytes = 0;
    for Append { frame, keyframe } in frames {
        bytes += HEAD + frame.len();
        if let Some((key, keyframe)) = keyframe
            && !known(key)
            && !seen.contains(key)
        {
            seen.push(*key);
            bytes += HEAD + keyframe.len();
        }
    }
    bytes as u64
}
