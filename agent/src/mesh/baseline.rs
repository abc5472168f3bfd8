//! What each direction's delay has changed against its own past, between two clocks of which nobody knows how far they
//! are apart.
//!
//! The forward delay is seen only with the difference of the clocks added, the backward delay with it taken off. Half the
//! difference of the two is the clocks' difference as long as no direction changes, and moves along a straight line,
//! since oscillators drift slowly. So a line is fitted to it (Theil and Sen's: the median of all slopes, which a third
//! of wild rounds cannot bend), and drawn on to now: what one direction differs from what the line says is its own
//! change. A change that lasts becomes the past after half a window.

use std::collections::VecDeque;

/// Rounds that are remembered.
const WINDOW: usize = 60;
/// Fewer say nothing about a drift.
const LEAST: usize = 8;
/// Clocks that run on do not jump by so much: the peer has started anew.
const RESTART_NS: i64 = 1_000_000_000;

/// The quickest passage in each direction in a round, by boot clocks: the peer's receiving less our sending, and our
/// receiving less its sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    /// Middle of the round, our boot time.
    pub(super) at_ns: i64,
    pub(super) forward_ns: i64,
    pub(super) backward_ns: i64,
}

impl Passage {
    /// The peer's clock less ours, were both directions alike.
    fn apart_ns(&self) -> i64 {
        (self.forward_ns - self.backward_ns) / 2
    }

    fn both_ns(&self) -> i64 {
        self.forward_ns + self.backward_ns
    }
}

/// How much longer each direction takes than it used to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) forward_ns: i64,
    pub(super) backward_ns: i64,
}

/// The rounds of one peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Baseline {
    rounds: VecDeque<Passage>,
}

impl Baseline {
    /// Takes a round; its change against those before it, where they are enough.
    pub(super) fn add(&mut self, passage: Passage) -> Option<Change> {
        if self.rounds.back().is_some_and(|last| (last.apart_ns() - passage.apart_ns()).abs() > RESTART_NS) {
            self.rounds.clear();
        }
        let change = self.compare(passage);
        if self.rounds.len() >= WINDOW {
            self.rounds.pop_front();
        }
        self.rounds.push_back(passage);
        change
    }

    /// The change of a passage that is no round; `None` where too little is known.
    pub(super) fn compare(&self, now: Passage) -> Option<Change> {
        (self.rounds.len() >= LEAST).then(|| self.change(now))
    }

    fn change(&self, now: Passage) -> Change {
        let apart_ns = self.apart_at(now.at_ns);
        let both_ns = median(self.rounds.iter().map(|round| round.both_ns() as f64).collect());
        Change {
            forward_ns: (now.forward_ns as f64 - both_ns / 2.0 - apart_ns) as i64,
            backward_ns: (now.backward_ns as f64 - both_ns / 2.0 + apart_ns) as i64,
        }
    }

    /// What the line says of a time.
    fn apart_at(&self, at_ns: i64) -> f64 {
        let first = self.rounds.front().map_or(0, |round| round.at_ns);
        let points: Vec<(f64, f64)> =
            self.rounds.iter().map(|round| ((round.at_ns - first) as f64, round.apart_ns() as f64)).collect();
        let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
        for (nth, (x, y)) in points.iter().enumerate() {
            slopes.extend(
                points[..nth].iter().filter(|(to, _)| to < x).map(|(to, from)| (y - from) / (x - to)),
            );
        }
        let slope = median(slopes);
        let height = median(points.iter().map(|(x, y)| y - slope * x).collect());
        height + slope * (at_ns - first) as f64
    }
}

/// The upper median; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000_000;

    /// Rounds of a peer whose clock is 3 s ahead and drifts by 20 ppm, with some microseconds of noise.
    fn round(nth: i64, forward_us: i64, backward_us: i64) -> Passage {
        let apart_ns = 3_000_000_000 + nth * MINUTE / 50_000;
        let noise = |seed: i64| (nth * 7919 + seed) % 11 * 1000;
        Passage {
            at_ns: nth * MINUTE,
            forward_ns: forward_us * 1000 + apart_ns + noise(3),
            backward_ns: backward_us * 1000 - apart_ns + noise(5),
        }
    }

    fn near(change: Option<Change>, forward_us: i64, backward_us: i64) {
        let change = change.expect("enough rounds");
        let off = [change.forward_ns - forward_us * 1000, change.backward_ns - backward_us * 1000];
        assert!(off.iter().all(|off| off.abs() < 25_000), "{change:?}");
    }

    /// Scenario: a path of 300 and 500 us that stays, then takes 400 us more forward, then 2 ms more backward; clocks drift.
    /// Guarantees: the change is seen in the direction that has it and in no other; no drift is taken for one.
    #[test]
    fn each_direction_by_itself() {
        let mut baseline = Baseline::default();
        for nth in 0..LEAST as i64 {
            assert_eq!(baseline.add(round(nth, 300, 500)), None, "too few rounds to tell");
        }
        for nth in LEAST as i64..40 {
            near(baseline.add(round(nth, 300, 500)), 0, 0);
        }
        for nth in 40..50 {
            near(baseline.add(round(nth, 700, 500)), 400, 0);
        }
        for nth in 50..60 {
            near(baseline.add(round(nth, 300, 2500)), 0, 2000);
        }
    }

    /// Scenario: a change that stays for hours; the peer boots anew.
    /// Guarantees: it becomes what is usual; after the boot the past begins anew.
    #[test]
    fn what_lasts_is_usual() {
        let mut baseline = Baseline::default();
        for nth in 0..60 {
            baseline.add(round(nth, 300, 500));
        }
        for nth in 60..180 {
            baseline.add(round(nth, 900, 500));
        }
        near(baseline.add(round(180, 900, 500)), 0, 0);
        let booted = Passage { forward_ns: 7, backward_ns: 9, at_ns: 181 * MINUTE };
        assert_eq!(baseline.add(booted), None);
    }
}
