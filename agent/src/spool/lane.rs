//! Which lane a class's next frames take: fresh as long as what waits in the fresh queue is soon sent, else the backlog.
//!
//! The queue's bytes count, not its age: while nothing is acknowledged the fresh queue takes half of its room ([`Pace`]),
//! and with the first acknowledgement the other half is there for what is read from then on. So what is read while the
//! link works never waits behind an outage, however long that was and however much of it lies in the backlog; and what
//! is read in a short one goes before the backlog as well. Beside the bytes on the link those count that a sink has to
//! take, which are many more: it takes the fresh queue in order.

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

/// The fresh queue holds no more than this, as it was before it was compressed.
const MOST_RAW: usize = 8 << 20;

/// How large frames are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Amount {
    /// In the spool and on the link.
    pub(crate) bytes: usize,
    /// Before compression.
    pub(crate) raw: usize,
}

/// One class's choice.
pub(crate) struct Choice {
    pace: Arc<Pace>,
    /// What lies unacknowledged in the fresh queue, oldest first.
    waiting: VecDeque<Waiting>,
    sum: Amount,
    /// How far it is acknowledged, and when that was last seen to move.
    acked: Position,
    moved: Option<Instant>,
}

struct Waiting {
    /// At the latest; `None` for before the start.
    since: Option<Instant>,
    end: Position,
    amount: Amount,
}

impl Choice {
    /// The fresh queue is acknowledged up to `acked`; `left` is the end of what an earlier process has left behind that,
    /// and its bytes.
    pub(crate) fn new(pace: Arc<Pace>, acked: Position, left: Option<(Position, usize)>) -> Self {
        let amount = |bytes| Amount { bytes, raw: 0 };
        let waiting = left.map(|(end, bytes)| Waiting { since: None, end, amount: amount(bytes) });
        let sum = left.map_or(Amount::default(), |(_, bytes)| amount(bytes));
        Self { pace, waiting: waiting.into_iter().collect(), sum, acked, moved: None }
    }

    /// The lane for frames of this size that come now; `acked` is how far the fresh queue is acknowledged.
    pub(crate) fn choose(&mut self, now: Instant, acked: Position, amount: Amount) -> Lane {
        if acked > self.acked {
            (self.acked, self.moved) = (acked, Some(now));
        }
        while let Some(done) = self.waiting.pop_front_if(|waiting| waiting.end <= acked) {
            self.sum.bytes -= done.amount.bytes;
            self.sum.raw -= done.amount.raw;
        }
        let Some(oldest) = self.waiting.front() else { return Lane::Fresh };
        let is_old = |at: Option<Instant>| at.is_none_or(|at| now - at > STALL);
        let stalls = is_old(oldest.since) && is_old(self.moved);
        let part = if stalls { 2 } else { 1 };
        let fits = self.sum.bytes + amount.bytes <= self.pace.room() / part
            && self.sum.raw + amount.raw <= MOST_RAW / part;
        if fits { Lane::Fresh } else { Lane::Backlog }
    }

    /// Frames that came at `since` lie in the fresh queue now.
    pub(crate) fn stored(&mut self, since: Instant, end: Position, amount: Amount) {
        self.sum.bytes += amount.bytes;
        self.sum.raw += amount.raw;
        match self.waiting.back_mut() {
            Some(last) if last.since.is_some_and(|first| since - first < GRAIN) => {
                last.end = end;
                last.amount.bytes += amount.bytes;
                last.amount.raw += amount.raw;
            }
            _ => self.waiting.push_back(Waiting { since: Some(since), end, amount }),
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

    /// Of frames that do not compress.
    fn of(bytes: usize) -> Amount {
        Amount { bytes, raw: bytes }
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
                if choice.choose(ms(now), at(acked), of(FRAME)) == Lane::Fresh {
                    fresh += 1;
                    end = now + n + 1;
                    choice.stored(ms(now), at(end), of(FRAME));
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
        assert_eq!(little.choose(start, at(30), of(100)), Lane::Fresh);
        let mut much = choice(Some((at(40), 1 << 21)));
        assert_eq!(much.choose(start, at(30), of(100)), Lane::Backlog);
        assert_eq!(much.choose(start, at(40), of(100)), Lane::Fresh);
        let mut half = choice(Some((at(40), 3 << 19)));
        assert_eq!(half.choose(start, at(0), of(100)), Lane::Backlog);
        assert_eq!(half.choose(start, at(30), of(100)), Lane::Fresh, "the first ack");
    }

    /// Scenario: a great many frames while no ack comes.
    /// Guarantees: the list stays short, and its end counts.
    #[test]
    fn the_list_is_bounded() {
        let start = Instant::now();
        let mut choice = choice(None);
        for n in 0..20_000 {
            choice.stored(start + Duration::from_micros(n * 100), at(n), of(1));
        }
        assert!(choice.waiting.len() <= 21, "{}", choice.waiting.len());
        assert_eq!(choice.sum.bytes, 20_000);
        choice.choose(start + Duration::from_secs(5), at(19_999), of(1));
        assert!(choice.waiting.is_empty() && choice.sum.bytes == 0);
    }

    /// Scenario: more is read within a moment than the fresh queue may hold, in frames of all sizes; one is larger than
    /// its room.
    /// Guarantees: the rest is backlog; an empty queue takes any frame.
    #[test]
    fn a_great_deal_at_once() {
        let start = Instant::now();
        let mut choice = choice(None);
        for n in 1..=4 {
            assert_eq!(choice.choose(start, at(0), of(1 << 19)), Lane::Fresh, "{n}");
            choice.stored(start + GRAIN * n, at(n.into()), of(1 << 19));
        }
        assert_eq!(choice.choose(start, at(0), of(1)), Lane::Backlog);
        assert_eq!(choice.choose(start, at(1), of(1 << 20)), Lane::Backlog);
        assert_eq!(choice.choose(start, at(1), of(1 << 19)), Lane::Fresh);
        assert_eq!(choice.choose(start, at(4), of(9 << 20)), Lane::Fresh);
    }
    /// Scenario: no ack comes, and what is read compresses to next to nothing.
    /// Guarantees: the fresh queue holds no more than a sink takes in time.
    #[test]
    fn what_compresses_well_counts_as_it_was_read() {
        let start = Instant::now();
        let mut choice = choice(None);
        let amount = Amount { bytes: 1 << 10, raw: 1 << 20 };
        for n in 1..=8 {
            assert_eq!(choice.choose(start, at(0), amount), Lane::Fresh, "{n}");
            choice.stored(start, at(n), amount);
        }
        assert_eq!(choice.choose(start, at(0), amount), Lane::Backlog);
        assert_eq!(choice.choose(start, at(8), amount), Lane::Fresh);
    }
}
