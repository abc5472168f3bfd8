//! Which lane a class's next frames take: fresh as long as the aggregator keeps up, else the backlog, until the fresh
//! queue is drained. So what is newest never waits behind an outage, nor long behind a great deal that is read at once.

use std::collections::VecDeque;
use std::time::Duration;

use ao_common::journal::Position;
use ao_proto::queue::Lane;
use tokio::time::Instant;

/// Frames stored within this time are looked at as one, so that the list stays short.
const GRAIN: Duration = Duration::from_millis(100);

/// The fresh queue holds no more unacknowledged bytes than this: after an outage it is soon drained.
const MOST: usize = 4 << 20;

/// One class's choice.
pub(crate) struct Choice {
    within: Duration,
    lane: Lane,
    /// What lies unacknowledged in the fresh queue, oldest first.
    waiting: VecDeque<Waiting>,
    /// Bytes of it.
    bytes: usize,
}

struct Waiting {
    /// At the latest; `None` for before the start.
    since: Option<Instant>,
    end: Position,
    bytes: usize,
}

impl Choice {
    /// `left` is the end of what an earlier process has left unacknowledged in the fresh queue.
    pub(crate) fn new(within: Duration, left: Option<Position>) -> Self {
        let waiting: VecDeque<_> =
            left.map(|end| Waiting { since: None, end, bytes: 0 }).into_iter().collect();
        let lane = if waiting.is_empty() { Lane::Fresh } else { Lane::Backlog };
        Self { within, lane, waiting, bytes: 0 }
    }

    /// The lane for frames that come now; `acked` is how far the fresh queue is acknowledged.
    pub(crate) fn choose(&mut self, now: Instant, acked: Position) -> Lane {
        while let Some(done) = self.waiting.pop_front_if(|waiting| waiting.end <= acked) {
            self.bytes -= done.bytes;
        }
        let late = |waiting: &Waiting| waiting.since.is_none_or(|since| now - since > self.within);
        match self.lane {
            Lane::Fresh if self.bytes > MOST || self.waiting.front().is_some_and(late) => {
                self.lane = Lane::Backlog;
            }
            Lane::Backlog if self.waiting.is_empty() => self.lane = Lane::Fresh,
            Lane::Fresh | Lane::Backlog => {}
        }
        self.lane
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

    fn at(offset: u64) -> Position {
        Position { segment: 1, offset }
    }

    /// Scenario: acks keep up; they stop for longer than allowed; they come again, first for a part; a new process
    /// finds something left.
    /// Guarantees: fresh, then backlog, and fresh again only once the fresh queue is drained.
    #[test]
    fn backlog_from_late_until_drained() {
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut choice = Choice::new(Duration::from_secs(2), None);
        for (now, acked, lane, end) in [
            (0, 0, Lane::Fresh, 10),
            (1_000, 10, Lane::Fresh, 20),
            (2_900, 10, Lane::Fresh, 30),
            (3_100, 10, Lane::Backlog, 0),
            (3_200, 20, Lane::Backlog, 0),
            (3_300, 30, Lane::Fresh, 40),
            (9_000, 30, Lane::Backlog, 0),
        ] {
            assert_eq!(choice.choose(ms(now), at(acked)), lane, "at {now} ms");
            if lane == Lane::Fresh {
                choice.stored(ms(now), at(end), 1);
            }
        }
        let mut choice = Choice::new(Duration::from_secs(2), Some(at(40)));
        assert_eq!(choice.choose(start, at(30)), Lane::Backlog);
        assert_eq!(choice.choose(start, at(40)), Lane::Fresh);
    }

    /// Scenario: a great many frames while no ack comes.
    /// Guarantees: the list stays short, and its end counts.
    #[test]
    fn the_list_is_bounded() {
        let start = Instant::now();
        let mut choice = Choice::new(Duration::from_secs(2), None);
        for n in 0..20_000 {
            choice.stored(start + Duration::from_micros(n * 100), at(n), 1);
        }
        assert!(choice.waiting.len() <= 21, "{}", choice.waiting.len());
        let late = start + Duration::from_secs(5);
        assert_eq!(choice.choose(late, at(19_998)), Lane::Backlog);
        assert_eq!(choice.choose(late, at(19_999)), Lane::Fresh);
    }
    /// Scenario: more is read within a moment than the fresh queue may hold; then it is acknowledged.
    /// Guarantees: the rest is backlog, until the fresh queue is drained.
    #[test]
    fn a_great_deal_at_once() {
        let start = Instant::now();
        let mut choice = Choice::new(Duration::from_secs(2), None);
        for n in 1..=5 {
            assert_eq!(choice.choose(start, at(0)), Lane::Fresh, "{n}");
            choice.stored(start + GRAIN * n, at(n.into()), 1 << 20);
        }
        assert_eq!(choice.choose(start, at(0)), Lane::Backlog);
        assert_eq!(choice.choose(start, at(4)), Lane::Backlog);
        assert_eq!(choice.choose(start, at(5)), Lane::Fresh);
    }
}
