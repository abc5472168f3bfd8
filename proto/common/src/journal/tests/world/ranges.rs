//! Ranges that the model's cursors leave behind, and what is known of those whose making or end a crash interrupted.

use std::collections::BTreeSet;

use super::super::super::*;
use super::super::kit::{Counts, numbers, read};
use super::super::truth::Delivery;
use super::{CURSORS, World};

/// A range that was left behind.
pub(super) struct Range {
    class: usize,
    name: String,
    delivery: Delivery,
}

/// One that may have been made.
pub(super) struct Leaving {
    cursor: usize,
    name: String,
    ids: Vec<u64>,
    to: Position,
}

impl Range {
    pub(super) fn named(&self) -> (usize, &str, &Delivery) {
        (self.class, &self.name, &self.delivery)
    }

    pub(super) fn delivery(&mut self) -> &mut Delivery {
        &mut self.delivery
    }
}

impl Leaving {
    /// It was made, also where nobody was told.
    fn made(self, parent: &mut Delivery, at: Position) -> Range {
        parent.done.extend(&self.ids);
        parent.at = parent.at.max(self.to);
        // It has gone to the range, or was dropped where it was cut in two.
        let pending = parent.begun.take_if(|begun| *begun <= self.to);
        let ids = BTreeSet::from_iter(self.ids);
        let delivery = Delivery { at, begun: pending, range: Some(ids), ..Delivery::default() };
        Range { class: CURSORS[self.cursor].0, name: self.name, delivery }
    }
}

impl Delivery {
    /// A request is begun, and perhaps done.
    pub(super) fn request(&mut self, cursor: &mut Cursor, end: Position, ids: &[u64], done: bool) {
        self.begun = cursor.begin(end).is_ok().then_some(end);
        if done {
            match cursor.advance(end) {
                Ok(_) => {
                    self.done.extend(ids);
                    (self.at, self.begun) = (end, None);
                }
                Err(_) => (self.maybe, self.begun) = (Some((end, ids.to_vec())), None),
            }
            assert!(cursor.position() >= self.at);
        }
    }

    /// What a start has made of it.
    pub(super) fn found(&mut self, cursor: &Cursor, counts: &Counts) {
        assert!(cursor.position() >= self.at, "a cursor has gone back");
        if let Some((_, ids)) = self.maybe.take().filter(|(to, _)| cursor.position() >= *to) {
            // Or it was moved, since what it stood in was shed.
            self.done.extend(ids.into_iter().filter(|id| counts.shed.iter().all(|(other, _)| other != id)));
        }
        if let Some(begun) = self.begun {
            assert!(cursor.pending() == Some(begun) || cursor.position() >= begun);
        }
    }
}

impl World {
    pub(in super::super) fn leave(&mut self, which: usize, frames: usize) {
        self.write();
        if self.disk.is_down() || self.readers[which].maybe.is_some() {
            return;
        }
        let (class, parent) = CURSORS[which];
        let running = self.running.as_mut().expect("running");
        let cursor = &mut running.cursors[which];
        let from = cursor.position();
        let mut records = read(&running.journal, class, from);
        records.truncate(frames);
        let to = records.last().map_or(from, |record| record.end);
        let name = format!("{parent}.{}", self.next);
        self.next += 1;
        let leaving = Leaving { cursor: which, name: name.clone(), ids: numbers(&records), to };
        match cursor.leave_behind(&name, to) {
            Ok(range) => {
                assert_eq!((range.position(), range.end(), cursor.position()), (from, Some(to), to));
                running.ranges.push(range);
                self.ranges.push(leaving.made(&mut self.readers[which], from));
            }
            Err(_) => {
                assert_eq!(cursor.position(), from);
                self.leaving.push(leaving);
            }
        }
    }

    pub(in super::super) fn deliver_range(&mut self, nth: usize, frames: usize, done: bool) {
        self.write();
        if self.disk.is_down() || self.ranges.is_empty() {
            return;
        }
        let nth = nth % self.ranges.len();
        let running = self.running.as_mut().expect("running");
        let (range, cursor) = (&mut self.ranges[nth], &mut running.ranges[nth]);
        let bound = cursor.end().expect("a range");
        let mut records = read(&running.journal, range.class, cursor.position());
        records.retain(|record| record.position < bound);
        let all = records.len() <= frames;
        records.truncate(frames);
        let end = records.last().filter(|_| !all).map_or(bound, |record| record.end);
        range.delivery.request(cursor, end, &numbers(&records), done);
        if cursor.position() < bound || range.delivery.maybe.is_some() || self.disk.is_down() {
            return;
        }
        if !range.delivery.range.as_ref().is_some_and(|owed| owed.is_subset(&range.delivery.done)) {
            // The rest was shed, for this range as long as it is there.
            if self.faults {
                return;
            }
            self.check();
        }
        let running = self.running.as_mut().expect("running");
        let cursor = &mut running.ranges[nth];
        assert!(
            cursor.advance(Position { segment: u64::MAX, offset: 0 }).is_err() || cursor.position() == bound
        );
        drop(running.ranges.remove(nth));
        let Range { class, name, .. } = self.ranges.remove(nth);
        if running.journal.remove_cursor(class, &name).is_err() {
            self.done.push((class, name));
        }
    }

    /// Opens the ranges that there must be, and finds out which of the others there are.
    pub(super) fn open_ranges(&mut self, journal: &Journal) -> Result<Vec<Cursor>, JournalError> {
        for leaving in std::mem::take(&mut self.leaving) {
            if journal.cursors(CURSORS[leaving.cursor].0).contains(&leaving.name) {
                let parent = &mut self.readers[leaving.cursor];
                let made = leaving.made(parent, Position::default());
                self.ranges.push(made);
            }
        }
        for (class, name) in &self.done {
            if journal.cursors(*class).contains(name) {
                journal.remove_cursor(*class, name)?;
            }
        }
        self.done.clear();
        self.ranges.iter().map(|range| journal.cursor(range.class, &range.name)).collect()
    }

    /// Compares the ranges that a start has found.
    pub(super) fn find_ranges(&mut self) {
        let running = self.running.as_ref().expect("running");
        for (range, cursor) in self.ranges.iter_mut().zip(&running.ranges) {
            let end = cursor.end().expect("a range");
            assert!(cursor.position() <= end);
            range.delivery.found(cursor, &running.folds[range.class].counts());
            let parent = range.name.split('.').next();
            let parent =
                CURSORS.iter().position(|(class, name)| *class == range.class && Some(*name) == parent);
            let parent = &running.cursors[parent.expect("a cursor")];
            assert!(parent.position() >= end, "{} stands before what it left behind", range.name);
        }
    }
}
