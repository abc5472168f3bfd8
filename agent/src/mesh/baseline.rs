//! What each direction's delay has changed against its own past, between two clocks of which nobody knows how far they
//! are apart.
//!
//! The forward delay is seen only with the difference of the clocks added, the backward delay with it taken off. Half the
//! difference of the two is the clocks' difference as long as no direction changes, and moves along a straight line,
//! since oscillators drift slowly. So a line is fitted to it (Theil and Sen's: the median of all slopes, which a third
//! of wild rounds cannot bend), and drawn on to now: what one direction differs from what the line says is its own
//! change. A change that lasts becomes the past after half a window.
//!
//! What makes one direction slower and the other quicker by as much is the clocks: NTP slews boot clocks, too
//! (adjtimex(2)). Nothing is told of such a round, and after two of them the past begins anew.

use std::collections::VecDeque;

/// Rounds that are remembered.
const WINDOW: usize = 60;
/// Fewer say nothing about a drift.
const LEAST: usize = 8;
/// Clocks that run on do not jump by so much: the peer has started anew.
const RESTART_NS: i64 = 1_000_000_000;
/// What clocks are corrected by without that it matters.
const CORRECTED_NS: i64 = 500_000;

/// The quickest passage in each direction over some time, by boot clocks: the peer's receiving less our sending, and our
/// receiving less its sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    /// Middle of that time, our boot time.
    at_ns: i64,
    /// Its length.
    span_ns: i64,
    forward_ns: i64,
    backward_ns: i64,
}

impl Passage {
    /// Of packets that were sent between two boot times.
    pub(super) fn between(from_ns: i64, to_ns: i64, forward_ns: i64, backward_ns: i64) -> Self {
        let span_ns = to_ns.saturating_sub(from_ns);
        Self { at_ns: from_ns.midpoint(to_ns), span_ns, forward_ns, backward_ns }
    }

    /// The peer's clock less ours, were both directions alike.
    fn apart_ns(&self) -> i64 {
        (self.forward_ns - self.backward_ns) / 2
    }

    /// By how much each direction looks quicker than it is in the middle, where the clocks drift apart: one looks quickest
    /// when the time begins, the other when it ends.
    fn flattered_ns(&self, slope: f64) -> f64 {
        slope.abs() * self.span_ns as f64 / 2.0
    }

    fn both_ns(&self, slope: f64) -> f64 {
        (self.forward_ns + self.backward_ns) as f64 + 2.0 * self.flattered_ns(slope)
    }
}

/// How much longer each direction takes than it used to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) forward_ns: i64,
    pub(super) backward_ns: i64,
}

impl Change {
    /// Which way the clocks were moved, where this looks like it; else 0. In a round while they are slewed, one figure is
    /// of its beginning and the other of its end, and the quicker direction may be the quicker one by far.
    fn of_clocks(&self) -> i64 {
        let slower_ns = self.forward_ns.max(self.backward_ns);
        let quicker_ns = self.forward_ns.min(self.backward_ns).saturating_neg();
        let moved = slower_ns >= CORRECTED_NS && quicker_ns >= slower_ns / 4 * 3;
        if moved { self.forward_ns.signum() } else { 0 }
    }
}

/// The rounds of one peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Baseline {
    rounds: VecDeque<Passage>,
    /// Which way the clocks seemed to be moved in the newest round.
    moved: i64,
}

impl Baseline {
    /// Takes a round; its change against those before it, where they are enough and the clocks have run on.
    pub(super) fn add(&mut self, passage: Passage) -> Option<Change> {
        if self.is_of_others(passage) {
            self.rounds.clear();
        }
        let change = (self.rounds.len() >= LEAST).then(|| self.change(passage));
        let moved = change.map_or(0, |change| change.of_clocks());
        // One such round may be chance, on a way whose delays vary much.
        if moved != 0 && moved == self.moved {
            self.rounds.clear();
        }
        self.moved = moved;
        if self.rounds.len() >= WINDOW {
            self.rounds.pop_front();
        }
        self.rounds.push_back(passage);
        change.filter(|_| moved == 0)
    }

    /// The change of a passage that is no round; `None` where too little is known, or the clocks have been moved.
    pub(super) fn compare(&self, now: Passage) -> Option<Change> {
        let known = self.rounds.len() >= LEAST && !self.is_of_others(now);
        known.then(|| self.change(now)).filter(|change| change.of_clocks() == 0)
    }

    /// Whether the clocks are others than in the newest round.
    fn is_of_others(&self, now: Passage) -> bool {
        self.rounds.back().is_some_and(|last| (last.apart_ns() - now.apart_ns()).abs() > RESTART_NS)
    }

    fn change(&self, now: Passage) -> Change {
        let (slope, apart_ns) = self.line(now.at_ns);
        let both_ns = median(self.rounds.iter().map(|round| round.both_ns(slope)).collect());
        let each_ns = both_ns / 2.0 - now.flattered_ns(slope);
        Change {
            forward_ns: (now.forward_ns as f64 - each_ns - apart_ns) as i64,
            backward_ns: (now.backward_ns as f64 - each_ns + apart_ns) as i64,
        }
    }

    /// The line's slope, and what it says of a time.
    fn line(&self, at_ns: i64) -> (f64, f64) {
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
        (slope, height + slope * (at_ns - first) as f64)
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
    const SECOND: i64 = 1_000_000_000;

    /// What a peer's clock is ahead at a time: 3 s, and a drift of 20 ppm.
    fn drifting(at_ns: i64) -> i64 {
        3_000_000_000 + at_ns / 50_000
    }

    /// The quickest of the packets of so many seconds, one each second, with some microseconds of noise.
    fn passage(
        from_ns: i64,
        secs: i64,
        [forward_us, backward_us]: [i64; 2],
        apart: impl Fn(i64) -> i64,
    ) -> Passage {
        let times = (0..secs).map(|nth| from_ns + nth * SECOND);
        let noise = |at: i64, seed: i64| (at / SECOND * 7919 + seed) % 11 * 1000;
        let forward = times.clone().map(|at| forward_us * 1000 + apart(at) + noise(at, 3));
        let backward = times.map(|at| backward_us * 1000 - apart(at) + noise(at, 5));
        let (forward_ns, backward_ns) = (forward.min().expect("packets"), backward.min().expect("packets"));
        Passage::between(from_ns, from_ns + (secs - 1) * SECOND, forward_ns, backward_ns)
    }

    fn round(nth: i64, forward_us: i64, backward_us: i64) -> Passage {
        passage(nth * MINUTE, 60, [forward_us, backward_us], drifting)
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

    /// Scenario: clocks drift; a recording of 20 s between rounds of 60 s, on a way as usual and on a slower one.
    /// Guarantees: how long something is looked at makes no direction slower.
    #[test]
    fn a_shorter_look() {
        let mut baseline = Baseline::default();
        for nth in 0..20 {
            baseline.add(round(nth, 300, 500));
        }
        for (us, forward, backward) in [([300, 500], 0, 0), ([300, 1500], 0, 1000)] {
            let short = passage(20 * MINUTE + 17 * SECOND, 20, us, drifting);
            near(baseline.compare(short), forward, backward);
        }
    }

    /// Scenario: the peer's NTP moves its clock by 50 ms either way, at once or over minutes, at any time within a round;
    /// the way stays as it is.
    /// Guarantees: no direction is called slower, neither by a round nor by a look in between; ten rounds later all is
    /// known anew, and right.
    #[test]
    fn clocks_are_corrected() {
        for (by_ms, over, begins) in [
            (50, 1, 0),
            (-50, 1, 30),
            (50, 100, 0),
            (50, 100, 25),
            (-50, 100, 45),
            (50, 240, 10),
            (3, 10, 55),
        ] {
            let corrected = |at: i64| {
                let since = (at - 20 * MINUTE - begins * SECOND).clamp(0, over * SECOND);
                drifting(at) + by_ms * 1_000_000 * (since / 1_000_000) / (over * 1000)
            };
            let quiet = |change: Option<Change>| {
                let slower = change.map_or(0, |change| change.forward_ns.max(change.backward_ns));
                assert!(slower < CORRECTED_NS, "{by_ms} ms over {over} s from {begins} s: {change:?}");
            };
            let mut baseline = Baseline::default();
            let mut last = None;
            for nth in 0..50 {
                last = baseline.add(passage(nth * MINUTE, 60, [300, 500], corrected));
                quiet(last);
                quiet(baseline.compare(passage(nth * MINUTE + 70 * SECOND, 20, [300, 500], corrected)));
            }
            near(last, 0, 0);
        }
    }

    /// Scenario: a change that stays for hours; the peer boots anew, which a recording sees first.
    /// Guarantees: it becomes what is usual; after the boot the past begins anew, and nothing is told in between.
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
        let booted = Passage::between(181 * MINUTE, 182 * MINUTE, 7, 9);
        assert_eq!(baseline.compare(booted), None);
        assert_eq!(baseline.add(booted), None);
    }
}
