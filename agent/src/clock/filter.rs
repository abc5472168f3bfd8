//! Which of the last answers to believe: the one with the shortest round trip, since its two ways can differ the least
//! (the clock filter of RFC 5905, section 10).

use std::collections::VecDeque;

/// Answers that are remembered, as in RFC 5905.
const STAGES: usize = 8;
/// An answer grows worse by 15 ppm of its age (RFC 5905, PHI).
const WORSE: i64 = 1_000_000 / 15;
/// Two oscillators may drift apart by this part of the time: 200 ppm.
const DRIFT: i64 = 5_000;
/// Answers that contradict each other by more than this come from a clock that has moved.
const SLACK_NS: i64 = 1_000_000;

/// One question and its answer, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// The aggregator's wall time less our boot time.
    pub(super) reference: i64,
    /// Half of the round trip.
    pub(super) error: i64,
    /// Our boot time.
    at: i64,
}

impl Sample {
    /// From NTP's four times: ours are boot times, the aggregator's wall times. None for times that cannot be.
    pub(super) fn of(sent: i64, received: i64, answered: i64, arrived: i64) -> Option<Self> {
        let there = answered.checked_sub(received).filter(|there| *there >= 0)?;
        let trip = arrived.checked_sub(sent)?.checked_sub(there)?.max(0);
        let (out, back) = (received.checked_sub(sent)?, answered.checked_sub(arrived)?);
        // The sum of the two, halved, without overflow.
        let reference = out.checked_add(back.checked_sub(out)? / 2)?;
        Some(Self { reference, error: trip / 2 + 1, at: arrived })
    }

    fn error_at(&self, now: i64, rate: i64) -> i64 {
        self.error.saturating_add(now.saturating_sub(self.at) / rate)
    }
}

/// The last answers of one aggregator.
#[derive(Debug, Default)]
pub(super) struct Filter(VecDeque<Sample>);

impl Filter {
    /// Takes one, and gives the best.
    pub(super) fn add(&mut self, sample: Sample) -> Sample {
        let now = sample.at;
        let contradicts = |old: &Sample| {
            let most = sample.error.saturating_add(old.error_at(now, DRIFT)).saturating_add(SLACK_NS);
            sample.reference.saturating_sub(old.reference).saturating_abs() > most
        };
        if self.0.iter().any(contradicts) {
            self.0.clear();
        }
        if self.0.len() == STAGES {
            self.0.pop_front();
        }
        self.0.push_back(sample);
        self.0.iter().copied().min_by_key(|old| old.error_at(now, WORSE)).unwrap_or(sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// Scenario: answers by ways of the same and of different length, at once and after a while there; times that go
    /// backward, and times at the ends of what a number holds.
    /// Guarantees: the offset is exact where both ways are the same, off by half their difference else, and never by
    /// more than the error; impossible times give nothing.
    #[test]
    fn four_times() {
        for (out, there, back) in [(1, 0, 1), (1, 50, 1), (0, 3, 40), (40, 3, 0), (0, 0, 0)] {
            let (asked, reference) = (100 * MS, 7_000 * MS);
            let received = asked + out * MS + reference;
            let arrived = asked + (out + there + back) * MS;
            let sample = Sample::of(asked, received, received + there * MS, arrived).unwrap();
            assert_eq!(sample.reference - reference, (out - back) * MS / 2);
            assert_eq!(sample.error, (out + back) * MS / 2 + 1);
        }
        assert_eq!(Sample::of(0, 10, 9, 5), None);
        for [a, b, c, d] in
            [[i64::MIN, i64::MAX, i64::MAX, 0], [0, i64::MIN, i64::MAX, 1], [0, i64::MIN, 0, 5]]
        {
            assert_eq!(Sample::of(a, b, c, d), None);
        }
        assert!(Sample::of(0, i64::MAX, i64::MAX, 1).is_some());
    }

    /// Scenario: round trips of all lengths, then only long ones for an hour, then the aggregator's clock is set.
    /// Guarantees: the shortest is believed as long as it is young; answers from before the setting are not.
    #[test]
    fn the_shortest_is_believed() {
        let mut filter = Filter::default();
        let sample =
            |reference, error, at| Sample { reference: reference * MS, error: error * MS, at: at * MS };
        for (at, reference, error, best) in [
            (0, 1_000, 40, 1_000),
            (10_000, 1_030, 30, 1_030),
            (20_000, 1_001, 2, 1_001),
            (30_000, 990, 50, 1_001),
            (3_600_000, 1_050, 40, 1_050),
            (3_610_000, 5_000, 80, 5_000),
            (3_620_000, 5_010, 90, 5_000),
        ] {
            let found = filter.add(sample(reference, error, at)).reference;
            assert_eq!(found, best * MS, "at {at}");
        }
    }
}
