//! Opening a class: which segments there are, how much of the newest is good, and the fold's state. Of older segments
//! only the size is asked, so that it takes as long for a large log as for a small one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::watch;

use super::api::{Class, Fold, Position};
use super::catalog::{ClassLog, Log, Segment, Tally, locked, number};
use super::error::JournalError;
use super::examine::check_version;
use super::mark;
use super::scan::{Scan, Step};
use super::storage::{Open, Storage};
use super::survey::{Survey, end_well};
use super::witness::{self, Witness};
use super::writer::Writing;

/// Opens or begins a class below `dir`.
pub(super) fn open(
    storage: &dyn Storage,
    dir: &Path,
    class: Class,
) -> Result<(ClassLog, Writing), JournalError> {
    let Class { name, mut fold } = class;
    let dir = dir.join(name);
    storage.create_dir(&dir).map_err(JournalError::io("create", &dir))?;
    let files = storage.list(&dir).map_err(JournalError::io("list", &dir))?;
    let cursors = mark::load_all(storage, &dir, &files)?;
    let (durable, tally) = (watch::Sender::new(Position::default()), Tally::default());
    let log = ClassLog { name, dir, log: Mutex::default(), durable, tally };

    let numbered = files.iter().filter_map(|(file, size)| Some((number(file)?, *size)));
    let mut segments: BTreeMap<_, _> = numbered.map(|(n, size)| (n, Segment::finished(n, size))).collect();
    // Not below any cursor either: if somebody deleted the segments alone, new ones would pass for read.
    let cursor_at =
        cursors.values().map(|mark| mark.position.max(mark.end.unwrap_or_default()).segment).max();
    let durable = witness::read(storage, &log.dir);
    let next =
        segments.keys().next_back().copied().max(cursor_at).max(Some(durable.segment)).unwrap_or(0) + 1;
    for segment in segments.values() {
        log.tally.bytes.fetch_add(segment.end().offset, Ordering::Relaxed);
    }

    let found = recover(storage, &log, &mut segments, durable)?;
    let witness = Witness::open(storage, &log.dir);
    if let Some((_, newest)) = segments.last_key_value() {
        witness.note(newest.end());
    }
    let mut replay_from = Position::default();
    if let Some(state) = &found.state {
        let kept = segments.split_off(&state.oldest);
        for segment in segments.values() {
            // Shed before a crash that kept the file.
            log.remove(storage, segment);
        }
        segments = kept;
        fold.restore(&state.snapshot);
        replay_from = state.end;
    }
    if let Some((_, newest)) = segments.last_key_value() {
        log.durable.send_replace(newest.end());
    }
    let state_is_newest = segments.last_key_value().is_none_or(|(n, _)| *n == replay_from.segment);
    let segments = segments.into_iter().map(|(n, segment)| (n, Arc::new(segment))).collect();
    *locked(&log.log) = Log { segments, cursors };
    replay(storage, &log, replay_from, &mut *fold)?;
    let writing = Writing {
        fold,
        witness,
        active: None,
        staged: Vec::new(),
        next,
        newest_frames: found.newest_frames,
        state_due: !state_is_newest,
        doomed: Vec::new(),
    };
    Ok((log, writing))
}

/// What was found at the log's end.
#[derive(Default)]
struct Recovered {
    newest_frames: u64,
    state: Option<State>,
}

struct State {
    snapshot: Bytes,
    /// End of the record: frames behind it are not in the snapshot.
    end: Position,
    /// Number of the oldest segment that counts.
    oldest: u64,
}

/// Looks through the newest segment, cuts what a crash tore, and finds the newest state. Goes back to older segments
/// only where the newest has lost its state.
fn recover(
    storage: &dyn Storage,
    log: &ClassLog,
    segments: &mut BTreeMap<u64, Segment>,
    durable: Position,
) -> Result<Recovered, JournalError> {
    let mut found = Recovered::default();
    let numbers: Vec<u64> = segments.keys().rev().copied().collect();
    let mut newest = true;
    for (nth, number) in numbers.into_iter().enumerate() {
        let path = log.segment_path(number);
        let size = segments[&number].end().offset;
        let file = storage.open(&path, Open::Write).map_err(JournalError::io("open", &path))?;
        let mut scan = Scan::new(file.clone(), number, 0);
        let mut survey = Survey::of(&mut scan, size).map_err(JournalError::io("read", &path))?;
        survey.about.as_ref().map_or(Ok(()), |about| check_version(about, &path))?;
        if nth == 0 {
            survey.cut_torn(if durable.segment == number { durable.offset } else { 0 });
        }
        if newest && survey.is_void() {
            // The crash came while it was made: the one before it was complete by then.
            log.remove(storage, &segments[&number]);
            segments.remove(&number);
            continue;
        }
        if newest {
            newest = false;
            let end = end_well(&*file, log, &segments[&number], &survey, &path)?;
            // After a mere kill it may all be in the page cache only, while readers are about to rely on it.
            file.sync().map_err(JournalError::io("fsync", &path))?;
            storage.sync_dir(&log.dir).map_err(JournalError::io("fsync", &log.dir))?;
            // Wrapping, as atomics do, makes one addition of both directions.
            log.tally.bytes.fetch_add(end.wrapping_sub(size), Ordering::Relaxed);
            let segment = Segment::finished(number, end);
            segment.note_frames(survey.good.frames_end);
            segments.insert(number, segment);
            found.newest_frames = survey.good.frames;
        }
        for (bytes, _) in &survey.damage {
            log.note_damage(&segments[&number], bytes);
        }
        if let Some(entry) = survey.good.state {
            let snapshot = scan.payload(&entry).map_err(JournalError::io("read", &path))?;
            found.state = snapshot.map(|snapshot| State {
                snapshot,
                end: Position { segment: number, offset: entry.end() },
                oldest: u64::try_from(entry.head.key).unwrap_or(0).min(number),
            });
            break;
        }
    }
    Ok(found)
}

/// Tells the fold of the frames behind its snapshot.
fn replay(
    storage: &dyn Storage,
    log: &ClassLog,
    from: Position,
    fold: &mut dyn Fold,
) -> Result<(), JournalError> {
    let segments: Vec<_> = locked(&log.log).segments.range(from.segment..).map(|(_, s)| s.clone()).collect();
    for segment in segments {
        let path = log.segment_path(segment.number);
        let file = storage.open(&path, Open::Read).map_err(JournalError::io("open", &path))?;
        let offset = if segment.number == from.segment { from.offset } else { 0 };
        let mut scan = Scan::new(file, segment.number, offset);
        let end = segment.end().offset;
        while let Some(step) = scan.step(end).map_err(JournalError::io("read", &path))? {
            match step {
                Step::Frame(_, frame) => fold.apply(&frame),
                Step::Damage(bytes) => log.note_damage(&segment, &bytes),
                Step::Other(_) => {}
            }
        }
    }
    Ok(())
}
