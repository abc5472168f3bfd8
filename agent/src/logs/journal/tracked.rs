//! One of the journal's files: as far as it was read, and the next part of it.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ao_proto::model::{FileId, FileSpan};

use super::super::api::LogsStats;
use super::chunks::Chunks;
use super::copies::Copies;
use super::format::{Bad, Cursor, Entry, Head, Next};
use super::said::{Fields, Said};
use crate::event::Event;

/// Entries read of a file before it is another one's turn.
const TURN: usize = 1_024;
/// Bytes that a turn may have read when it takes no further entry.
const TURN_BYTES: u64 = 4 << 20;

/// Files that are written to grow by so much (journal-file.c, `FILE_SIZE_INCREASE`).
const GROWS: u64 = 8 << 20;

/// One file.
pub(super) struct Tracked {
    pub(super) id: FileId,
    pub(super) path: PathBuf,
    pub(super) of: Of,
    /// When its first entry was written, microseconds since 1970; one without is the newest.
    pub(super) begun_us: u64,
    /// Entries from before that are left out.
    pub(super) since_us: u64,
    /// Bytes of it that count, at least.
    pub(super) size: u64,
    /// Nothing is added any more.
    pub(super) last: bool,
    /// Open while it is read, or waits for its turn.
    pub(super) disk: Option<File>,
    cursor: Cursor,
    fields: Fields,
    /// Behind what was read.
    pub(super) at: u64,
    /// It was read to its end, or as far as it can be.
    pub(super) ended: bool,
    pub(super) gone: Option<Instant>,
    /// Since when something cannot be read that may become readable.
    trouble: Option<Instant>,
    told: bool,
}

/// Whose file it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Of {
    pub folder: PathBuf,
    /// `system`, `user-1000`.
    pub writer: String,
    /// The folder is one in memory, which journald moves to disk.
    pub in_memory: bool,
}

impl Of {
    /// The folder's name where journald may write the same entries to another folder: it moves them to `system`.
    fn machine(&self) -> Option<String> {
        let name = self.folder.file_name()?.to_string_lossy();
        (self.writer == "system").then(|| name.into_owned())
    }
}

/// What reading has to do with.
pub(super) struct Means<'a> {
    pub stats: &'a LogsStats,
    /// Units that are wanted; empty: all entries.
    pub units: &'a [String],
    pub linger: Duration,
    pub chunks: &'a mut Chunks,
    pub copies: &'a mut Copies,
}

/// What a turn leaves behind.
pub(super) enum More {
    Yes,
    No,
    /// Something that is being written, perhaps.
    Wait,
    /// The file is gone, and what it held as well.
    Emptied,
}

impl Tracked {
    /// A file that was found; `at`: how far it was read before.
    pub(super) fn new(path: PathBuf, of: Of, head: &Head, at: u64, fields: Fields) -> Self {
        let mut file = Self {
            id: head.id,
            path,
            of,
            begun_us: u64::MAX,
            since_us: 0,
            size: head.tail,
            last: false,
            disk: None,
            cursor: Cursor::default(),
            fields,
            at,
            ended: false,
            gone: None,
            trouble: None,
            told: false,
        };
        file.begun(head);
        file
    }

    /// Reads the next part.
    ///
    /// # Errors
    /// It can be read no further, or not now.
    pub(super) fn read(&mut self, means: &mut Means<'_>, out: &mut Vec<Event>) -> Result<More, Bad> {
        let disk = match self.disk.take() {
            Some(disk) => disk,
            None => File::open(&self.path)?,
        };
        let disk = &*self.disk.insert(disk);
        let Some(head) = Head::read(disk)? else {
            // Its length stays as it was, and a rotated file ends with its newest object.
            let length = disk.metadata()?.len();
            if !length.is_multiple_of(GROWS) {
                self.size = self.size.max(length);
            }
            return Ok(More::Emptied);
        };
        if head.id != self.id {
            // Under this name lies another file by now: the next look finds this one by its new name.
            self.disk = None;
            return Ok(More::Wait);
        }
        self.last |= head.archived;
        self.size = head.tail;
        let machine = self.of.machine();
        let begun = self.at;
        for _ in 0..TURN {
            let entry = match self.cursor.next(disk, &head, self.at) {
                Ok(Next::End) => return Ok(More::No),
                Ok(Next::Entry(at)) => Entry::read(disk, &head, at),
                Err(bad) => Err(bad),
            };
            let is_old = entry.as_ref().is_ok_and(|entry| entry.at_us < self.since_us);
            let said = entry.and_then(|entry| match is_old {
                true => Ok((None, entry)),
                false => Ok((Some(self.fields.said(disk, &head, &entry)?), entry)),
            });
            match said {
                Ok((said, entry)) => {
                    let span = FileSpan { file: self.id, start: self.at, end: entry.end };
                    self.at = entry.end;
                    let Some(said) = said else {
                        means.chunks.note(None);
                        means.chunks.cover(span, out);
                        self.cursor.pass();
                        continue;
                    };
                    if let Some(why) =
                        said.unread.as_ref().filter(|_| !std::mem::replace(&mut self.told, true))
                    {
                        let path = self.path.display();
                        tracing::warn!(%path, why, "fields of a journal's file are left out, and counted");
                    }
                    take(means, self.of.in_memory, machine.as_deref(), span, &entry, said, out);
                }
                Err(bad @ (Bad::Damaged(_) | Bad::Broken(_))) => {
                    let since = *self.trouble.get_or_insert_with(Instant::now);
                    if !self.last && since.elapsed() < means.linger {
                        return Ok(More::Wait);
                    }
                    LogsStats::add(&means.stats.journal_damaged, 1);
                    if matches!(bad, Bad::Broken(_)) {
                        return Err(bad);
                    }
                    if !std::mem::replace(&mut self.told, true) {
                        tracing::warn!(path = %self.path.display(), error = %bad, "a journal's file is damaged: what can be read of it is");
                    }
                }
                Err(bad) => return Err(bad),
            }
            self.trouble = None;
            self.cursor.pass();
            if self.at.saturating_sub(begun) >= TURN_BYTES {
                break;
            }
        }
        Ok(More::Yes)
    }

    /// When its first entry was written, once there is one.
    pub(super) fn begun(&mut self, head: &Head) {
        if head.begun_us != 0 {
            self.begun_us = head.begun_us;
        }
    }

    /// Nothing more is read of it.
    pub(super) fn end(&mut self) {
        self.ended = true;
        self.disk = None;
        self.cursor = Cursor::default();
        self.fields = Fields::default();
    }

    /// Says once why nothing more is read of it.
    pub(super) fn tell(&mut self, bad: &Bad) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(path = %self.path.display(), error = %bad, "a journal's file is read no further");
        }
    }
}

/// One entry goes on, unless it is not wanted or was read elsewhere.
fn take(
    means: &mut Means<'_>,
    in_memory: bool,
    machine: Option<&str>,
    span: FileSpan,
    entry: &Entry,
    said: Said,
    out: &mut Vec<Event>,
) {
    means.chunks.note(None);
    if let Some(machine) = machine {
        if means.copies.is_copy(machine, in_memory, entry) {
            LogsStats::add(&means.stats.journal_copies, 1);
            means.chunks.cover(span, out);
            return;
        }
        means.chunks.note(means.copies.take(machine, in_memory, entry));
    }
    if said.unread.is_some() {
        LogsStats::add(&means.stats.journal_unreadable, 1);
    }
    let is_wanted = |unit: &Arc<str>| means.units.iter().any(|wanted| **wanted == **unit);
    if means.units.is_empty() || said.unit.as_ref().is_some_and(is_wanted) {
        means.chunks.take(span, said, out);
    } else {
        means.chunks.cover(span, out);
    }
}
