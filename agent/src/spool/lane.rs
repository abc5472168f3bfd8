//! Which lane a class's next frames take: fresh as long as what waits in the fresh queue is soon sent, else the backlog.
//!
//! The queue's bytes count, not its age: while nothing is acknowledged the fresh queue takes half of its room ([`Pace`]),
//! and with the first acknowledgement the other half is there for what is read from then on. So what is read while the
//! link works never waits behind an outage, however long that was and however much of it lies in the backlog; and what
//! is read in a short one goes before the backlog as well.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ao_common::journal::Position;
use ao_proto::queue::Lane;
use tokio::time::Instant;

use crate::spool::pace::Pace;

/// Frames stored within this time are looked at as one, so that the list stays short.
const GRAIN: Duration = Duration::from_millis(100);

/// Where frames wait and none was acknowledged for so long, the link does not work.
const STALL: Duration = Duration::from_millis(500);

/// One class's choice.
pub(crate) struct Choice {
    pace: Arc<Pace>,
    /// What lies unacknowledged in the fresh queue, oldest first.
    waiting: VecDeque<Waiting>,
    /// Bytes of it.
    bytes: usize,
    /// How far it is acknowledged, and when that was last seen to move.
    acked: Position,
    moved: Option<Instant>,
}

struct Waiting {
    /// At the latest; `None` for before the start.
    since: Option<Instant>,
    end: Position,
    bytes: usize,
}

impl Choice {
    /// The fresh queue is acknowledged up to `acked`; `left` is the end of what an earlier process has left behind that,
    /// and its bytes.
    pub(crate) fn new(pace: Arc<Pace>, acked: Position, left: Option<(Position, usize)>) -> Self {
        let waiting = left.map(|(end, bytes)| Waiting { since: None, end, bytes });
        let bytes = left.map_or(0, |(_, bytes)| bytes);
        Self { pace, waiting: waiting.into_iter().collect(), bytes, acked, moved: None }
    }

    /// The lane for frames of so many bytes that come now; `acked` is how far the fresh queue is acknowledged.
    pub(crate) fn choose(&mut self, now: Instant, acked: Position, bytes: usize) -> Lane {
        if acked > self.acked {
            (self.acked, self.moved) = (acked, Some(now));
        }
        while let Some(done) = self.waiting.pop_front_if(|waiting| waiting.end <= acked) {
            self.bytes -= done.bytes;
        }
        let Some(oldest) = self.waiting.front() else { return Lane::Fresh };
        let is_old = |at: Option<Instant>| at.is_none_or(|at| now - at > STALL);
        let stalls = is_old(oldest.since) && is_old(self.moved);
        let room = self.pace.room();
        let room = if stalls { room / 2 } else { room };
        if self.bytes + bytes > room { Lane::Backlog } else { Lane::Fresh }
    }

    /// Frames that came at `since` lie in the fresh queue now.
    pub(crate) fn stored(&mut self, since: Instant, end: Position, bytes: usize) {
        self.bytes += bytes;
        match self.waiting.back_mut() {
            Some(last) if last.since.is_some_and(|first| since - first < GRAIN) => {
                last.end = end;
                last.bytes += bytes;
            }
            _ => self.waiting.push_back(Waiting { since: Some(since), end, bytes }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as nothing is known of the link, a queue's room is 2 MiB.
    fn choice(left: Option<(Position, usize)>) -> Choice {
        let pace = Arc::new(Pace::new(Duration::from_secs(2)));
        assert_eq!(pace.room(), 2 << 20);
        Choice::new(pace, at(0), left)
    }

    fn at(offset: u64) -> Position {
        Position { segment: 1, offset }
    }

    /// Scenario: acks keep up; they stop for an hour while much is read; they come again, at first for a part.
    /// Guarantees: half of the room is filled with what comes first, the rest is backlog; what comes behind the first ack
    /// is fresh at once, though the queue is not drained.
    #[test]
    fn half_of_the_room_is_for_an_outage() {
        const FRAME: usize = 128 << 10;
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut choice = choice(None);
        let lanes = |choice: &mut Choice, now: u64, acked: u64, frames: u64| -> (usize, u64) {
            let (mut fresh, mut end) = (0, acked);
            for n in 0..frames {
                if choice.choose(ms(now), at(acked), FRAME) == Lane::Fresh {
                    fresh += 1;
                    end = now + n + 1;
                    choice.stored(ms(now), at(end), FRAME);
                }
            }
            (fresh, end)
        };
        let (fresh, end) = lanes(&mut choice, 0, 0, 2);
        assert_eq!(fresh, 2);
        assert_eq!(lanes(&mut choice, 1_000, end, 1).0, 1, "all was acknowledged");
        assert_eq!(lanes(&mut choice, 2_000, end, 5).0, 5);
        assert_eq!(lanes(&mut choice, 4_000, end, 50).0, 2, "half of the room is full");
        assert_eq!(lanes(&mut choice, 3_600_000, end, 50).0, 0);
        assert_eq!(lanes(&mut choice, 3_600_100, 1_001, 50).0, 9, "one is through");
        assert_eq!(lanes(&mut choice, 3_600_200, 2_005, 50).0, 5);
    }

    /// Scenario: an earlier process has left much, or little, in the fresh queue; nobody acknowledges it, then somebody.
    /// Guarantees: what is read is fresh where there is room for it, and as soon as that becomes less.
    #[test]
    fn what_an_earlier_process_left() {
        let start = Instant::now();
        let mut little = choice(Some((at(40), 1 << 19)));
        assert_eq!(little.choose(start, at(30), 100), Lane::Fresh);
        let mut much = choice(Some((at(40), 1 << 21)));
        assert_eq!(much.choose(start, at(30), 100), Lane::Backlog);
        assert_eq!(much.choose(start, at(40), 100), Lane::Fresh);
        let mut half = choice(Some((at(40), 3 << 19)));
        assert_eq!(half.choose(start, at(0), 100), Lane::Backlog);
        assert_eq!(half.choose(start, at(30), 100), Lane::Fresh, "the first ack");
    }

    /// Scenario: a great many frames while no ack comes.
    /// Guarantees: the list stays short, and its end counts.
    #[test]
    fn the_list_is_bounded() {
        let start = Instant::now();
        let mut choice = choice(None);
        for n in 0..20_000 {
            choice.stored(start + Duration::from_micros(n * 100), at(n), 1);
        }
        assert!(choice.waiting.len() <= 21, "{}", choice.waiting.len());
        assert_eq!(choice.bytes, 20_000);
        choice.choose(start + Duration::from_secs(5), at(19_999), 1);
        assert!(choice.waiting.is_empty() && choice.bytes == 0);
    }

    /// Scenario: more is read within a moment than the fresh queue may hold, in frames of all sizes; one is larger than
    /// its room.
    /// Guarantees: the rest is backlog; an empty queue takes any frame.
    #[test]
    fn a_great_deal_at_once() {
        let start = Instant::now();
        let mut choice = choice(None);
        for n in 1..=4 {
            assert_eq!(choice.choose(start, at(0), 1 << 19), Lane::Fresh, "{n}");
            choice.stored(start + GRAIN * n, at(n.into()), 1 << 19);
        }
        assert_eq!(choice.choose(start, at(0), 1), Lane::Backlog);
        assert_eq!(choice.choose(start, at(1), 1 << 20), Lane::Backlog);
        assert_eq!(choice.choose(start, at(1), 1 << 19), Lane::Fresh);
        assert_eq!(choice.choose(start, at(4), 9 << 20), Lane::Fresh);
    }
}
