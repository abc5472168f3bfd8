//! The model test's journal and disk, and what is done to them; what must hold is `truth`'s.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use super::super::writer::{Request, Writer};
use super::super::*;
use super::disk::{Crash, Disk};
use super::kit::{Counting, frame, number, numbers, read};
use super::truth::{Deliveries, Delivery, Truth};
use ranges::{Leaving, Range};

mod ranges;

/// Class, name. The third class has none, and so keeps all that the budget allows.
const CURSORS: [(usize, &str); 3] = [(0, "left"), (0, "right"), (1, "left")];
const NAMES: [&str; 3] = ["high", "middle", "low"];
const OPTIONS: Options =
    Options { segment_bytes: 1_500, segment_age: Duration::from_secs(3600), budget_bytes: 6_000 };
/// Largest segment: state, a call's frames and keyframes on top of what it rolls at.
const SEGMENT: u64 = OPTIONS.segment_bytes + 3_000;

pub(super) struct World {
    pub(super) disk: Disk,
    runtime: Runtime,
    running: Option<Running>,
    queued: Vec<(usize, Vec<u64>, Pending)>,
    truths: [Truth; 3],
    readers: [Delivery; 3],
    /// Ranges that the cursors have left behind and that are not done.
    ranges: Vec<Range>,
    /// A range that could not be left behind, which may yet be found made.
    leaving: Vec<Leaving>,
    /// Ranges that could not be removed for certain.
    done: Vec<(usize, String)>,
    next: u64,
    /// EIO was injected in this life: a file that could not be removed may be left over.
    faults: bool,
    /// Damage has hit more than a frame: the fold may have forgotten something, and keyframes may be gone.
    tainted: bool,
}

struct Running {
    journal: Journal,
    writer: Writer,
    queue: mpsc::Receiver<Request>,
    _end: watch::Sender<()>,
    folds: Vec<Counting>,
    cursors: Vec<Cursor>,
    /// Of the ranges, in their order.
    ranges: Vec<Cursor>,
}

impl World {
    pub(super) fn new(random: u64) -> Self {
        let mut world = Self {
            disk: Disk::new(random),
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
            running: None,
            queued: Vec::new(),
            truths: Default::default(),
            readers: Default::default(),
            ranges: Vec::new(),
            leaving: Vec::new(),
            done: Vec::new(),
            next: 0,
            faults: false,
            tainted: false,
        };
        world.start();
        world
    }

    pub(super) fn fail_after(&mut self, n: u64) {
        self.faults = true;
        self.disk.fail_after(n);
    }

    pub(super) fn append(&mut self, class: usize, frames: usize, size: usize, key: Option<u8>) {
        let running = self.running.as_ref().expect("running");
        let ids = Vec::from_iter(self.next..self.next + frames as u64);
        self.next += frames as u64;
        let keyframe = key.map(|key| (Key::from(key), keyframe(Key::from(key))));
        let frames =
            ids.iter().map(|id| Append { frame: frame(*id, size), keyframe: keyframe.clone() }).collect();
        let pending = self.runtime.block_on(running.journal.append(class, frames)).expect("queued");
        self.queued.push((class, ids, pending));
    }

    pub(super) fn write(&mut self) {
        let Some(running) = &mut self.running else { return };
        while let Ok(request) = running.queue.try_recv() {
            running.writer.round(request, &mut running.queue);
        }
        for (class, ids, pending) in self.queued.drain(..) {
            let truth = &mut self.truths[class];
            match self.runtime.block_on(pending.durable()) {
                Ok(_) => truth.log.extend(ids),
                Err(error) if error.to_string().contains("crashed") => truth.unsure.extend(ids),
                Err(_) if self.disk.is_down() => truth.loose.extend(ids),
                Err(_) => {}
            }
        }
    }

    pub(super) fn deliver(&mut self, which: usize, frames: usize, done: bool) {
        self.write();
        if self.disk.is_down() {
            return;
        }
        let (class, _) = CURSORS[which];
        let running = self.running.as_mut().expect("running");
        let cursor = &mut running.cursors[which];
        let mut records = read(&running.journal, class, cursor.position());
        records.truncate(frames);
        let Some(end) = records.last().map(|record| record.end) else { return };
        self.readers[which].request(cursor, end, &numbers(&records), done);
    }

    /// Ends well, and starts again, with one bit of a segment flipped in between.
    pub(super) fn restart(&mut self, damage: Option<(usize, usize, u8)>) {
        self.write();
        if self.disk.is_down() {
            return;
        }
        if let Some((class, at, bit)) = damage {
            // Notes what was shed, since the flip may hit the state that says so.
            self.check();
            self.flip(class, at, bit);
        }
        let capacity = self.disk.set_capacity(u64::MAX);
        if let Some(running) = &mut self.running {
            running.writer.finish();
        }
        self.crash(Crash::Kill);
        self.disk.set_capacity(capacity);
    }

    /// The end, whether it was wanted or not, and a new beginning.
    pub(super) fn crash(&mut self, crash: Crash) {
        self.write();
        self.running = None;
        self.disk.restart(crash);
        if crash == Crash::Power {
            // Notes of requests are not fsynced.
            let ranges = self.ranges.iter_mut().map(Range::delivery);
            self.readers.iter_mut().chain(ranges).for_each(|delivery| delivery.begun = None);
        }
        self.faults = false;
        self.start();
        self.check();
    }

    fn start(&mut self) {
        while let Err(error) = self.try_start() {
            assert!(self.disk.is_down(), "{error}");
            self.disk.restart(Crash::Kill);
        }
        let running = self.running.as_ref().expect("running");
        for ((class, _), (delivery, cursor)) in
            CURSORS.iter().zip(self.readers.iter_mut().zip(&running.cursors))
        {
            delivery.found(cursor, &running.folds[*class].counts());
        }
        self.find_ranges();
        let running = self.running.as_ref().expect("running");
        for (truth, fold) in self.truths.iter_mut().zip(&running.folds) {
            let found = fold.counts().applied;
            if self.tainted {
                let old = truth.log.last().copied();
                truth.log.extend(found.into_iter().filter(|id| Some(*id) > old));
            } else {
                truth.reconcile(found);
            }
            truth.unsure.clear();
            truth.loose.clear();
        }
    }

    fn try_start(&mut self) -> Result<(), JournalError> {
        self.running = None;
        let folds = Vec::from(NAMES.map(|_| Counting::default()));
        let classes = NAMES.iter().zip(&folds);
        let classes = classes.map(|(name, fold)| Class { name, fold: Box::new(fold.clone()) }).collect();
        let storage = Arc::new(self.disk.clone());
        let (journal, mut writer, queue, _end) =
            Journal::assemble(storage, Path::new("/data"), classes, OPTIONS)?;
        writer.begin();
        let cursors: Result<Vec<_>, _> =
            CURSORS.iter().map(|(class, name)| journal.cursor(*class, name)).collect();
        let cursors = cursors?;
        let ranges = self.open_ranges(&journal)?;
        self.running = Some(Running { cursors, ranges, journal, writer, queue, _end, folds });
        Ok(())
    }

    fn flip(&mut self, class: usize, at: usize, bit: u8) {
        if self.faults {
            // What says how far it was fsynced may not have been written, without which damage counts as a torn write.
            return;
        }
        let running = self.running.as_ref().expect("running");
        let records = read(&running.journal, class, Position::default());
        let Some(record) = records.get(at % records.len().max(1)) else { return };
        let segment = record.position.segment;
        let path = format!("/data/{}/{segment:016x}.seg", NAMES[class]);
        let offset = at / 7 % (record.end.offset as usize + 50);
        self.disk.flip(Path::new(&path), offset, bit);
        let hit = records.iter().find(|r| {
            r.position.segment == segment && (r.position.offset..r.end.offset).contains(&(offset as u64))
        });
        match hit {
            Some(record) => {
                self.truths[class].hit.insert(number(&record.frame));
            }
            None => self.tainted = true,
        }
    }

    pub(super) fn check(&mut self) {
        if self.disk.is_down() {
            return;
        }
        let running = self.running.as_ref().expect("running");
        let mut bytes = 0;
        for (class, truth) in self.truths.iter_mut().enumerate() {
            let counts = running.folds[class].counts();
            if !self.tainted {
                assert_eq!(counts.applied, truth.log, "class {class}: the fold is the replay of the log");
            }
            let plain =
                CURSORS.iter().zip(&self.readers).map(|((of, name), delivery)| (*of, *name, delivery));
            let ranges = self.ranges.iter().map(Range::named);
            let of_class = plain.chain(ranges).filter(|(of, ..)| *of == class);
            let mut deliveries: Deliveries<'_> =
                of_class.map(|(_, name, delivery)| (name, delivery)).collect();
            deliveries.sort_by_key(|(name, _)| *name);
            let shed = truth.check_shed(counts.shed, &deliveries);
            let here = look(&running.journal, class, !self.tainted);
            truth.check_content(&here, &shed, &deliveries, self.tainted);
            if !self.faults {
                // Where storing the count failed, a crash may bring the segment back.
                truth.shed = shed;
            }
            bytes += running.journal.stats(class).bytes;
        }
        assert!(bytes <= OPTIONS.budget_bytes + SEGMENT, "{bytes} bytes are over the budget");
        if !self.faults {
            assert_eq!(bytes, self.disk.bytes(".seg"), "the count of bytes is that of the files");
        }
    }
}

/// What a reader of everything finds; each frame with its keyframe, if asked.
fn look(journal: &Journal, class: usize, keyframes: bool) -> Vec<u64> {
    let mut reader = journal.reader(class, Position::default());
    let mut here = Vec::new();
    let mut end = Position::default();
    while let Some(record) = reader.read().expect("readable") {
        assert!(record.position >= end, "positions go up");
        end = record.end;
        here.push(number(&record.frame));
        if let Some(key) = record.key.filter(|_| keyframes) {
            assert_eq!(reader.keyframe(key), Some(keyframe(key)), "class {class}");
        }
    }
    here
}

fn keyframe(key: Key) -> bytes::Bytes {
    vec![key as u8; 30].into()
}
