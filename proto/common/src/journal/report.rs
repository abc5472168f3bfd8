//! What lies in a journal, as `journal inspect` shows it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

/// What the owner reads from a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Who sent it; empty where there is but one.
    pub agent: String,
    /// Which source read it.
    pub source: String,
    /// Records in it.
    pub records: u64,
    /// Their bytes, as read.
    pub bytes: u64,
    /// Oldest record, milliseconds since 1970.
    pub first_ms: i64,
    /// Newest record.
    pub last_ms: i64,
}

/// A journal's folder.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which.
    pub dir: PathBuf,
    /// A service has it open: what it is just writing may look unfinished.
    pub in_use: bool,
    /// Every log, in the order of its worth.
    pub logs: Vec<LogReport>,
}

/// One log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LogReport {
    /// Its folder.
    pub name: String,
    /// Files.
    pub segments: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Frames that can be read.
    pub frames: u64,
    /// Of these, such as the owner cannot read.
    pub strange_frames: u64,
    /// Records in them.
    pub records: u64,
    /// Oldest and newest record, milliseconds since 1970.
    pub oldest_ms: Option<i64>,
    /// See `oldest_ms`.
    pub newest_ms: Option<i64>,
    /// Frames by who sent and which source read them.
    pub contents: Vec<Content>,
    /// Named readers.
    pub cursors: Vec<CursorReport>,
    /// What cannot be read, in order.
    pub damage: Vec<Damage>,
    /// Bytes at the end that no fsync is known to have covered and that are no records: the next start cuts them, and
    /// whoever wrote them was not told that they are safe.
    pub unfinished_bytes: u64,
    /// Damage that a repair has put away.
    pub gaps: u64,
    /// See `gaps`.
    pub gap_bytes: u64,
}

/// One sender's frames of one source.
#[derive(Clone, Debug, Serialize)]
pub struct Content {
    /// See [`About`].
    pub agent: String,
    /// See [`About`].
    pub source: String,
    /// Frames.
    pub frames: u64,
    /// Records in them.
    pub records: u64,
    /// Their bytes, as read.
    pub bytes: u64,
}

/// One cursor.
#[derive(Clone, Debug, Serialize)]
pub struct CursorReport {
    /// Its name.
    pub name: String,
    /// Segment and offset where it stands.
    pub position: (u64, u64),
    /// End of the request that is under way.
    pub pending: Option<(u64, u64)>,
    /// Where its range ends, if it was left behind.
    pub end: Option<(u64, u64)>,
    /// Frames that it owes.
    pub frames: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Its file is damaged: it will begin anew, and send again.
    pub damaged: bool,
}

/// One damaged place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The segment's file.
    pub file: PathBuf,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// What it was, where that can be told.
    pub what: What,
    /// Healthy frames that need a keyframe which was here.
    pub undecodable_frames: u64,
}

/// What a damaged record was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// One frame.
    Frame,
    /// A keyframe: costs the frames that need it.
    Keyframe,
    /// The owner's state: made again from an older one and the frames since.
    State,
    /// One or more records whose heads are gone.
    Unknown,
    /// Nothing: a mark, or an earlier repair.
    Nothing,
    /// The file ends before what was fsynced.
    Missing,
}

impl LogReport {
    /// Takes a frame's description in.
    pub(super) fn add(&mut self, contents: &mut Contents, about: Option<About>) {
        self.frames += 1;
        let Some(about) = about else {
            self.strange_frames += 1;
            return;
        };
        self.records += about.records;
        self.oldest_ms = self.oldest_ms.into_iter().chain([about.first_ms]).min();
        self.newest_ms = self.newest_ms.into_iter().chain([about.last_ms]).max();
        let sum = contents.entry((about.agent, about.source)).or_default();
        *sum = [sum[0] + 1, sum[1] + about.records, sum[2] + about.bytes];
    }
}

/// Frames, records and bytes by agent and source.
pub(super) type Contents = BTreeMap<(String, String), [u64; 3]>;

impl Report {
    /// Damaged places, cursors' files included.
    pub fn damaged(&self) -> usize {
        let of =
            |log: &LogReport| log.damage.len() + log.cursors.iter().filter(|cursor| cursor.damaged).count();
        self.logs.iter().map(of).sum()
    }
}
