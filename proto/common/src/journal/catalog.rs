//! What writer, readers and cursors share: which segments there are, how far each is durable, where the cursors stand,
//! and the counters.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;

use super::api::{Position, Stats};
use super::storage::Storage;

/// All that outlives the writer's thread.
pub(super) struct Shared {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) dir: PathBuf,
    pub(super) classes: Vec<ClassLog>,
    /// The folder's lock; gone once the writer has ended, and with it the right to write.
    pub(super) lock: RwLock<Option<Box<dyn Send + Sync>>>,
}

/// One class.
pub(super) struct ClassLog {
    pub(super) name: &'static str,
    pub(super) dir: PathBuf,
    pub(super) log: Mutex<Log>,
    /// End of the last fsynced frame.
    pub(super) durable: watch::Sender<Position>,
    pub(super) tally: Tally,
}

/// Segments and cursors of a class.
#[derive(Default)]
pub(super) struct Log {
    pub(super) segments: BTreeMap<u64, Arc<Segment>>,
    pub(super) cursors: BTreeMap<String, Mark>,
}

/// Where a cursor stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: Position,
    pub(super) pending: Option<Position>,
    /// Where a range ends that was left behind: it owes the frames that begin before.
    pub(super) end: Option<Position>,
    /// Somebody holds it.
    pub(super) open: bool,
    /// It was moved behind frames that were shed, and that count is not durable yet: neither may this place be, or a
    /// crash would leave them behind it, and counted nowhere.
    pub(super) uncounted: bool,
}

/// One segment's file.
#[derive(Default)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// Bytes on disk.
    pub(super) written: AtomicU64,
    /// End of what readers may read.
    durable: AtomicU64,
    /// End of the last durable frame: who is there has read all of it.
    frames_end: AtomicU64,
    /// `durable` will not grow any more.
    sealed: AtomicBool,
    /// Deleted before all had read it: nobody reads on in it.
    shed: AtomicBool,
    /// Beginnings of the damage found, so that each is counted once.
    damage: Mutex<BTreeSet<u64>>,
}

/// Counters of a class; see [`Stats`].
#[derive(Default)]
pub(super) struct Tally {
    pub(super) bytes: AtomicU64,
    pub(super) appended: AtomicU64,
    pub(super) shed: AtomicU64,
    pub(super) corrupt_records: AtomicU64,
    pub(super) corrupt_bytes: AtomicU64,
    pub(super) torn_tails: AtomicU64,
}

/// A lock whose holder cannot have left a half-done change: all changes under these locks are single steps.
pub(super) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Segment {
    /// A segment with its first bytes written, none of them durable.
    pub(super) fn begun(number: u64, bytes: u64) -> Self {
        Self { number, written: bytes.into(), ..Self::default() }
    }

    /// A segment that is written no more.
    pub(super) fn finished(number: u64, bytes: u64) -> Self {
        let segment = Self::begun(number, bytes);
        segment.publish(bytes);
        segment.note_frames(bytes);
        segment.seal();
        segment
    }

    pub(super) fn publish(&self, durable: u64) {
        self.durable.store(durable, Ordering::Release);
    }

    pub(super) fn note_frames(&self, end: u64) {
        self.frames_end.store(end, Ordering::Release);
    }

    pub(super) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    pub(super) fn mark_shed(&self) {
        self.shed.store(true, Ordering::Release);
    }

    pub(super) fn is_shed(&self) -> bool {
        self.shed.load(Ordering::Acquire)
    }

    /// How far it may be read, and whether that is for good (asked first: a sealed segment's end does not move).
    pub(super) fn readable(&self) -> (u64, bool) {
        let sealed = self.sealed.load(Ordering::Acquire);
        (self.durable.load(Ordering::Acquire), sealed)
    }

    fn begin(&self) -> Position {
        Position { segment: self.number, offset: 0 }
    }

    fn frames_end(&self) -> Position {
        Position { segment: self.number, offset: self.frames_end.load(Ordering::Acquire) }
    }

    pub(super) fn end(&self) -> Position {
        Position { segment: self.number, offset: self.readable().0 }
    }
}

impl Mark {
    /// Moves on, never beyond the end. What is pending is forgotten where it is passed.
    pub(super) fn pass(&mut self, to: Position) {
        let to = self.end.map_or(to, |end| end.min(to));
        self.position = self.position.max(to);
        self.pending = self.pending.filter(|pending| *pending > self.position);
    }

    /// Whether it owes a frame with these bounds.
    pub(super) fn owes(&self, begin: Position, end: Position) -> bool {
        self.position < end && self.end.is_none_or(|to| begin < to && self.position < to)
    }
}

impl Log {
    /// Where a reader of everything begins.
    pub(super) fn beginning(&self) -> Position {
        let segment = self.segments.first_key_value().map_or(0, |(number, _)| *number);
        Position { segment, offset: 0 }
    }

    /// The segment that a position lies in, or the next there is.
    pub(super) fn at(&self, position: Position) -> Option<Arc<Segment>> {
        self.segments.range(position.segment..).next().map(|(_, segment)| segment.clone())
    }

    /// Whether there is a segment that nobody owes anything of.
    pub(super) fn has_passed(&self) -> bool {
        self.passed().next().is_some()
    }

    /// Takes out the segments that nobody owes anything of.
    pub(super) fn take_passed(&mut self) -> Vec<Arc<Segment>> {
        let passed: Vec<_> = self.passed().cloned().collect();
        for segment in &passed {
            self.segments.remove(&segment.number);
        }
        passed
    }

    /// Those that every cursor has passed and that lie in no range that was left behind. The newest is never among
    /// them, since it holds the state.
    fn passed(&self) -> impl Iterator<Item = &Arc<Segment>> {
        let marks = || self.cursors.values();
        let slowest =
            marks().filter(|mark| mark.end.is_none()).map(|mark| mark.position).min().unwrap_or_default();
        let ranges: Vec<&Mark> = marks().filter(|mark| mark.end.is_some()).collect();
        self.segments
            .values()
            .take(self.segments.len().saturating_sub(1))
            .take_while(move |segment| slowest >= segment.frames_end())
            .filter(move |segment| {
                ranges.iter().all(|mark| !mark.owes(segment.begin(), segment.frames_end()))
            })
    }

    /// Whether nobody says what is read: all is kept within the budget then.
    pub(super) fn is_unwatched(&self) -> bool {
        self.cursors.values().all(|mark| mark.end.is_some())
    }

    /// Takes out a segment that not all have read, and moves the cursors that stand before its end to the next one.
    /// Returns how these stood.
    pub(super) fn take_unread(&mut self, segment: &Segment) -> Vec<(String, Mark)> {
        segment.mark_shed();
        self.segments.remove(&segment.number);
        let next = Position { segment: segment.number + 1, offset: 0 };
        let mut moved = Vec::new();
        for (name, mark) in &mut self.cursors {
            if mark.owes(segment.begin(), segment.frames_end()) {
                moved.push((name.clone(), *mark));
                mark.pass(next);
                mark.uncounted = true;
            }
        }
        moved
    }

    /// What was shed so far is durably counted.
    pub(super) fn note_counted(&mut self) {
        self.cursors.values_mut().for_each(|mark| mark.uncounted = false);
    }
}

impl ClassLog {
    pub(super) fn segment_path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:016x}.seg"))
    }

    /// Whether a segment is still there.
    pub(super) fn lists(&self, segment: &Segment) -> bool {
        locked(&self.log).segments.contains_key(&segment.number)
    }

    /// Deletes a segment's file, which is not listed any more. One that cannot be deleted now is deleted at the next
    /// opening, when it lies before the log's beginning or the cursors.
    pub(super) fn remove(&self, storage: &dyn Storage, segment: &Segment) {
        let path = self.segment_path(segment.number);
        if let Err(error) = storage.remove(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove a segment");
        }
        self.tally.bytes.fetch_sub(segment.written.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Counts damage, once.
    pub(super) fn note_damage(&self, segment: &Segment, bytes: &Range<u64>) {
        if locked(&segment.damage).insert(bytes.start) {
            let lost = bytes.end - bytes.start;
            self.tally.corrupt_records.fetch_add(1, Ordering::Relaxed);
            self.tally.corrupt_bytes.fetch_add(lost, Ordering::Relaxed);
            tracing::error!(
                class = self.name,
                segment = segment.number,
                offset = bytes.start,
                bytes = lost,
                "skipping a damaged record of the journal"
            );
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            bytes: read(&self.tally.bytes),
            segments: locked(&self.log).segments.len() as u64,
            appended: read(&self.tally.appended),
            shed: read(&self.tally.shed),
            corrupt_records: read(&self.tally.corrupt_records),
            corrupt_bytes: read(&self.tally.corrupt_bytes),
            torn_tails: read(&self.tally.torn_tails),
        }
    }
}

/// The number in a segment's file name.
pub(super) fn number(file: &str) -> Option<u64> {
    let digits = file.strip_suffix(".seg").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}
