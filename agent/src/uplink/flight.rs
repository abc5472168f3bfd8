//! What was sent on this connection and is not yet acknowledged, in the order of sending, per queue.

use std::collections::{HashMap, VecDeque};

use ao_common::journal::Position;
use ao_proto::queue::QUEUES;
use bytes::Bytes;
use tokio::time::Instant;

/// A frame under way.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    /// Where the spool goes on behind it.
    pub(crate) end: Position,
    /// Room it takes in the window; 0 for one that the aggregator had already.
    pub(crate) bytes: usize,
    pub(crate) keyframe: u64,
    pub(crate) source: String,
    pub(crate) records: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) at: Instant,
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
    /// Notes a frame; one that needs no answer (`bytes` 0) at the head of its queue is done at once: its end is
    /// returned.
    pub(crate) fn push(&mut self, queue: usize, sent: Sent) -> Option<Position> {
        if sent.bytes == 0 && self.queues[queue].is_empty() {
            return Some(sent.end);
        }
        self.queues[queue].push_back(sent);
        None
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

    /// There is nothing to send before this place, which may lie behind damage: it is done with the last frame before
    /// it. Returned where that is now.
    pub(crate) fn read_to(&mut self, queue: usize, end: Position) -> Option<Position> {
        if let Some(last) = self.queues[queue].back_mut() {
            last.end = end.max(last.end);
            return None;
        }
        Some(end)
    }

    /// A keyframe that the aggregator asks for.
    pub(crate) fn keyframe(&self, id: u64) -> Option<Bytes> {
        self.keyframes.get(&id).cloned()
    }

    /// Acks come in the order of sending, so one acknowledges all before it in its queue. Returns the queue and the
    /// frames that are done, or nothing where the frame is not under way.
    pub(crate) fn ack(&mut self, epoch: u64, sequence: u64) -> Option<(usize, Vec<Sent>)> {
        let is_it = |sent: &Sent| sent.epoch == epoch && sent.sequence == sequence;
        for (number, queue) in self.queues.iter_mut().enumerate() {
            let Some(mut end) = queue.iter().position(is_it) else { continue };
            // Frames that the aggregator had already need no answer of their own.
            while queue.get(end + 1).is_some_and(|next| next.bytes == 0) {
                end += 1;
            }
            return Some((number, queue.drain(..=end).collect()));
        }
        None
    }

    /// One frame that will never be taken; those before it still wait. Returns it, and how far its queue is done now.
    pub(crate) fn refused(&mut self, epoch: u64, sequence: u64) -> Option<(Sent, usize, Option<Position>)> {
        let is_it = |sent: &Sent| sent.epoch == epoch && sent.sequence == sequence;
        for (number, queue) in self.queues.iter_mut().enumerate() {
            let Some(place) = queue.iter().position(is_it) else { continue };
            let was = queue[place].clone();
            queue[place].bytes = 0;
            let mut done = None;
            while let Some(first) = queue.pop_front_if(|first| first.bytes == 0) {
                done = Some(first.end);
            }
            return Some((was, number, done));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(sequence: u64, bytes: usize) -> Sent {
        let end = Position { segment: 1, offset: sequence * 10 };
        Sent {
            epoch: 7,
            sequence,
            end,
            bytes,
            keyframe: 0,
            source: String::new(),
            records: 1,
            payload_bytes: 1,
            at: Instant::now(),
        }
    }

    /// Scenario: frames 1 to 4, of which 3 was with the aggregator already; an ack for 2.
    /// Guarantees: 1 to 3 are done, 4 stays; an ack for something unknown changes nothing.
    #[test]
    fn an_ack_covers_what_was_sent_before_it() {
        let mut flight = Flight::default();
        assert_eq!(flight.push(0, sent(1, 5)), None);
        for (n, bytes) in [(2, 5), (3, 0), (4, 5)] {
            flight.push(0, sent(n, bytes));
        }
        assert!(flight.ack(7, 9).is_none());
        let (class, done) = flight.ack(7, 2).unwrap();
        assert_eq!((class, done.last().map(|s| s.sequence), done.len()), (0, Some(3), 3));
        assert_eq!(flight.ack(7, 4).unwrap().1.len(), 1);
    }

    /// Scenario: of three frames the second, then the first is refused.
    /// Guarantees: the first still waits; after it both are done, the third is not.
    #[test]
    fn a_refusal_is_for_one_frame_alone() {
        let mut flight = Flight::default();
        for n in 1..=3 {
            flight.push(1, sent(n, 5));
        }
        let (was, class, done) = flight.refused(7, 2).unwrap();
        assert_eq!((was.bytes, class, done), (5, 1, None));
        let (_, _, done) = flight.refused(7, 1).unwrap();
        assert_eq!(done, Some(Position { segment: 1, offset: 20 }));
        assert_eq!(flight.ack(7, 3).unwrap().1.len(), 1);
    }

    /// Scenario: a queue is read to its end, where something is damaged, with a frame under way and without.
    /// Guarantees: the end is done with that frame, or at once.
    #[test]
    fn damage_at_the_end() {
        let mut flight = Flight::default();
        let end = Position { segment: 1, offset: 99 };
        assert_eq!(flight.read_to(0, end), Some(end));
        flight.push(0, sent(1, 5));
        assert_eq!(flight.read_to(0, end), None);
        assert_eq!(flight.ack(7, 1).unwrap().1[0].end, end);
    }

    /// Scenario: nothing is under way and the next frame is one that the aggregator had already.
    /// Guarantees: it is done at once.
    #[test]
    fn a_known_frame_at_the_head_is_done_at_once() {
        let mut flight = Flight::default();
        assert_eq!(flight.push(2, sent(5, 0)), Some(Position { segment: 1, offset: 50 }));
    }
}
