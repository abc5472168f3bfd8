//! What was sent on this connection and is not yet acknowledged, in the order of sending, per queue.

use std::collections::{HashMap, VecDeque};

use ao_common::journal::Position;
use ao_proto::queue::QUEUES;
use bytes::Bytes;
use tokio::time::Instant;

use crate::spool::{Fate, Frame, Newest};

/// A frame under way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) frame: Frame,
    /// Where the spool goes on behind it.
    pub(crate) end: Position,
    /// Room it takes in the window; 0 for one that needs no answer.
    pub(crate) bytes: usize,
    pub(crate) keyframe: u64,
    pub(crate) at: Instant,
    /// The spool was read to its end behind it.
    pub(crate) last: Option<Newest>,
}

/// What a queue is done with: frames in their order, and where the spool goes on.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) sent: Vec<Sent>,
    /// Nothing of the queue is under way any more, and nothing was to be read behind these.
    pub(crate) read_out: Option<Newest>,
}

impl Done {
    /// Behind the last of them.
    pub(crate) fn end(&self) -> Option<Position> {
        self.sent.last().map(|sent| sent.end)
    }
}

/// All frames under way.
#[derive(Default)]
pub(crate) struct Flight {
    queues: [VecDeque<Sent>; QUEUES.len()],
    /// Sealed keyframes of this connection, to be sent again on demand.
    keyframes: HashMap<u64, Bytes>,
}

/// Keyframes kept before those that no frame under way names are let go.
const KEYFRAMES: usize = 256;

impl Flight {
    /// Notes a frame. Returned is what is done at once: one that needs no answer (`bytes` 0) at the head of its queue.
    pub(crate) fn push(&mut self, queue: usize, sent: Sent) -> Done {
        self.queues[queue].push_back(sent);
        self.head(queue)
    }

    /// True the first time that a keyframe is seen on this connection.
    pub(crate) fn is_new_keyframe(&mut self, id: u64, sealed: &Bytes) -> bool {
        if self.keyframes.contains_key(&id) {
            return false;
        }
        if self.keyframes.len() >= KEYFRAMES {
            let named: Vec<u64> = self.queues.iter().flatten().map(|sent| sent.keyframe).collect();
            self.keyframes.retain(|id, _| named.contains(id));
        }
        self.keyframes.insert(id, sealed.clone());
        true
    }

    /// There is nothing more to send before this place, which may lie behind damage: it is done with the last frame
    /// under way. False where none is.
    pub(crate) fn read_out(&mut self, queue: usize, newest: Newest, end: Position) -> bool {
        let Some(last) = self.queues[queue].back_mut() else { return false };
        last.end = end.max(last.end);
        last.last = Some(newest);
        true
    }

    /// When the oldest frame under way was sent.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.queues.iter().filter_map(|queue| queue.front()).map(|sent| sent.at).min()
    }

    /// A keyframe that the aggregator asks for.
    pub(crate) fn keyframe(&self, id: u64) -> Option<Bytes> {
        self.keyframes.get(&id).cloned()
    }

    /// Acks come in the order of sending, so one acknowledges all before it in its queue. Returns the queue and what is
    /// done, or nothing where the frame is not under way.
    pub(crate) fn ack(&mut self, epoch: u64, sequence: u64) -> Option<(usize, Done)> {
        let (number, place) = self.find(epoch, sequence)?;
        let mut sent: Vec<Sent> = self.queues[number].drain(..=place).collect();
        // Frames that need no answer of their own.
        let mut done = self.head(number);
        sent.append(&mut done.sent);
        let read_out = sent.last().and_then(|sent| sent.last).filter(|_| self.queues[number].is_empty());
        Some((number, Done { sent, read_out }))
    }

    /// One frame that will never be taken; those before it still wait. Returns its room in the window, its queue and
    /// what is done now.
    pub(crate) fn refused(&mut self, epoch: u64, sequence: u64) -> Option<(usize, usize, Done)> {
        let (number, place) = self.find(epoch, sequence)?;
        let sent = &mut self.queues[number][place];
        sent.frame.fate = Fate::Refused;
        let room = std::mem::take(&mut sent.bytes);
        Some((room, number, self.head(number)))
    }

    fn find(&self, epoch: u64, sequence: u64) -> Option<(usize, usize)> {
        let is_it = |sent: &Sent| sent.frame.epoch == epoch && sent.frame.sequence == sequence;
        self.queues.iter().enumerate().find_map(|(n, queue)| Some((n, queue.iter().position(is_it)?)))
    }

    /// What needs no answer at the head of a queue.
    fn head(&mut self, number: usize) -> Done {
        let mut done = Done::default();
        while let Some(first) = self.queues[number].pop_front_if(|first| first.bytes == 0) {
            done.sent.push(first);
        }
        let last = done.sent.last().and_then(|sent| sent.last);
        done.read_out = last.filter(|_| self.queues[number].is_empty());
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::{Count, Ledger};

    fn sent(sequence: u64, bytes: usize) -> Sent {
        let end = Position { segment: 1, offset: sequence * 10 };
        let frame = Frame {
            epoch: 7,
            sequence,
            source: String::new(),
            count: Count::default(),
            left_out: Vec::new(),
            fate: Fate::Delivered,
        };
        Sent { frame, end, bytes, keyframe: 0, at: Instant::now(), last: None }
    }

    fn numbers(done: &Done) -> Vec<u64> {
        done.sent.iter().map(|sent| sent.frame.sequence).collect()
    }

    /// Scenario: frames 1 to 4, of which 3 was with the aggregator already; an ack for 2.
    /// Guarantees: 1 to 3 are done, 4 stays; an ack for something unknown changes nothing.
    #[test]
    fn an_ack_covers_what_was_sent_before_it() {
        let mut flight = Flight::default();
        for (n, bytes) in [(1, 5), (2, 5), (3, 0), (4, 5)] {
            assert_eq!(numbers(&flight.push(0, sent(n, bytes))), [0; 0]);
        }
        assert!(flight.ack(7, 9).is_none());
        let (queue, done) = flight.ack(7, 2).unwrap();
        assert_eq!((queue, numbers(&done)), (0, vec![1, 2, 3]));
        assert_eq!(numbers(&flight.ack(7, 4).unwrap().1), [4]);
    }

    /// Scenario: of three frames the second, then the first is refused.
    /// Guarantees: the first still waits, so nothing is done; after it both are, with their fate, the third is not.
    #[test]
    fn a_refusal_is_for_one_frame_alone() {
        let mut flight = Flight::default();
        for n in 1..=3 {
            flight.push(1, sent(n, 5));
        }
        let (room, queue, done) = flight.refused(7, 2).unwrap();
        assert_eq!((room, queue, done.end()), (5, 1, None));
        let (_, _, done) = flight.refused(7, 1).unwrap();
        assert_eq!(done.end(), Some(Position { segment: 1, offset: 20 }));
        assert!(done.sent.iter().all(|sent| sent.frame.fate == Fate::Refused));
        assert_eq!(numbers(&flight.ack(7, 3).unwrap().1), [3]);
    }

    /// Scenario: nothing is under way and the next frame is one that the aggregator had already.
    /// Guarantees: it is done at once.
    #[test]
    fn a_known_frame_at_the_head_is_done_at_once() {
        let mut flight = Flight::default();
        assert_eq!(flight.push(2, sent(5, 0)).end(), Some(Position { segment: 1, offset: 50 }));
    }

    /// Scenario: a queue is read to its end, where something is damaged, with a frame under way and without.
    /// Guarantees: the end is done with that frame and said to be read out; without, the caller is told.
    #[test]
    fn damage_at_the_end() {
        let mut flight = Flight::default();
        let (end, newest) = (Position { segment: 1, offset: 99 }, Ledger::default().book(0).newest());
        assert!(!flight.read_out(0, newest, end));
        flight.push(0, sent(1, 5));
        flight.push(0, sent(2, 5));
        assert!(flight.read_out(0, newest, end));
        assert_eq!(flight.ack(7, 1).unwrap().1.read_out, None);
        let (_, done) = flight.ack(7, 2).unwrap();
        assert_eq!((done.end(), done.read_out), (Some(end), Some(newest)));
    }
}
