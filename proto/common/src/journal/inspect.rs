//! `journal inspect`: reads all of a journal and changes nothing. It needs no lock, so that it can look at a journal in
//! use: files that are deleted meanwhile are left out, and what is just being written counts as unfinished.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::api::Position;
use super::catalog::{Mark, number};
use super::error::JournalError;
use super::examine::Examined;
use super::mark;
use super::report::{About, Content, Contents, CursorReport, Damage, LogReport, Report, What};
use super::storage::{File, Open, Os, Storage};
use super::witness;

/// Looks at the logs of these names below `dir`; `describe` reads a frame of the log with this number.
///
/// # Errors
/// Where a folder or file cannot be read, or is of another version. Damage is no error: it is what is looked for.
pub fn inspect(
    dir: &Path,
    names: &[&str],
    describe: impl Fn(usize, &Bytes) -> Option<About>,
) -> Result<Report, JournalError> {
    inspect_on(&Os, dir, names, describe)
}

pub(super) fn inspect_on(
    storage: &dyn Storage,
    dir: &Path,
    names: &[&str],
    describe: impl Fn(usize, &Bytes) -> Option<About>,
) -> Result<Report, JournalError> {
    // Also says where there is no such folder.
    storage.list(dir).map_err(JournalError::io("read", dir))?;
    let lock = dir.join("lock");
    let in_use = storage.open(&lock, Open::Read).is_ok()
        && storage.lock(&lock).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    let mut report = Report { dir: dir.to_owned(), in_use, logs: Vec::new() };
    for (nth, name) in names.iter().enumerate() {
        report.logs.push(log(storage, &dir.join(name), name, &|frame| describe(nth, frame))?);
    }
    Ok(report)
}

fn log(
    storage: &dyn Storage,
    dir: &Path,
    name: &str,
    describe: &dyn Fn(&Bytes) -> Option<About>,
) -> Result<LogReport, JournalError> {
    let mut report = LogReport { name: name.to_owned(), ..LogReport::default() };
    // Before the files' sizes, lest a file seems cut that has only grown since.
    let durable = witness::read(storage, dir);
    let files = match storage.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(report),
        listed => listed.map_err(JournalError::io("read", dir))?,
    };
    // Before the segments, lest one looks further back than it is.
    let mut cursors = cursors(storage, dir, &files)?;
    let segments: BTreeMap<u64, u64> =
        files.iter().filter_map(|(file, size)| Some((number(file)?, *size))).collect();
    let mut contents = Contents::new();
    for (segment, &size) in &segments {
        let path = dir.join(format!("{segment:016x}.seg"));
        let file = match storage.open(&path, Open::Read) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened.map_err(JournalError::io("open", &path))?,
        };
        let found = Examined::of(&file, *segment, size, &path, |entry, frame| {
            let place = |offset| Position { segment: *segment, offset };
            for (mark, cursor) in &mut cursors {
                if mark.owes(place(entry.at), place(entry.end())) {
                    cursor.frames += 1;
                    cursor.bytes += entry.end() - entry.at;
                }
            }
            report.add(&mut contents, describe(frame));
        })?;
        report.segments += 1;
        report.bytes += size;
        report.gaps += found.gaps.len() as u64;
        report.gap_bytes += found.gaps.iter().map(|gap| gap.end - gap.start).sum::<u64>();
        let newest = segments.keys().next_back() == Some(segment);
        let durable = if durable.segment == *segment { durable.offset } else { 0 };
        note_damage(&mut report, &path, &found, newest, durable);
    }
    let contents = contents.into_iter();
    report.contents = contents
        .map(|((agent, source), [frames, records, bytes])| Content { agent, source, frames, records, bytes })
        .collect();
    report.cursors = cursors.into_iter().map(|(_, cursor)| cursor).collect();
    Ok(report)
}

fn note_damage(report: &mut LogReport, path: &Path, found: &Examined, newest: bool, durable: u64) {
    let known = durable.max(found.synced);
    for hurt in &found.damage {
        if newest && hurt.bytes.start >= known {
            report.unfinished_bytes += found.size - hurt.bytes.start;
            break;
        }
        report.damage.push(Damage {
            file: path.to_owned(),
            offset: hurt.bytes.start,
            bytes: hurt.bytes.end - hurt.bytes.start,
            what: hurt.what(),
            undecodable_frames: found.costs(hurt).iter().map(|(_, frames)| frames).sum(),
        });
    }
    if newest && durable > found.size {
        report.damage.push(Damage {
            file: path.to_owned(),
            offset: found.size,
            bytes: durable - found.size,
            what: What::Missing,
            undecodable_frames: 0,
        });
    }
}

fn cursors(
    storage: &dyn Storage,
    dir: &Path,
    files: &[(String, u64)],
) -> Result<Vec<(Mark, CursorReport)>, JournalError> {
    let mut cursors = Vec::new();
    for (name, range) in files.iter().filter_map(|(file, _)| mark::name(file)) {
        let path = mark::path(dir, name, range);
        let file: Arc<dyn File> = match storage.open(&path, Open::Read) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            opened => opened.map_err(JournalError::io("open", &path))?,
        };
        let slot = mark::read(&*file, range).map_err(JournalError::io("read", &path))?;
        let damaged = slot.is_none();
        if damaged && mark::is_half_made(storage, dir, files, &*file, range)? {
            continue;
        }
        let mark = slot.map(|slot| slot.mark).unwrap_or_default();
        let pair = |position: Position| (position.segment, position.offset);
        let cursor = CursorReport {
            name: name.to_owned(),
            position: pair(mark.position),
            pending: mark.pending.map(pair),
            end: mark.end.map(pair),
            frames: 0,
            bytes: 0,
            damaged,
        };
        cursors.push((mark, cursor));
    }
    Ok(cursors)
}
