//! What became of every record that was read, by queue and source: read = delivered + dropped{reason} + in flight.
//!
//! What was read and what was shed goes with the queue's log ([`super::fold`]); what was delivered or given up goes with
//! its cursor ([`super::counts`]). So both outlive a kill -9 exactly.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ao_proto::queue::QUEUES;

use crate::event::ABANDONED;
use crate::spool::api::{Count, Fate, Frame};
use crate::spool::counts::Tally;

/// Epochs kept: as many restarts as a backlog may span.
const EPOCHS: usize = 64;

/// All queues' books.
#[derive(Default)]
pub struct Ledger([Mutex<Book>; QUEUES.len()]);

/// One queue's.
#[derive(Default)]
pub(crate) struct Book {
    /// Those of the frames in the log, oldest first.
    pub(crate) epochs: VecDeque<u64>,
    /// By source: read and shed.
    pub(crate) logged: BTreeMap<String, Logged>,
    /// By source: what moves with the cursor.
    pub(crate) settled: Tally,
    /// The newest frame in the log, and up to which they are settled, or shed: epoch and sequence.
    newest: Option<(u64, u64)>,
    settled_to: Option<(u64, u64)>,
    shed_to: Option<(u64, u64)>,
    /// A spool of a build that kept no counts of what was delivered: the first balance tells.
    pub(crate) adopting: bool,
}

/// See [`Book::logged`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logged {
    /// What rules left out among it.
    pub(crate) read: Count,
    pub(crate) shed: Count,
    /// By reason.
    pub(crate) left_out: BTreeMap<String, Count>,
}

impl Logged {
    /// Neither shed nor left out.
    fn kept(&self) -> Count {
        self.left_out.values().fold(self.read - self.shed, |rest, count| rest - *count)
    }
}

impl Ledger {
    pub(crate) fn book(&self, queue: usize) -> MutexGuard<'_, Book> {
        self.0[queue].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records of one source by what became of them.
    #[cfg(test)]
    pub(crate) fn figures(&self, source: &str) -> BTreeMap<String, u64> {
        let mut figures = BTreeMap::new();
        for (_, line) in self.lines().iter().filter(|((_, of), _)| of == source) {
            let settled = line.settled;
            let named = [
                ("read", line.read),
                ("delivered", settled.delivered),
                ("resent", settled.resent),
                ("in flight", line.in_flight()),
            ];
            for (name, count) in named.into_iter().chain(line.dropped()) {
                *figures.entry(name.to_owned()).or_default() += count.records;
            }
        }
        figures
    }

    /// By class and source, over both lanes.
    pub(crate) fn lines(&self) -> BTreeMap<(&'static str, String), Line> {
        let mut lines = BTreeMap::<_, Line>::new();
        for (number, queue) in QUEUES.iter().enumerate() {
            let book = self.book(number);
            let class = ao_proto::class::name(queue.class);
            for (source, logged) in &book.logged {
                let line = lines.entry((class, source.clone())).or_default();
                line.read += logged.read;
                line.shed += logged.shed;
                for (reason, count) in &logged.left_out {
                    *line.left_out.entry(reason.clone()).or_default() += *count;
                }
            }
            for (source, settled) in &book.settled {
                let line = lines.entry((class, source.clone())).or_default();
                // What was never opened was read, as far as the balance goes.
                line.read += settled.unread;
                if settled.unread != Count::default() {
                    *line.left_out.entry(ABANDONED.to_owned()).or_default() += settled.unread;
                }
                line.settled += *settled;
            }
        }
        lines
    }
}

/// A line of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) read: Count,
    pub(crate) shed: Count,
    /// By rules, by reason; and bytes of log files that were never read.
    pub(crate) left_out: BTreeMap<String, Count>,
    pub(crate) settled: crate::spool::counts::Settled,
}

impl Line {
    /// Given up, by reason.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = (&str, Count)> {
        let s = &self.settled;
        let ours = [("shed", self.shed), ("refused", s.refused), ("damaged", s.damaged)];
        ours.into_iter().chain(self.left_out.iter().map(|(reason, count)| (&**reason, *count)))
    }

    /// In the spool.
    pub(crate) fn in_flight(&self) -> Count {
        self.dropped().fold(self.read - self.settled.delivered, |rest, (_, dropped)| rest - dropped)
    }
}

impl Book {
    /// A frame lies in the log.
    pub(crate) fn read(&mut self, frame: &Frame) {
        if self.epochs.back() != Some(&frame.epoch) {
            self.epochs.push_back(frame.epoch);
            if self.epochs.len() > EPOCHS {
                self.epochs.pop_front();
            }
        }
        self.newest = Some((frame.epoch, frame.sequence));
        let logged = self.logged.entry(frame.source.clone()).or_default();
        logged.read += frame.count;
        for (reason, count) in &frame.left_out {
            logged.read += *count;
            *logged.left_out.entry(reason.clone()).or_default() += *count;
        }
    }

    /// A frame was shed. One that was acknowledged before its cursor could move counts as delivered.
    pub(crate) fn shed(&mut self, frame: &Frame) {
        let place = Some((frame.epoch, frame.sequence));
        if self.order(place) <= self.order(self.settled_to) {
            return;
        }
        self.shed_to = place;
        self.logged.entry(frame.source.clone()).or_default().shed += frame.count;
    }

    /// Frames will not be sent again. Returned is what is to be kept with the cursor.
    pub(crate) fn settle(&mut self, frames: &[Frame]) -> Tally {
        let mut tally = Tally::new();
        for frame in frames {
            let place = Some((frame.epoch, frame.sequence));
            if self.order(place) <= self.order(self.shed_to) {
                continue;
            }
            self.settled_to = place;
            let settled = tally.entry(frame.source.clone()).or_default();
            match frame.fate {
                Fate::Delivered => settled.delivered += frame.count,
                Fate::Refused => settled.refused += frame.count,
            }
        }
        self.note(&tally);
        tally
    }

    /// Everything up to `newest` was read from the log, and nothing of it is under way: what is still missing was
    /// damaged. Not told where there are newer frames by now.
    pub(crate) fn balance(&mut self, newest: Newest) -> Tally {
        let mut tally = Tally::new();
        if newest.0 != self.newest {
            return tally;
        }
        for (source, logged) in &self.logged {
            let settled = self.settled.get(source).copied().unwrap_or_default();
            let rest = logged.kept() - settled.delivered - settled.refused - settled.damaged;
            if rest != Count::default() {
                let settled = tally.entry(source.clone()).or_default();
                *(if self.adopting { &mut settled.delivered } else { &mut settled.damaged }) = rest;
            }
        }
        self.adopting = false;
        self.note(&tally);
        tally
    }

    /// For [`Book::balance`]: to be asked before the log is read to its end.
    pub(crate) fn newest(&self) -> Newest {
        Newest(self.newest)
    }

    pub(crate) fn note(&mut self, tally: &Tally) {
        for (source, more) in tally {
            *self.settled.entry(source.clone()).or_default() += *more;
        }
    }

    /// Frames are ordered as in the log.
    fn order(&self, place: Option<(u64, u64)>) -> Option<(Option<usize>, u64)> {
        place.map(|(epoch, sequence)| (self.epochs.iter().position(|known| *known == epoch), sequence))
    }
}

/// The newest frame at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newest(Option<(u64, u64)>);

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(sequence: u64, fate: Fate) -> Frame {
        let count = Count { records: sequence, bytes: 100 * sequence };
        Frame { epoch: 7, sequence, source: "logs".to_owned(), count, left_out: Vec::new(), fate }
    }

    fn line(ledger: &Ledger) -> Line {
        ledger.lines()[&("metrics", "logs".to_owned())].clone()
    }

    /// Scenario: frames are read, delivered, refused, shed, one is damaged; one is acknowledged that was shed meanwhile,
    /// another shed that was acknowledged before; rules left something out beside one.
    /// Guarantees: each counts once, and the line is balanced at every step.
    #[test]
    fn each_counts_once() {
        let ledger = Ledger::default();
        let step = |work: &mut dyn FnMut(&mut Book)| {
            work(&mut ledger.book(0));
            let line = line(&ledger);
            let settled = line.dropped().fold(line.settled.delivered, |mut sum, (_, dropped)| {
                sum += dropped;
                sum
            });
            assert_eq!(line.in_flight(), line.read - settled);
            line.in_flight().records
        };
        for n in 1..=6 {
            step(&mut |book| book.read(&frame(n, Fate::Delivered)));
        }
        assert_eq!(step(&mut |_| {}), 21);
        assert_eq!(
            step(&mut |book| _ = book.settle(&[frame(1, Fate::Delivered), frame(2, Fate::Refused)])),
            18
        );
        assert_eq!(step(&mut |book| book.shed(&frame(2, Fate::Delivered))), 18);
        assert_eq!(step(&mut |book| book.shed(&frame(3, Fate::Delivered))), 15);
        assert_eq!(step(&mut |book| _ = book.settle(&[frame(3, Fate::Delivered)])), 15);
        // 4 is damaged.
        assert_eq!(step(&mut |book| _ = book.settle(&[frame(5, Fate::Delivered)])), 10);
        let left_out = vec![("debug".to_owned(), Count { records: 5, bytes: 500 })];
        let ruled = Frame { left_out, count: Count::default(), ..frame(7, Fate::Delivered) };
        assert_eq!(step(&mut |book| book.read(&ruled)), 10);
        let newest = ledger.book(0).newest();
        assert_eq!(step(&mut |book| _ = book.settle(&[frame(6, Fate::Delivered), ruled.clone()])), 4);
        assert_eq!(step(&mut |book| _ = book.balance(newest)), 0);
        let line = line(&ledger);
        let records: Vec<_> = line.dropped().map(|(reason, count)| (reason, count.records)).collect();
        let wanted = [("shed", 3), ("refused", 2), ("damaged", 4), ("debug", 5)];
        assert_eq!(records, wanted);
        assert_eq!((line.read.records, line.settled.delivered.bytes), (26, 1_200));
    }

    /// Scenario: the log is read to its end while a frame is appended.
    /// Guarantees: that one is not taken for damaged.
    #[test]
    fn what_is_new_is_not_damaged() {
        let mut book = Book::default();
        book.read(&frame(1, Fate::Delivered));
        let before = book.newest();
        book.read(&frame(2, Fate::Delivered));
        assert!(book.balance(before).is_empty());
    }
}
