//! A worker's part of the ledger on disk, so that delivered and dropped outlive a restart as received does, exactly: a
//! request's counts are appended under its end before the cursor moves there, and on opening those behind the cursor are
//! left out, since their request is done again.
//!
//! One thing is not exact: where the journal gives up, for want of disk, the very frames that a request was made of, and
//! the process dies between the cursor's step and the note that these are counted there already, they count twice.
//!
//! `resent` is what may have been sent twice, noted before it is: a request under way at a crash counts as sent again
//! whether or not it had left.
//!
//! The file `NAME.counts` has a JSON object a line, the first one the sum of those before it:
//! `{"end": [segment, offset], "counts": [["agent", "source", class, "delivered", "", records, bytes], ...]}`

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use ao_common::journal::Position;
use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::tally::{Tally, add_to};
use crate::ledger::{Account, Count, Entry};
use crate::sink::api::DropReason;

/// A file that grew by this much since it was summed up is summed up again. The disk's room for it is taken beforehand,
/// so that a full disk does not stop those who make room on it.
const MAX_GROWTH: u64 = 256 << 10;
/// One line more, and the blocks at both ends.
const ROOM: u64 = MAX_GROWTH + (64 << 10);

/// The file cannot be used.
#[derive(Debug, Error)]
#[error("cannot {operation} the ledger's file {path}: {source}", path = path.display())]
pub struct CountsError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// See the module.
pub(super) struct Counts {
    path: PathBuf,
    file: File,
    total: Tally,
    growth: u64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    end: (u64, u64),
    counts: Vec<Stored>,
}

/// Agent, source, class, entry, reason, records, bytes.
type Stored = (String, String, i32, String, String, u64, u64);

impl Counts {
    /// Makes the file of a sink that has none, with what is counted from the beginning: both or, after a crash, neither.
    /// Blocking.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(super) fn begin(dir: &Path, name: &str, first: &Tally) -> Result<(), CountsError> {
        let path = dir.join(format!("{name}.counts"));
        let failed = |source| CountsError { operation: "write", path: path.clone(), source };
        sum_up(&path, Position::default(), first).map(drop).map_err(failed)
    }

    /// Reads what was counted up to the cursor's position, which [`Counts::total`] then is. Blocking.
    ///
    /// # Errors
    /// Where the file cannot be read or written. A damaged line is skipped.
    pub(super) fn open(
        dir: &Path,
        name: &str,
        sink: &'static str,
        position: Position,
    ) -> Result<Self, CountsError> {
        let path = dir.join(format!("{name}.counts"));
        let failed = |operation| {
            let path = path.clone();
            move |source| CountsError { operation, path, source }
        };
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed("read")(error)),
        };
        let (mut total, mut last) = (Tally::new(), Position::default());
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(line) = serde_json::from_slice::<Line>(line) else {
                tracing::warn!(path = %path.display(), "a damaged line of the ledger's file is skipped");
                continue;
            };
            if line.end > (position.segment, position.offset) {
                continue;
            }
            last = last.max(Position { segment: line.end.0, offset: line.end.1 });
            for (key, count) in line.counts.iter().filter_map(|stored| read(stored, sink)) {
                add_to(&mut total, key, count);
            }
        }
        let file = sum_up(&path, last, &total).map_err(failed("write"))?;
        Ok(Self { path, file, total, growth: 0 })
    }

    /// All that was counted.
    pub(super) fn total(&self) -> &Tally {
        &self.total
    }

    /// Appends a request's counts, which add up; it survives a crash of the process, as the cursor's own note of it. Blocking.
    ///
    /// # Errors
    /// Where the disk refuses; then it may be called again.
    pub(super) fn append(&mut self, end: Position, tallies: &[&Tally]) -> Result<(), CountsError> {
        let mut sum = Tally::new();
        for (key, count) in tallies.iter().copied().flatten() {
            add_to(&mut sum, key.clone(), *count);
        }
        let failed = |source| CountsError { operation: "write", path: self.path.clone(), source };
        // Before it and not behind: what an earlier attempt wrote in part is then a line by itself.
        let line = format!("\n{}", line(end, &sum).map_err(failed)?);
        self.file.write_all(line.as_bytes()).map_err(failed)?;
        self.growth = self.growth.saturating_add(line.len() as u64);
        for (key, count) in sum {
            add_to(&mut self.total, key, count);
        }
        Ok(())
    }

    /// Puts right what was appended for a request: `right` instead of `wrong`. It is in the file after [`Counts::tidy`].
    pub(super) fn correct(&mut self, wrong: &Tally, right: &Tally) {
        for (key, count) in wrong {
            if let Some(line) = self.total.get_mut(key) {
                line.records = line.records.saturating_sub(count.records);
                line.bytes = line.bytes.saturating_sub(count.bytes);
            }
        }
        for (key, count) in right {
            add_to(&mut self.total, key.clone(), *count);
        }
        self.growth = u64::MAX;
    }

    /// Sums the file up if it has grown; `position` is the cursor's. Blocking.
    ///
    /// # Errors
    /// Where the disk refuses; the file stays as it is.
    pub(super) fn tidy(&mut self, position: Position) -> Result<(), CountsError> {
        if self.growth > MAX_GROWTH {
            match sum_up(&self.path, position, &self.total) {
                Ok(file) => (self.file, self.growth) = (file, 0),
                // There is some room yet in the file as it is.
                Err(error) if error.kind() == ErrorKind::StorageFull => {}
                Err(source) => {
                    return Err(CountsError { operation: "write", path: self.path.clone(), source });
                }
            }
        }
        Ok(())
    }
}

/// Replaces the file by one of one line, and opens it for more.
fn sum_up(path: &Path, position: Position, total: &Tally) -> io::Result<File> {
    let new = path.with_extension("counts.new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&new)?;
    let line = line(position, total)?;
    file.write_all(line.as_bytes())?;
    // Some file systems cannot do it; then a full disk makes the worker wait.
    let _taken = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, line.len() as u64 + ROOM);
    file.sync_data()?;
    fs::rename(&new, path)?;
    Ok(file)
}

fn line(end: Position, tally: &Tally) -> io::Result<String> {
    let stored = |((account, entry), count): (&(Account, Entry), &Count)| -> Stored {
        let (kind, reason) = match entry {
            Entry::Received => ("received", ""),
            Entry::Delivered(_) => ("delivered", ""),
            Entry::Dropped(_, reason) => ("dropped", *reason),
            Entry::Resent(_) => ("resent", ""),
        };
        let agent = format!("{:032x}", u128::from_be_bytes(account.agent));
        let source = account.source.clone();
        (agent, source, account.class, kind.to_owned(), reason.to_owned(), count.records, count.bytes)
    };
    let line = Line { end: (end.segment, end.offset), counts: tally.iter().map(stored).collect() };
    serde_json::to_string(&line).map_err(io::Error::other)
}

fn read(stored: &Stored, sink: &'static str) -> Option<((Account, Entry), Count)> {
    let (agent, source, class, kind, reason, records, bytes) = stored;
    let entry = match kind.as_str() {
        "delivered" => Entry::Delivered(sink),
        "dropped" => {
            let reason = DropReason::ALL.into_iter().find(|known| known.name() == reason)?;
            Entry::Dropped(sink, reason.name())
        }
        "resent" => Entry::Resent(sink),
        _ => return None,
    };
    let agent = u128::from_str_radix(agent, 16).ok()?.to_be_bytes();
    let account = Account { agent, source: source.clone(), class: *class };
    Some(((account, entry), Count { records: *records, bytes: *bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position { segment: 2, offset }
    }

    fn tally(records: u64) -> Tally {
        let account = Account { agent: [0xab; 16], source: "logs".to_owned(), class: 3 };
        let count = Count { records, bytes: 10 * records };
        let entries = [Entry::Delivered("loki"), Entry::Dropped("loki", "too_old"), Entry::Resent("loki")];
        entries.into_iter().map(|entry| ((account.clone(), entry), count)).collect()
    }

    fn open(dir: &Path, offset: u64) -> Counts {
        Counts::open(dir, "loki-logs", "loki", at(offset)).expect("opened")
    }

    /// Scenario: three requests are counted; the process dies before the cursor has moved behind the third.
    /// Guarantees: the next process knows two; the third, counted again, is counted once.
    #[test]
    fn counted_once_over_a_crash() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut counts = open(dir.path(), 0);
        for (end, records) in [(10, 1), (20, 2), (30, 4)] {
            counts.append(at(end), &[&tally(records)]).expect("written");
        }
        drop(counts);
        let mut counts = open(dir.path(), 20);
        assert_eq!(*counts.total(), tally(3));
        counts.append(at(30), &[&tally(4)]).expect("written");
        assert_eq!(*open(dir.path(), 30).total(), tally(7));
    }

    /// Scenario: a part of a counted request turns out to be counted elsewhere.
    /// Guarantees: what it is replaced by counts, now and for the next process.
    #[test]
    fn put_right() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut counts = open(dir.path(), 0);
        counts.append(at(10), &[&tally(1), &tally(2)]).expect("written");
        counts.append(at(20), &[&tally(8)]).expect("written");
        counts.correct(&tally(8), &tally(4));
        assert_eq!(*counts.total(), tally(7));
        counts.tidy(at(20)).expect("written");
        assert_eq!(*open(dir.path(), 20).total(), tally(7));
    }

    /// Scenario: a line was written in part when the disk was full, and then again.
    /// Guarantees: the part is skipped, the rest counts.
    #[test]
    fn a_torn_line() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut counts = open(dir.path(), 0);
        counts.append(at(10), &[&tally(1)]).expect("written");
        counts.file.write_all(b"\n{\"end\":[2,").expect("written");
        counts.append(at(20), &[&tally(2)]).expect("written");
        assert_eq!(*open(dir.path(), 20).total(), tally(3));
    }

    /// Scenario: requests without end.
    /// Guarantees: the file stays small, nothing is forgotten.
    #[test]
    fn the_file_stays_small() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut counts = open(dir.path(), 0);
        for end in 1..=10_000 {
            counts.append(at(end), &[&tally(1)]).expect("written");
            counts.tidy(at(end)).expect("written");
        }
        let size = fs::metadata(dir.path().join("loki-logs.counts")).expect("a file").len();
        assert!(size < 2 * MAX_GROWTH, "{size}");
        assert_eq!(*open(dir.path(), 10_000).total(), tally(10_000));
    }
}
