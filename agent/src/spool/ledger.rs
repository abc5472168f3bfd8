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
    /// Up to which they are under way, or were, on the connection that there is.
    sent_to: Option<(u64, u64)>,
    /// Frames that were shed while they were under way, oldest first. The log counts them as shed, but an answer that
    /// comes yet says what became of them; until then they count as in flight.
    adrift: VecDeque<Frame>,
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
                let adrift = book.adrift.iter().filter(|frame| frame.source == *source);
                line.shed += adrift.fold(book.shed_of(source), |rest, frame| rest - frame.count);
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
        let place = frame.place();
        if self.order(place) <= self.order(self.settled_to) {
            return;
        }
        self.shed_to = place;
        self.logged.entry(frame.source.clone()).or_default().shed += frame.count;
        if self.order(place) <= self.order(self.sent_to) {
            self.adrift.push_back(frame.clone());
        }
    }

    /// A frame that was read from the log is about to be sent. False where it was shed meanwhile: it was counted as lost,
    /// and must not arrive. Of an epoch that is too old to be known that cannot be told, and it is sent.
    pub(crate) fn send(&mut self, frame: &Frame) -> bool {
        let place = frame.place();
        let was_shed = self.epochs.contains(&frame.epoch) && self.order(place) <= self.order(self.shed_to);
        if !was_shed {
            self.sent_to = place;
        }
        !was_shed
    }

    /// A connection begins, and with it nothing is under way. What is adrift is lost, but for what the aggregator `has`,
    /// by epoch and sequence. Returned is what is to be kept with the cursor.
    pub(crate) fn connected(&mut self, has: impl Fn(u64, u64) -> bool) -> Tally {
        self.sent_to = None;
        let arrived: Vec<Frame> =
            self.adrift.iter().filter(|frame| has(frame.epoch, frame.sequence)).cloned().collect();
        let tally = self.settle(&arrived);
        self.adrift.clear();
        tally
    }

    /// Frames will not be sent again. Returned is what is to be kept with the cursor.
    pub(crate) fn settle(&mut self, frames: &[Frame]) -> Tally {
        let mut tally = Tally::new();
        for frame in frames {
            let place = frame.place();
            let was_shed = self.order(place) <= self.order(self.shed_to);
            if was_shed {
                // The first ones, since answers come in the order of sending.
                let Some(at) = self.adrift.iter().position(|adrift| adrift.place() == place) else {
                    continue;
                };
                self.adrift.remove(at);
            }
            self.settled_to = place;
            let settled = tally.entry(frame.source.clone()).or_default();
            if was_shed {
                settled.rescued += frame.count;
            }
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
            let kept =
                logged.left_out.values().fold(logged.read - self.shed_of(source), |rest, out| rest - *out);
            let rest = kept - settled.delivered - settled.refused - settled.damaged;
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

    /// What was shed of a source and was not answered all the same.
    fn shed_of(&self, source: &str) -> Count {
        let logged = self.logged.get(source).map_or_else(Count::default, |logged| logged.shed);
        logged - self.settled.get(source).map_or_else(Count::default, |settled| settled.rescued)
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

    /// Scenario: three frames that are under way are shed with what they lie in, and a fourth that is about to be sent; the
    /// first is acknowledged. The connection ends; the next aggregator has the second.
    /// Guarantees: these two are delivered, the others are shed, in flight until that is known; the fourth is not sent.
    #[test]
    fn shed_while_under_way() {
        let ledger = Ledger::default();
        let step = |work: &mut dyn FnMut(&mut Book)| {
            work(&mut ledger.book(0));
            let line = line(&ledger);
            (line.in_flight().records, line.settled.delivered.records, line.shed.records)
        };
        for n in 1..=6 {
            step(&mut |book| book.read(&frame(n, Fate::Delivered)));
        }
        for n in 1..=3 {
            step(&mut |book| assert!(book.send(&frame(n, Fate::Delivered))));
        }
        assert_eq!(step(&mut |book| (1..=4).for_each(|n| book.shed(&frame(n, Fate::Delivered)))), (17, 0, 4));
        assert_eq!(step(&mut |book| assert!(!book.send(&frame(4, Fate::Delivered)))), (17, 0, 4));
        assert_eq!(step(&mut |book| assert!(book.send(&frame(5, Fate::Delivered)))), (17, 0, 4));
        assert_eq!(step(&mut |book| _ = book.settle(&[frame(1, Fate::Delivered)])), (16, 1, 4));
        let mut kept = Tally::new();
        assert_eq!(step(&mut |book| kept = book.connected(|epoch, n| epoch == 7 && n == 2)), (11, 3, 7));
        assert_eq!((kept["logs"].delivered.records, kept["logs"].rescued.records), (2, 2));
        assert_eq!(step(&mut |book| _ = book.settle(&[frame(3, Fate::Delivered)])), (11, 3, 7));
        assert_eq!(step(&mut |book| _ = book.settle(&[frame(5, Fate::Delivered)])), (6, 8, 7));
        let newest = ledger.book(0).newest();
        assert_eq!(step(&mut |book| _ = book.settle(&[frame(6, Fate::Refused)])), (0, 8, 7));
        assert_eq!(step(&mut |book| assert!(book.balance(newest).is_empty())), (0, 8, 7));
    }

    /// Scenario: the log has frames of more restarts than are known; one of the oldest is shed, the next ones are sent.
    /// Guarantees: none is held back, though their numbers begin anew with each restart.
    #[test]
    fn too_old_to_be_known() {
        let of = |epoch: u64, sequence| Frame { epoch, ..frame(sequence, Fate::Delivered) };
        let mut book = Book::default();
        let epochs = EPOCHS as u64 + 2;
        book.read(&of(0, 9));
        (1..epochs).for_each(|epoch| book.read(&of(epoch, 1)));
        book.shed(&of(0, 9));
        assert!((1..epochs).all(|epoch| book.send(&of(epoch, 1))));
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
