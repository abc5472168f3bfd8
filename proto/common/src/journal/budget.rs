//! The disk budget over all classes, and what happens when it is full: whole segments go, of the least valuable class
//! first, its oldest first, and each unread frame is counted. A disk that is full before the budget is costs nothing:
//! it refuses appends until there is room.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::api::Position;
use super::catalog::{Segment, locked};
use super::error::JournalError;
use super::scan::{Scan, Step};
use super::storage::Open;
use super::writer::Writer;

impl Writer {
    /// Sheds until so many more bytes of a class fit. An append never costs a class of more worth anything: where only
    /// such are left, it goes over the budget, each class by one call's frames at the most, until one of more worth comes.
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
    fn shed(&mut self, class: usize, victim: &Arc<Segment>) -> bool {
        if self.is_active(class, victim)
            && let Err(error) = self.roll(class)
        {
            tracing::warn!(%error, "cannot end well a segment that is to be shed");
            if self.settle(class).is_err() {
                return false;
            }
            if !self.shared.classes[class].lists(victim) {
                // Nothing of it was durable.
                return true;
            }
        }
        let unread = self.count_shed(class, victim);
        tracing::error!(
            class = self.shared.classes[class].name,
            segment = victim.number,
            unread,
            "out of disk budget: a segment is shed"
        );
        self.classes[class].state_due = true;
        self.classes[class].doomed.push(victim.clone());
        // Deletes it where it works.
        let Err(error) = self.keep_state(class) else { return true };
        if error.is_full() {
            let log = &self.shared.classes[class];
            for segment in self.classes[class].doomed.drain(..) {
                log.remove(&*self.shared.storage, &segment);
            }
            // If there is still no room, it goes with the next write.
            let Err(error) = self.keep_state(class) else { return true };
            tracing::error!(%error, "a segment was shed whose count cannot be stored yet");
        } else {
            tracing::error!(%error, "a segment is kept that was shed, until the count of it can be stored");
        }
        true
    }

    fn is_active(&self, class: usize, segment: &Segment) -> bool {
        self.classes[class].active.as_ref().is_some_and(|active| active.segment.number == segment.number)
    }

    /// Takes a segment off the list and tells the fold of its unread frames. Returns how many there were.
    fn count_shed(&mut self, class: usize, victim: &Segment) -> u64 {
        let log = &self.shared.classes[class];
        let (behind, unwatched) = {
            let mut log = locked(&log.log);
            let unwatched = log.is_unwatched();
            (log.take_unread(victim), unwatched)
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
                        let place = |offset| Position { segment: victim.number, offset };
                        let (begin, end) = (place(entry.at), place(entry.end()));
                        let late = behind.iter().filter(|(_, mark)| mark.owes(begin, end));
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

    /// Writes and fsyncs the fold's state, with the log's new beginning.
    pub(super) fn keep_state(&mut self, class: usize) -> Result<(), JournalError> {
        // The fold must have seen all that is written; if that fails, the segment is left and a new one has the state.
        drop(self.commit(class));
        if self.classes[class].active.is_none() {
            self.ensure_active(class)?;
        } else {
            let writing = &mut self.classes[class];
            let state = writing.fold.snapshot();
            if let Some(active) = &mut writing.active {
                active.stage_state(&self.shared.classes[class], &state, &mut self.buf)?;
                writing.state_due = false;
            }
        }
        let done = self.commit(class);
        self.classes[class].state_due |= done.is_err();
        done
    }
}
