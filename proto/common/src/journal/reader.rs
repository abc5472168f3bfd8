//! Reading frames in order, from disk, through a small buffer.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::api::{Key, Position, Record};
use super::catalog::{ClassLog, Segment, locked};
use super::error::JournalError;
use super::inner::Inner;
use super::record::Kind;
use super::scan::{Entry, Found, Scan, Step, read_payload};
use super::storage::{File, Open};

/// Reads frames in order. Blocking, but only on disk: `None` at the durable end.
pub struct Reader {
    inner: Arc<Inner>,
    class: usize,
    position: Position,
    current: Option<Current>,
}

/// The segment that is being read. The open file outlives its deletion.
struct Current {
    segment: Arc<Segment>,
    file: Arc<dyn File>,
    scan: Scan,
    /// Keyframes that were passed.
    keyframes: HashMap<Key, Entry>,
    /// Those before this offset are not among them yet.
    unseen: u64,
}

impl Reader {
    pub(super) fn new(inner: Arc<Inner>, class: usize, from: Position) -> Self {
        Self { inner, class, position: from, current: None }
    }

    /// The next frame that is durable. A segment that is shed while it is read is left at once, since the frames in it
    /// are counted as lost.
    ///
    /// # Errors
    /// Where the disk fails; the next call tries again. Damaged records are skipped and counted.
    pub fn read(&mut self) -> Result<Option<Record>, JournalError> {
        loop {
            let Some(mut current) = self.current.take().map_or_else(|| self.enter(), |now| Ok(Some(now)))?
            else {
                return Ok(None);
            };
            let number = current.segment.number;
            if current.segment.is_shed() {
                self.position = Position { segment: number + 1, offset: 0 };
                continue;
            }
            let log = &self.inner.shared.classes[self.class];
            let (limit, sealed) = current.segment.readable();
            let step = current.scan.step(limit);
            self.position.offset = self.position.offset.max(current.scan.offset());
            let step = match step {
                Ok(step) => step,
                Err(error) => {
                    self.current = Some(current);
                    return Err(JournalError::io("read", &log.segment_path(number))(error));
                }
            };
            let found = match step {
                Some(Step::Frame(entry, frame)) => Some(Record {
                    position: Position { segment: number, offset: entry.at },
                    end: Position { segment: number, offset: entry.end() },
                    key: entry.head.needs(),
                    frame,
                }),
                Some(Step::Other(entry)) => {
                    current.note(entry);
                    None
                }
                Some(Step::Damage(bytes)) => {
                    log.note_damage(&current.segment, &bytes);
                    None
                }
                None if !sealed => {
                    self.current = Some(current);
                    return Ok(None);
                }
                None => {
                    let next = Position { segment: number + 1, offset: 0 };
                    if locked(&log.log).at(next).is_none() {
                        self.current = Some(current);
                        return Ok(None);
                    }
                    self.position = next;
                    continue;
                }
            };
            self.current = Some(current);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// A keyframe of the segment that the last frame came from. To be asked for before the next `read`, which may go
    /// on to the next segment. `None` where it was damaged: the frames that need it cannot be decoded then.
    pub fn keyframe(&mut self, key: Key) -> Option<Bytes> {
        let log = &self.inner.shared.classes[self.class];
        let current = self.current.as_mut()?;
        let found = current.keyframe(log, key);
        found.unwrap_or_else(|error| {
            let path = log.segment_path(current.segment.number);
            tracing::error!(path = %path.display(), %error, "cannot read a keyframe");
            None
        })
    }

    /// Where the next call reads.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Opens the segment of the position, or the next there is.
    fn enter(&mut self) -> Result<Option<Current>, JournalError> {
        let log = &self.inner.shared.classes[self.class];
        loop {
            let Some(segment) = locked(&log.log).at(self.position) else { return Ok(None) };
            let path = log.segment_path(segment.number);
            let file = match self.inner.shared.storage.open(&path, Open::Read) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !log.lists(&segment) => continue,
                Err(error) => return Err(JournalError::io("open", &path)(error)),
            };
            if segment.number != self.position.segment {
                self.position = Position { segment: segment.number, offset: 0 };
            }
            let offset = self.position.offset;
            let scan = Scan::new(file.clone(), segment.number, offset);
            return Ok(Some(Current { segment, file, scan, keyframes: HashMap::new(), unseen: offset }));
        }
    }
}

impl Current {
    fn note(&mut self, entry: Entry) {
        if entry.head.kind == Kind::Keyframe {
            self.keyframes.insert(entry.head.key, entry);
        }
    }

    fn keyframe(&mut self, log: &ClassLog, key: Key) -> io::Result<Option<Bytes>> {
        if !self.keyframes.contains_key(&key) && self.unseen > 0 {
            // Reading began in mid-segment: catch up on the heads before, once.
            let mut scan = Scan::new(self.file.clone(), self.segment.number, 0);
            let limit = self.unseen.min(self.segment.readable().0);
            while let Some(found) = scan.next(limit)? {
                match found {
                    Found::Record(entry) => self.note(entry),
                    Found::Damage(bytes) => log.note_damage(&self.segment, &bytes),
                }
            }
            self.unseen = 0;
        }
        let Some(entry) = self.keyframes.get(&key) else { return Ok(None) };
        let payload = read_payload(&*self.file, entry)?;
        if payload.is_none() {
            log.note_damage(&self.segment, &(entry.at..entry.end()));
        }
        Ok(payload)
    }
}
