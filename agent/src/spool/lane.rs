//! Which lane a class's next frames take: fresh as long as the aggregator keeps up, else the backlog, until the fresh
//! queue is drained. So what is newest never waits behind an outage.

use std::collections::VecDeque;
use std::time::Duration;

use ao_common::journal::Position;
use ao_proto::queue::Lane;
use tokio::time::Instant;

/// Frames stored within this time are looked at as one, so that the list stays short.
const GRAIN: Duration = Duration::from_millis(100);

/// One class's choice.
pub(crate) struct Choice {
    within: Duration,
    lane: Lane,
    /// What lies unacknowledged in the fresh queue: since when at the latest (`None`: since before the start), and its
    /// end. Oldest first.
    waiting: VecDeque<(Option<Instant>, Position)>,
}

impl Choice {
    /// `left` is the end of what an earlier process has left unacknowledged in the fresh queue.
    pub(crate) fn new(within: Duration, left: Option<Position>) -> Self {
        let waiting: VecDeque<_> = left.map(|end| (None, end)).into_iter().collect();
        let lane = if waiting.is_empty() { Lane::Fresh } else { Lane::Backlog };
        Self { within, lane, waiting }
    }

    /// The lane for frames that come now; `acked` is how far the fresh queue is acknowledged.
    pub(crate) fn choose(&mut self, now: Instant, acked: Position) -> Lane {
        while self.waiting.pop_front_if(|(_, end)| *end <= acked).is_some() {}
        let late = |since: Option<Instant>| since.is_none_or(|since| now - since > self.within);
        match self.lane {
            Lane::Fresh if self.waiting.front().is_some_and(|(since, _)| late(*since)) => {
                self.lane = Lane::Backlog;
            }
            Lane::Backlog if self.waiting.is_empty() => self.lane = Lane::Fresh,
            Lane::Fresh | Lane::Backlog => {}
        }
        self.lane
    }

    /// Frames that came at `since` lie in the fresh queue now.
    pub(crate) fn stored(&mut self, since: Instant, end: Position) {
        match self.waiting.back_mut() {
            Some((Some(first), last)) if since - *first < GRAIN => *last = end,
            _ => self.waiting.push_back((Some(since), end)),
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
                choice.stored(ms(now), at(end));
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
            choice.stored(start + Duration::from_micros(n * 100), at(n));
        }
        assert!(choice.waiting.len() <= 21, "{}", choice.waiting.len());
        let late = start + Duration::from_secs(5);
        assert_eq!(choice.choose(late, at(19_998)), Lane::Backlog);
        assert_eq!(choice.choose(late, at(19_999)), Lane::Fresh);
    }
}
