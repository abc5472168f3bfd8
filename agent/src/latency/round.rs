//! The raw round trips of one round: what the smoke graph draws, and what there is to say against them.

use std::time::Duration;

use super::doubt::{Course, Doubt, Mark};

/// A finished round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Round {
    /// Of the answered pings, shortest first.
    pub rtts: Vec<Duration>,
    /// Pings without an answer, those that could not be sent among them, but for those that found no room here.
    pub lost: u32,
    /// The prober's own state meanwhile.
    pub doubt: Doubt,
}

impl Round {
    /// Smokeping's median: the upper one, of the answered pings alone. `None` when none was answered.
    pub fn median(&self) -> Option<Duration> {
        self.rtts.get(self.rtts.len() / 2).copied()
    }

    /// Share of the pings that were lost, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.lost_of(1)
    }

    /// The same of a hundred: a whole number wherever it is one, as alerts compare it (0.55 * 100.0 is more than 55).
    pub fn loss_percent(&self) -> f64 {
        self.lost_of(100)
    }

    fn lost_of(&self, whole: u32) -> f64 {
        let all = self.rtts.len() + self.lost as usize;
        if all == 0 { 0.0 } else { f64::from(self.lost) * f64::from(whole) / all as f64 }
    }
}

/// A round being filled.
#[derive(Clone, Debug, Default)]
pub(super) struct Filling {
    rtts: Vec<Duration>,
    lost: u32,
    begin: Option<Mark>,
    gap: Duration,
    unstamped: bool,
}

/// The end of one ping.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// `None` for a loss.
    pub(super) rtt: Option<Duration>,
    /// See [`crate::net::Report::gap`].
    pub(super) gap: Option<Duration>,
    /// It went by IPv6.
    pub(super) is_v6: bool,
}

impl Filling {
    /// This process was so late with a ping.
    pub(super) fn late(&mut self, by: Duration) {
        self.gap = self.gap.max(by);
    }

    /// Adds a ping's end; gives the round when that was its last. `limit`: see [`Doubt::between`].
    pub(super) fn add(&mut self, end: End, pings: u32, now: Mark, limit: Duration) -> Option<Round> {
        let begin = *self.begin.get_or_insert(now);
        self.gap = self.gap.max(end.gap.unwrap_or_default());
        match end.rtt {
            Some(rtt) => {
                self.rtts.push(rtt);
                self.unstamped |= end.gap.is_none();
            }
            None => self.lost += 1,
        }
        if self.rtts.len() + (self.lost as usize) < pings as usize {
            return None;
        }
        let done = std::mem::take(self);
        // The next one begins where this one ends.
        self.begin = Some(now);
        let mut rtts = done.rtts;
        rtts.sort_unstable();
        let course =
            Course { gap: done.gap, is_stamped: !done.unstamped, is_lossy: done.lost > 0, is_v6: end.is_v6 };
        let doubt = Doubt::between(&begin, &now, course, limit);
        Some(Round { rtts, lost: done.lost, doubt })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    fn mark(dropped: u64) -> Mark {
        Mark { at: Instant::now(), stalled_us: None, dropped: [dropped, 0] }
    }

    /// Scenario: rounds of answers (milliseconds) and losses.
    /// Guarantees: sorted, the upper median of those answered, loss as a share; all lost has no median.
    #[test]
    fn rounds() {
        let cases = [
            (&[Some(5), Some(1), Some(3), Some(9)][..], Some(5), 0.0),
            (&[Some(5), None, Some(3), Some(1)][..], Some(3), 0.25),
            (&[None, None][..], None, 1.0),
            (&[Some(2)][..], Some(2), 0.0),
        ];
        for (pings, median, loss) in cases {
            let mut filling = Filling::default();
            let mut done = None;
            for ping in pings {
                assert_eq!(done, None);
                let end =
                    End { rtt: ping.map(Duration::from_millis), gap: Some(Duration::ZERO), is_v6: false };
                done = filling.add(end, pings.len() as u32, mark(0), LIMIT);
            }
            let round = done.unwrap();
            assert!(round.rtts.is_sorted());
            assert_eq!((round.median(), round.loss()), (median.map(Duration::from_millis), loss));
            assert!(!round.doubt.starved);
        }
    }

    /// Scenario: every number of losses in rounds of 20, 50 and 100 pings.
    /// Guarantees: percentages are exact.
    #[test]
    fn percent() {
        for (pings, each) in [(20, 5.0), (50, 2.0), (100, 1.0)] {
            for lost in 0..=pings {
                let rtts = vec![Duration::ZERO; (pings - lost) as usize];
                let round = Round { rtts, lost, ..Round::default() };
                assert_eq!(round.loss_percent(), f64::from(lost) * each, "{lost} of {pings}");
            }
        }
    }

    /// Scenario: a round with a ping that was sent late, one with an answer that was read late, one in which the socket
    /// dropped an answer of its, and a good one behind each; in one of these the socket dropped what was not its own.
    /// Guarantees: only the bad ones are starved.
    #[test]
    fn starved() {
        let ms = Duration::from_millis;
        let mut filling = Filling::default();
        let mut dropped = 0;
        for (late, gap, lost_answers, lost, starved) in [
            (0, 1, 0, false, false),
            (150, 1, 0, false, true),
            (0, 1, 0, true, false),
            (0, 150, 0, false, true),
            (0, 1, 3, false, false),
            (0, 1, 3, true, true),
            (0, 1, 0, false, false),
        ] {
            let end = |gap| End { rtt: Some(ms(1)), gap: Some(gap), is_v6: false };
            let first = End { rtt: Some(ms(1)).filter(|_| !lost), ..end(ms(0)) };
            assert_eq!(filling.add(first, 2, mark(dropped), LIMIT), None);
            filling.late(ms(late));
            dropped += lost_answers;
            let round = filling.add(end(ms(gap)), 2, mark(dropped), LIMIT).unwrap();
            assert_eq!((round.doubt.starved, round.doubt.dropped), (starved, lost_answers), "{round:?}");
        }
    }

    /// Scenario: the number of pings is made larger and smaller while a round is under way.
    /// Guarantees: each round has as many as are wanted at its end; nothing is lost or counted twice.
    #[test]
    fn other_numbers() {
        let mut filling = Filling::default();
        let mut rounds = Vec::new();
        for (n, pings) in [2, 2, 5, 5, 5, 5, 5, 3, 3, 3, 1, 1].into_iter().enumerate() {
            let end = End { rtt: Some(Duration::from_millis(n as u64)), gap: None, is_v6: false };
            rounds.extend(filling.add(end, pings, mark(0), LIMIT));
        }
        assert_eq!(rounds.iter().map(|round| round.rtts.len()).collect::<Vec<_>>(), [2, 5, 3, 1, 1]);
    }
}
