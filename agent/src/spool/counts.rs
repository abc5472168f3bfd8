//! What was delivered, refused, damaged or never read of a queue, beside its cursor. The file has two slots; one of them
//! is overwritten and fsynced before the cursor moves, so that it needs no room on a full disk, and on opening that
//! counts which does not stand before the cursor: a kill -9 between the two loses nothing and counts nothing twice.
//!
//! ```text
//! at 0 and at 32768: length u32 | crc32c of what follows, u32, both LE | Stored (protobuf)
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ao_common::journal::Position;
use prost::Message;
use thiserror::Error;

use crate::spool::api::Count;

/// Room for some three hundred sources.
const SLOT: usize = 32 << 10;
const HEAD: usize = 8;

/// Counts by source.
pub(crate) type Tally = BTreeMap<String, Settled>;

/// What moves with the cursor, of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// With the aggregator.
    pub(crate) delivered: Count,
    /// Never taken by it.
    pub(crate) refused: Count,
    /// Lost to damage of the spool.
    pub(crate) damaged: Count,
    /// Of log files that went before they were read, in folders of builds that did not count them with a frame.
    pub(crate) unread: Count,
    /// Sent again; part of what is delivered.
    pub(crate) resent: Count,
    /// Shed while it was under way, and answered all the same: the log counts it as shed, which it was not.
    pub(crate) rescued: Count,
}

impl std::ops::AddAssign for Settled {
    fn add_assign(&mut self, more: Self) {
        self.delivered += more.delivered;
        self.refused += more.refused;
        self.damaged += more.damaged;
        self.unread += more.unread;
        self.resent += more.resent;
        self.rescued += more.rescued;
    }
}

/// The file cannot be used.
#[derive(Debug, Error)]
#[error("cannot {operation} the ledger's file {path}: {source}", path = path.display())]
pub struct CountsError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// See the module.
pub(crate) struct Counts {
    path: PathBuf,
    file: File,
    /// Writes so far.
    count: u64,
    /// The slot that is overwritten next.
    next: usize,
    /// All that was counted.
    pub(crate) total: Tally,
    /// There was no such file.
    pub(crate) is_new: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(uint64, tag = "1")]
    count: u64,
    /// What is counted lies before this.
    #[prost(uint64, tag = "2")]
    segment: u64,
    #[prost(uint64, tag = "3")]
    offset: u64,
    #[prost(message, repeated, tag = "4")]
    sources: Vec<StoredSource>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredSource {
    #[prost(string, tag = "1")]
    source: String,
    /// Records and bytes, in the order of the fields of [`Settled`].
    #[prost(uint64, repeated, tag = "2")]
    counts: Vec<u64>,
}

impl Counts {
    /// Reads what was counted before the cursor's position. Blocking.
    ///
    /// # Errors
    /// Where the file cannot be read or written.
    pub(crate) fn open(path: PathBuf, position: Position) -> Result<Self, CountsError> {
        let failed = |operation| {
            let path = path.clone();
            move |source| CountsError { operation, path, source }
        };
        let mut open = OpenOptions::new();
        let file = open.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(failed("open"))?;
        let is_new = file.metadata().map_err(failed("read"))?.len() == 0;
        if is_new {
            file.write_all_at(&[0; 2 * SLOT], 0).map_err(failed("write"))?;
            file.sync_all().map_err(failed("fsync"))?;
        }
        let slots = [read(&file, 0).map_err(failed("read"))?, read(&file, 1).map_err(failed("read"))?];
        let valid = |slot: usize| {
            let stored = slots[slot].as_ref()?;
            let end = Position { segment: stored.segment, offset: stored.offset };
            (end <= position).then_some((stored.count, slot))
        };
        let newest = valid(0).max(valid(1)).map(|(_, slot)| slot);
        let stored = newest.and_then(|slot| slots[slot].clone()).unwrap_or_default();
        let total = stored.sources.into_iter().map(|s| (s.source, settled(&s.counts))).collect();
        let next = newest.map_or(0, |slot| 1 - slot);
        // Above that of the slot that does not count.
        let count = slots.iter().flatten().map(|stored| stored.count).max().unwrap_or(0);
        Ok(Self { path, file, count, next, total, is_new })
    }

    /// Adds to the counts, under the position that the cursor is moved to next. Blocking.
    ///
    /// # Errors
    /// Where the disk refuses; the counts are then kept with the next call.
    pub(crate) fn add(&mut self, end: Position, tally: &Tally) -> Result<(), CountsError> {
        for (source, more) in tally {
            *self.total.entry(source.clone()).or_default() += *more;
        }
        let sources = self.total.iter().map(|(source, settled)| StoredSource {
            source: source.clone(),
            counts: numbers(settled).to_vec(),
        });
        self.count += 1;
        let (segment, offset) = (end.segment, end.offset);
        let stored =
            Stored { count: self.count, segment, offset, sources: sources.collect() }.encode_to_vec();
        let mut slot = Vec::with_capacity(HEAD + stored.len());
        slot.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        slot.extend_from_slice(&crc32c::crc32c(&stored).to_le_bytes());
        slot.extend_from_slice(&stored);
        let failed = |operation| {
            let path = self.path.clone();
            move |source| CountsError { operation, path, source }
        };
        if slot.len() > SLOT {
            let why = io::Error::new(io::ErrorKind::FileTooLarge, "there are too many sources");
            return Err(failed("write")(why));
        }
        self.file.write_all_at(&slot, (self.next * SLOT) as u64).map_err(failed("write"))?;
        self.file.sync_data().map_err(failed("fsync"))?;
        self.next = 1 - self.next;
        Ok(())
    }
}

/// The file's name beside the cursor in a queue's folder.
pub(crate) fn path(spool: &Path, queue: &str, cursor: &str) -> PathBuf {
    spool.join(queue).join(format!("{cursor}.counts"))
}

fn read(file: &File, slot: usize) -> io::Result<Option<Stored>> {
    let mut bytes = vec![0; SLOT];
    let mut have = 0;
    while have < SLOT {
        match file.read_at(&mut bytes[have..], (slot * SLOT + have) as u64)? {
            0 => break,
            read => have += read,
        }
    }
    let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (len, crc) = (number(0) as usize, number(4));
    let Some(stored) = bytes.get(HEAD..HEAD + len).filter(|_| len > 0) else { return Ok(None) };
    if crc32c::crc32c(stored) != crc {
        return Ok(None);
    }
    Ok(Stored::decode(stored).ok())
}

fn numbers(s: &Settled) -> [u64; 12] {
    let counts = [s.delivered, s.refused, s.damaged, s.unread, s.resent, s.rescued];
    std::array::from_fn(|n| if n % 2 == 0 { counts[n / 2].records } else { counts[n / 2].bytes })
}

fn settled(numbers: &[u64]) -> Settled {
    let count = |n: usize| Count {
        records: numbers.get(2 * n).copied().unwrap_or(0),
        bytes: numbers.get(2 * n + 1).copied().unwrap_or(0),
    };
    Settled {
        delivered: count(0),
        refused: count(1),
        damaged: count(2),
        unread: count(3),
        resent: count(4),
        rescued: count(5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position { segment: 3, offset }
    }

    fn delivered(records: u64) -> Tally {
        let count = Count { records, bytes: 10 * records };
        Tally::from([("logs".to_owned(), Settled { delivered: count, rescued: count, ..<_>::default() })])
    }

    /// Scenario: counts are kept; the process dies before the cursor has moved; another time a slot is torn.
    /// Guarantees: what the cursor has passed counts, once; what it has not is counted again with its move.
    #[test]
    fn counted_once_over_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let open = |offset| Counts::open(dir.path().join("uplink.counts"), at(offset)).unwrap();
        let mut counts = open(0);
        assert!(counts.is_new);
        counts.add(at(10), &delivered(1)).unwrap();
        counts.add(at(20), &delivered(2)).unwrap();
        counts.add(at(20), &Tally::new()).unwrap();
        counts.add(at(30), &delivered(4)).unwrap();
        let mut counts = open(20);
        assert_eq!((counts.total.clone(), counts.is_new), (delivered(3), false));
        counts.add(at(30), &delivered(4)).unwrap();
        let counts = open(30);
        assert_eq!(counts.total, delivered(7));
        counts.file.write_all_at(b"torn", ((1 - counts.next) * SLOT + 20) as u64).unwrap();
        assert_eq!(open(30).total, delivered(3), "the slot before");
    }
}
