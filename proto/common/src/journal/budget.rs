//! The disk budget over all classes, and what happens when it, or the disk itself, is full: whole segments go, of the
//! least valuable class first, its oldest first, and each unread frame is counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Position;
use super::catalog::{Segment, locked};
use super::scan::{Scan, Step};
use super::storage::Open;
use super::writer::{Writer, remove};

impl Writer {
    /// Sheds until so many more bytes of a class fit. An append never costs a class of more worth anything: where only
    /// such are left, it goes over the budget, by one call's frames at the most.
    pub(super) fn make_room(&mut self, class: usize, more: u64) {
        while self.bytes() + more > self.options.budget_bytes && self.shed_one(class) {}
    }

    fn bytes(&self) -> u64 {
        self.shared.classes.iter().map(|log| log.tally.bytes.load(Ordering::Relaxed)).sum()
    }

    /// Sheds the first segment in line on behalf of a class; false if there is none.
    pub(super) fn shed_one(&mut self, on_behalf: usize) -> bool {
        for class in (on_behalf..self.classes.len()).rev() {
            if let Some(victim) = self.victim(class)
                && self.shed(class, &victim)
            {
                return true;
            }
        }
        false
    }

    /// A class's oldest segment, unless it is the only one and has no frames: then it would only be made again.
    fn victim(&self, class: usize) -> Option<Arc<Segment>> {
        let log = locked(&self.shared.classes[class].log);
        let (_, oldest) = log.segments.first_key_value()?;
        (log.segments.len() > 1 || self.frames_in_newest(class) > 0).then(|| oldest.clone())
    }

    /// Counts a segment's unread frames, stores the count, deletes the segment. In this order: a crash before the count
    /// is stored finds the segment still there, one after it finds it before the log's beginning. False where the
    /// segment cannot be let go of.
    fn shed(&mut self, class: usize, victim: &Segment) -> bool {
        // The fold must have seen all that is written before its state is stored.
        self.commit(class);
        let active = self.classes[class].active.as_ref();
        if active.is_some_and(|active| active.segment.number == victim.number)
            && let Err(error) = self.roll(class)
        {
            tracing::warn!(%error, "cannot shed the segment that is being written");
            return false;
        }
        let unread = self.count_shed(class, victim);
        let kept = self.keep_state(class);
        let log = &self.shared.classes[class];
        remove(&*self.shared.storage, log, victim);
        tracing::error!(
            class = log.name,
            segment = victim.number,
            unread,
            "out of disk budget: a segment was shed"
        );
        if !kept {
            // A full disk: now there is room. If not, the state goes with the next write.
            self.classes[class].state_due = !self.keep_state(class);
        }
        true
    }

    /// Takes a segment off the list and tells the fold of its unread frames. Returns how many there were.
    fn count_shed(&mut self, class: usize, victim: &Segment) -> u64 {
        let log = &self.shared.classes[class];
        let (behind, unwatched) = {
            let mut log = locked(&log.log);
            (log.take_unread(victim), log.cursors.is_empty())
        };
        if behind.is_empty() && !unwatched {
            return 0;
        }
        let fold = &mut self.classes[class].fold;
        let mut count = 0;
        let done = self.shared.storage.open(&log.segment_path(victim.number), Open::Read).and_then(|file| {
            let mut scan = Scan::new(file, victim.number, 0);
            while let Some(step) = scan.step(victim.readable().0)? {
                match step {
                    Step::Other(_) => {}
                    Step::Damage(bytes) => log.note_damage(victim, &bytes),
                    Step::Frame(entry, frame) => {
                        let end = Position { segment: victim.number, offset: entry.end() };
                        let late = behind.iter().filter(|(_, at)| *at < end);
                        let names: Vec<&str> = late.map(|(name, _)| name.as_str()).collect();
                        if unwatched || !names.is_empty() {
                            fold.shed(&frame, &names);
                            count += 1;
                        }
                    }
                }
            }
            Ok(())
        });
        if let Err(error) = done {
            let segment = victim.number;
            tracing::error!(class = log.name, segment, %error, "cannot count all frames of a segment that is shed");
        }
        log.tally.shed.fetch_add(count, Ordering::Relaxed);
        count
    }

    /// Writes and fsyncs the fold's state, with the log's new beginning. False if that failed.
    pub(super) fn keep_state(&mut self, class: usize) -> bool {
        let done = if self.classes[class].active.is_none() {
            self.ensure_active(class)
        } else {
            let writing = &mut self.classes[class];
            let state = writing.fold.snapshot();
            match &mut writing.active {
                Some(active) => active.stage_state(&self.shared.classes[class], &state, &mut self.buf),
                None => Ok(()),
            }
        };
        let done = done.map(|()| self.commit(class));
        if let Err(error) = &done {
            tracing::warn!(class = self.shared.classes[class].name, %error, "cannot store the count of what was shed yet");
        }
        let stored = self.classes[class].active.as_ref().is_some_and(super::active::Active::is_synced);
        done.is_ok() && stored
    }
}
