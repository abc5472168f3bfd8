//! What was left out of the request that is under way, and how far it got. The cursor's pending bound names the frames of
//! the request; which of their records were not sent depends on the clock and on what was sent before, so it is noted
//! beside it: then the same request can be built again after a crash. Frames that are larger than a request go in
//! several; how many of their records are done is noted too, so that only the one in flight is sent again.
//!
//! The file `NAME.intent` is JSON, there only while there is something to note:
//! `{"end": [segment, offset], "done": 5000, "left_out": [[[record, "too_old"], ...], ...]}`, one list per frame.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ao_common::journal::Position;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::sink::api::DropReason;

/// Records of one frame that are not sent.
pub(super) type LeftOut = BTreeMap<u32, DropReason>;

/// The file cannot be written.
#[derive(Debug, Error)]
#[error("cannot write {path}: {source}", path = path.display())]
pub(super) struct IntentError {
    path: PathBuf,
    source: io::Error,
}

/// See the module.
pub(super) struct Intent {
    path: PathBuf,
    /// Whether the file is there.
    there: bool,
}

#[derive(Serialize, Deserialize)]
struct Note {
    end: (u64, u64),
    #[serde(default)]
    done: u64,
    left_out: Vec<Vec<(u32, String)>>,
}

impl Intent {
    /// In `dir`, which must be there.
    pub(super) fn new(dir: &Path, name: &str) -> Self {
        Self { path: dir.join(format!("{name}.intent")), there: true }
    }

    /// Notes what is left out of the frames up to `end`, before the cursor's `begin`; and again with the records that are
    /// `done`. It survives a crash of the process (no fsync, as `begin`). Blocking.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(super) fn note(&mut self, end: Position, left_out: &[LeftOut], done: u64) -> Result<(), IntentError> {
        let nothing = done == 0 && left_out.iter().all(BTreeMap::is_empty);
        let noted = if nothing { self.remove() } else { self.write(end, left_out, done) };
        noted.map_err(|source| IntentError { path: self.path.clone(), source })
    }

    /// What was noted for the frames up to `end`: what is left out, and how many of the other records are done. Blocking.
    pub(super) fn read(&self, end: Position) -> (Vec<LeftOut>, u64) {
        let Ok(text) = fs::read(&self.path) else { return (Vec::new(), 0) };
        let note =
            serde_json::from_slice::<Note>(&text).ok().filter(|note| note.end == (end.segment, end.offset));
        let Some(note) = note else { return (Vec::new(), 0) };
        let frame = |one: Vec<(u32, String)>| {
            one.into_iter().filter_map(|(n, name)| Some((n, reason(&name)?))).collect()
        };
        (note.left_out.into_iter().map(frame).collect(), note.done)
    }

    fn write(&mut self, end: Position, left_out: &[LeftOut], done: u64) -> io::Result<()> {
        let frame =
            |one: &LeftOut| one.iter().map(|(record, reason)| (*record, reason.name().to_owned())).collect();
        let end = (end.segment, end.offset);
        let note = Note { end, done, left_out: left_out.iter().map(frame).collect() };
        let text = serde_json::to_vec(&note).map_err(io::Error::other)?;
        let new = self.path.with_extension("intent.new");
        fs::write(&new, text)?;
        self.there = true;
        fs::rename(&new, &self.path)
    }

    fn remove(&mut self) -> io::Result<()> {
        if !self.there {
            return Ok(());
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => {
                self.there = false;
                Ok(())
            }
        }
    }
}

fn reason(name: &str) -> Option<DropReason> {
    DropReason::ALL.into_iter().find(|reason| reason.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Position = Position { segment: 3, offset: 70 };

    /// Scenario: a request is noted, read back by the next process, and followed by one that left nothing out.
    /// Guarantees: the same records come back, for these bounds only; the file goes when it is not needed.
    #[test]
    fn read_back_by_the_next_process() {
        let dir = tempfile::tempdir().expect("a folder");
        let left_out =
            vec![LeftOut::new(), LeftOut::from([(1, DropReason::TooOld), (9, DropReason::Invalid)])];
        let mut intent = Intent::new(dir.path(), "loki-logs");
        intent.note(END, &left_out, 5_000).expect("written");
        let mut next = Intent::new(dir.path(), "loki-logs");
        assert_eq!(next.read(END), (left_out, 5_000));
        assert_eq!(next.read(Position { offset: 71, ..END }), (Vec::new(), 0));
        next.note(END, &[LeftOut::new()], 0).expect("removed");
        assert_eq!(next.read(END), (Vec::new(), 0));
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
    }

    /// Scenario: the file is damaged.
    /// Guarantees: it is as if nothing had been left out: the backend then judges.
    #[test]
    fn a_damaged_note_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("x.intent"), b"{\"end\":[3").expect("written");
        assert_eq!(Intent::new(dir.path(), "x").read(END), (Vec::new(), 0));
    }
}
