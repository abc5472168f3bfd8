//! What was left out of the request that is under way, and how far it got. The cursor's pending bound names the frames of
//! the request; which of their records were not sent depends on the clock and on what was sent before, so it is noted
//! beside it: then the same request can be built again after a crash. Frames that are larger than a request go in
//! several; how many of their records are done, and which of these were refused, is noted too, so that only the one in
//! flight is sent again.
//!
//! The file `NAME.intent` is JSON, there only while there is something to note:
//! `{"end": [segment, offset], "done": 5000, "left_out": [[[record, "too_old"], ...], ...], "refused": [[frame, record,
//! "refused", "why"], ...], "unnamed": [[frame, records], ...]}`; `left_out` has a list per frame.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ao_common::journal::Position;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::deliver::{Refused, Settled};
use crate::sink::api::{Decoded, DropReason};

/// Records of one frame that are not sent.
pub(super) type LeftOut = BTreeMap<u32, DropReason>;

/// What is known of the request's frames.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Noted {
    /// For each frame.
    pub(super) left_out: Vec<LeftOut>,
    /// How many of the other records are done.
    pub(super) done: u64,
    /// Frame, record, reason and the backend's words.
    pub(super) refused: Vec<(usize, u32, DropReason, Arc<str>)>,
    /// Frame and records.
    pub(super) unnamed: Vec<(usize, u64)>,
}

impl Noted {
    /// With what was not delivered of one more request.
    pub(super) fn add(&mut self, frames: &[Arc<Decoded>], settled: Settled) {
        let place = |frame: &Arc<Decoded>| frames.iter().position(|other| Arc::ptr_eq(frame, other));
        let refused = settled.refused.into_iter();
        self.refused.extend(refused.filter_map(|r| Some((place(&r.frame)?, r.record, r.reason, r.why))));
        let unnamed = settled.unnamed.iter();
        self.unnamed.extend(unnamed.filter_map(|(frame, count)| Some((place(frame)?, *count))));
    }

    /// What was not delivered of all of them.
    pub(super) fn settled(self, frames: &[Arc<Decoded>]) -> Settled {
        let refused = self.refused.into_iter().filter_map(|(place, record, reason, why)| {
            Some(Refused { frame: frames.get(place)?.clone(), record, reason, why })
        });
        let unnamed =
            self.unnamed.iter().filter_map(|(place, count)| Some((frames.get(*place)?.clone(), *count)));
        Settled { refused: refused.collect(), unnamed: unnamed.collect() }
    }
}

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
    #[serde(default)]
    refused: Vec<(usize, u32, String, String)>,
    #[serde(default)]
    unnamed: Vec<(usize, u64)>,
}

impl Intent {
    /// In `dir`, which must be there.
    pub(super) fn new(dir: &Path, name: &str) -> Self {
        Self { path: dir.join(format!("{name}.intent")), there: true }
    }

    /// Notes what is known of the frames up to `end`, before the cursor's `begin`, and again before each further request.
    /// It survives a crash of the process (no fsync, as `begin`). Blocking.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(super) fn note(&mut self, end: Position, known: &Noted) -> Result<(), IntentError> {
        let nothing = known.done == 0 && known.left_out.iter().all(BTreeMap::is_empty);
        let noted = if nothing { self.remove() } else { self.write(end, known) };
        noted.map_err(|source| IntentError { path: self.path.clone(), source })
    }

    /// What was noted for the frames up to `end`. Blocking.
    pub(super) fn read(&self, end: Position) -> Noted {
        let Ok(text) = fs::read(&self.path) else { return Noted::default() };
        let fits = |note: &Note| note.end == (end.segment, end.offset);
        let note = serde_json::from_slice::<Note>(&text).ok().filter(fits);
        let Some(note) = note else { return Noted::default() };
        let frame = |one: Vec<(u32, String)>| {
            one.into_iter().filter_map(|(n, name)| Some((n, reason(&name)?))).collect()
        };
        let refused = note.refused.into_iter();
        Noted {
            left_out: note.left_out.into_iter().map(frame).collect(),
            done: note.done,
            refused: refused
                .filter_map(|(f, n, name, why)| Some((f, n, reason(&name)?, why.into())))
                .collect(),
            unnamed: note.unnamed,
        }
    }

    fn write(&mut self, end: Position, known: &Noted) -> io::Result<()> {
        let frame =
            |one: &LeftOut| one.iter().map(|(record, reason)| (*record, reason.name().to_owned())).collect();
        let refused = known.refused.iter();
        let note = Note {
            end: (end.segment, end.offset),
            done: known.done,
            left_out: known.left_out.iter().map(frame).collect(),
            refused: refused
                .map(|(f, n, reason, why)| (*f, *n, reason.name().to_owned(), why.to_string()))
                .collect(),
            unnamed: known.unnamed.clone(),
        };
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
        let refused = vec![(1, 4, DropReason::Refused, "no".into())];
        let known = Noted { left_out, done: 5_000, refused, unnamed: vec![(0, 3)] };
        let mut intent = Intent::new(dir.path(), "loki-logs");
        intent.note(END, &known).expect("written");
        let mut next = Intent::new(dir.path(), "loki-logs");
        assert_eq!(next.read(END), known);
        assert_eq!(next.read(Position { offset: 71, ..END }), Noted::default());
        next.note(END, &Noted { left_out: vec![LeftOut::new()], ..Noted::default() }).expect("removed");
        assert_eq!(next.read(END), Noted::default());
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
    }

    /// Scenario: the file is damaged.
    /// Guarantees: it is as if nothing had been left out: the backend then judges.
    #[test]
    fn a_damaged_note_is_none() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("x.intent"), b"{\"end\":[3").expect("written");
        assert_eq!(Intent::new(dir.path(), "x").read(END), Noted::default());
    }
}
