//! The raw round trips of one round: what the smoke graph draws.

use std::time::Duration;

/// A finished round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Of the answered pings, shortest first.
    pub rtts: Vec<Duration>,
    /// Pings without an answer, those that could not be sent among them.
    pub lost: u32,
}

impl Round {
    /// Smokeping's median: the upper one, of the answered pings alone. `None` when none was answered.
    pub fn median(&self) -> Option<Duration> {
        self.rtts.get(self.rtts.len() / 2).copied()
    }

    /// Share of the pings that were lost, 0 to 1.
    pub fn loss(&self) -> f64 {
        let all = self.rtts.len() + self.lost as usize;
        if all == 0 { 0.0 } else { f64::from(self.lost) / all as f64 }
    }
}

/// A round being filled.
#[derive(Clone, Debug, Default)]
pub(super) struct Filling {
    round: Round,
}

impl Filling {
    /// Adds a ping's end; gives the round when that was its last.
    pub(super) fn add(&mut self, rtt: Option<Duration>, pings: u32) -> Option<Round> {
        match rtt {
            Some(rtt) => self.round.rtts.push(rtt),
            None => self.round.lost += 1,
        }
        if self.round.rtts.len() + (self.round.lost as usize) < pings as usize {
            return None;
        }
        self.round.rtts.sort_unstable();
        Some(std::mem::take(&mut self.round))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                done = filling.add(ping.map(Duration::from_millis), pings.len() as u32);
            }
            let round = done.unwrap();
            assert!(round.rtts.is_sorted());
            assert_eq!((round.median(), round.loss()), (median.map(Duration::from_millis), loss));
        }
    }
}
