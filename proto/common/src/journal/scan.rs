//! Walking through a segment, record by record, with a small buffer, and finding the next record behind damage. The
//! search looks at each byte once and needs only a head to decide, so that it costs no more than reading the file.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::api::Position;
use super::record::{HEAD, Head, Kind, MAGIC};
use super::storage::{File, read_full};

/// Read-ahead: large enough that a disk streams, small beside any memory limit.
const CHUNK: usize = 256 << 10;

/// A place in a segment.
pub(super) struct Scan {
    file: Arc<dyn File>,
    segment: u64,
    offset: u64,
    buf: Vec<u8>,
    /// Offset of the buffer's first byte.
    start: u64,
    /// How far reading ahead may go: the limit of the last call.
    limit: u64,
}

/// What lies at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A record with a good head; its payload is not looked at yet.
    Record(Entry),
    /// Bytes that are no record.
    Damage(Range<u64>),
}

/// What lies at a place, frames with their content.
pub(super) enum Step {
    /// A frame as it was written.
    Frame(Entry, Bytes),
    /// Some other record, unread.
    Other(Entry),
    /// Bytes that are no record, or a frame that is not what was written, or what a repair made of such.
    Damage(Range<u64>),
}

/// A record's place and head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: u64,
    pub(super) head: Head,
}

impl Entry {
    /// Where the next one begins.
    pub(super) fn end(&self) -> u64 {
        self.at + self.head.size()
    }
}

impl Scan {
    /// From an offset on, which is a record's beginning unless there is damage.
    pub(super) fn new(file: Arc<dyn File>, segment: u64, offset: u64) -> Self {
        Self { file, segment, offset, buf: Vec::new(), start: 0, limit: 0 }
    }

    /// Where the next call looks.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What comes next, below the limit (which a record's end is, unless there is damage). `None` at the limit.
    pub(super) fn next(&mut self, limit: u64) -> io::Result<Option<Found>> {
        if self.offset >= limit {
            return Ok(None);
        }
        self.limit = limit;
        if let Some(entry) = self.entry(self.offset, limit)? {
            self.offset = entry.end();
            return Ok(Some(Found::Record(entry)));
        }
        let from = self.offset;
        self.offset = self.search(from + 1, limit)?;
        Ok(Some(Found::Damage(from..self.offset)))
    }

    /// Like `next`, with the frames' content.
    pub(super) fn step(&mut self, limit: u64) -> io::Result<Option<Step>> {
        Ok(match self.next(limit)? {
            Some(Found::Record(entry)) if entry.head.is_frame() => match self.payload(&entry) {
                Ok(Some(frame)) => Some(Step::Frame(entry, frame)),
                Ok(None) => Some(Step::Damage(entry.at..entry.end())),
                Err(error) => {
                    // The next call tries again.
                    self.offset = entry.at;
                    return Err(error);
                }
            },
            Some(Found::Record(entry)) if entry.head.kind == Kind::Gap => {
                Some(Step::Damage(entry.at..entry.end()))
            }
            Some(Found::Record(entry)) => Some(Step::Other(entry)),
            Some(Found::Damage(bytes)) => Some(Step::Damage(bytes)),
            None => None,
        })
    }

    /// The payload of a record; `None` if it is not what was written.
    pub(super) fn payload(&mut self, entry: &Entry) -> io::Result<Option<Bytes>> {
        let (from, len) = (entry.at + HEAD as u64, entry.head.len as usize);
        if len > CHUNK {
            return read_payload(&*self.file, entry);
        }
        let payload = self.get(from, len, self.limit.max(entry.end()))?;
        Ok(payload.filter(|p| entry.head.holds(p)).map(Bytes::copy_from_slice))
    }

    /// The record at an offset, if there is a whole one.
    fn entry(&mut self, at: u64, limit: u64) -> io::Result<Option<Entry>> {
        let place = Position { segment: self.segment, offset: at };
        let head = self.get(at, HEAD, limit)?.and_then(|bytes| Head::parse(bytes, place));
        Ok(head.map(|head| Entry { at, head }).filter(|entry| entry.end() <= limit))
    }

    /// The next record's beginning, from an offset on; the limit if there is none.
    fn search(&mut self, mut from: u64, limit: u64) -> io::Result<u64> {
        while from + HEAD as u64 <= limit {
            let Some(bytes) = self.ahead(from, limit)? else { break };
            let candidate = bytes.windows(MAGIC.len()).position(|w| w == MAGIC);
            let Some(found) = candidate else {
                // A magic may begin in the last bytes.
                from += (bytes.len() - (MAGIC.len() - 1)) as u64;
                continue;
            };
            from += found as u64;
            if self.entry(from, limit)?.is_some() {
                return Ok(from);
            }
            from += 1;
        }
        Ok(limit)
    }

    /// At least a head's worth of bytes from an offset on.
    fn ahead(&mut self, at: u64, limit: u64) -> io::Result<Option<&[u8]>> {
        if self.get(at, HEAD, limit)?.is_none() {
            return Ok(None);
        }
        let end = self.buf.len().min((limit - self.start) as usize);
        Ok(Some(&self.buf[(at - self.start) as usize..end]))
    }

    /// Bytes of the file, through the buffer. `None` where limit or file end before.
    fn get(&mut self, at: u64, len: usize, limit: u64) -> io::Result<Option<&[u8]>> {
        if at + len as u64 > limit {
            return Ok(None);
        }
        if at < self.start || at + len as u64 > self.start + self.buf.len() as u64 {
            let want = (limit - at).min(CHUNK.max(len) as u64) as usize;
            self.start = at;
            self.buf.resize(want, 0);
            let got = read_full(&*self.file, &mut self.buf, at);
            // Nothing half-read stays behind an error.
            self.buf.truncate(*got.as_ref().unwrap_or(&0));
            got?;
        }
        let from = (at - self.start) as usize;
        Ok(self.buf.get(from..from + len))
    }
}

/// The payload of a record, past any buffer; `None` if it is not what was written.
pub(super) fn read_payload(file: &dyn File, entry: &Entry) -> io::Result<Option<Bytes>> {
    let mut payload = vec![0; entry.head.len as usize];
    let got = read_full(file, &mut payload, entry.at + HEAD as u64)?;
    Ok((got == payload.len() && entry.head.holds(&payload)).then(|| payload.into()))
}
