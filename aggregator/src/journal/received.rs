//! What was received, noted beside each queue's journal: the ledger's received counts stand in the newest segment, and
//! would go with it where the disk loses that. What the note knows of and the journal does not was received and is lost.
//!
//! Appended to after each fsync of the journal and not fsynced itself: it outlives the process, and what a power cut
//! leaves of it is older, which loses nothing that the journal has. A JSON object a line, the first one the sum:
//! `{"known": [["agent", "source", records, bytes], ...], "lost": [...]}`; `known` is what the journal says.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ledger::Count;

/// A file that grew by this much since it was summed up is summed up again.
const MAX_GROWTH: u64 = 1 << 20;

/// By agent, source, and, of what was shed, the sink.
pub(crate) type Counts = BTreeMap<(Vec<u8>, String, String), Count>;

/// See the module.
#[derive(Debug)]
pub(super) struct Received {
    path: PathBuf,
    file: File,
    known: Counts,
    lost: Counts,
    growth: u64,
    /// The disk refused, and was complained of.
    troubled: bool,
}

#[derive(Default, Serialize, Deserialize)]
struct Line {
    known: Vec<Stored>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lost: Vec<Stored>,
}

/// Agent, source, records, bytes.
type Stored = (String, String, u64, u64);

impl Received {
    /// Opens or begins the note of a queue whose journal holds these counts; [`Received::lost`] is then what it does not
    /// hold any more. Blocking.
    ///
    /// # Errors
    /// Where the file cannot be read or written. A damaged line is skipped.
    pub(super) fn open(path: &Path, held: &Counts) -> io::Result<Self> {
        let (known, mut lost) = read(path)?;
        for (key, noted) in &known {
            let held = held.get(key).copied().unwrap_or_default();
            let more = Count {
                records: noted.records.saturating_sub(held.records),
                bytes: noted.bytes.saturating_sub(held.bytes),
            };
            if more != Count::default() {
                let source = &key.1;
                tracing::error!(source, records = more.records, "the journal lost what it had received");
                lost.entry(key.clone()).or_default().add(more);
            }
        }
        let file = sum_up(path, held, &lost)?;
        Ok(Self { path: path.to_owned(), file, known: held.clone(), lost, growth: 0, troubled: false })
    }

    /// What was received and is not among the journal's counts.
    pub(super) fn lost(&self) -> &Counts {
        &self.lost
    }

    /// The journal has a frame more. Where the disk refuses the note is older for a while.
    pub(super) fn add(&mut self, key: &(Vec<u8>, String, String), count: Count) {
        self.known.entry(key.clone()).or_default().add(count);
        let done = if self.growth > MAX_GROWTH || self.troubled {
            sum_up(&self.path, &self.known, &self.lost).map(|file| (self.file, self.growth) = (file, 0))
        } else {
            let one = Counts::from([(key.clone(), count)]);
            line(&one, &Counts::new()).and_then(|line| {
                self.growth = self.growth.saturating_add(line.len() as u64);
                self.file.write_all(line.as_bytes())
            })
        };
        if let Err(error) = &done
            && !self.troubled
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot note what was received");
        }
        self.troubled = done.is_err();
    }
}

/// What a file says is known and lost.
pub(super) fn read(path: &Path) -> io::Result<(Counts, Counts)> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let (mut known, mut lost) = (Counts::new(), Counts::new());
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            tracing::warn!(path = %path.display(), "a damaged line of the note of what was received is skipped");
            continue;
        };
        for (counts, stored) in [(&mut known, line.known), (&mut lost, line.lost)] {
            for (agent, source, records, bytes) in stored {
                let Ok(agent) = u128::from_str_radix(&agent, 16) else { continue };
                let key = (agent.to_be_bytes().to_vec(), source, String::new());
                counts.entry(key).or_default().add(Count { records, bytes });
            }
        }
    }
    Ok((known, lost))
}

/// Replaces the file by one of one line, and opens it for more.
fn sum_up(path: &Path, known: &Counts, lost: &Counts) -> io::Result<File> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&new)?;
    file.write_all(line(known, lost)?.as_bytes())?;
    file.sync_data()?;
    fs::rename(&new, path)?;
    Ok(file)
}

/// With line ends on both sides: what was written in part before it is a line by itself.
fn line(known: &Counts, lost: &Counts) -> io::Result<String> {
    let stored = |counts: &Counts| -> Vec<Stored> {
        let of = |((agent, source, _), count): (&(Vec<u8>, String, String), &Count)| {
            let agent = agent.iter().map(|byte| format!("{byte:02x}")).collect();
            (agent, source.clone(), count.records, count.bytes)
        };
        // All that come in are so long.
        counts.iter().filter(|((agent, ..), _)| agent.len() == 16).map(of).collect()
    };
    let line = Line { known: stored(known), lost: stored(lost) };
    serde_json::to_string(&line).map(|line| format!("\n{line}\n")).map_err(io::Error::other)
}
