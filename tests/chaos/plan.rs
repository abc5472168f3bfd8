//! What goes wrong, when, and for how long: a pure function of seed and minutes.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// What a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// The agent's process.
    Agent,
    /// The aggregator's process.
    Aggregator,
    /// Prometheus' process, or the way to it.
    Prometheus,
    /// The server that holds Loki's protocol, or the way to it.
    Loki,
    /// The same for Tempo's.
    Tempo,
    /// The way between agent and aggregator.
    Uplink,
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Manner {
    /// kill -9; started again afterwards. Servers of this process die with a request in hand: before they took it, behind
    /// it, or whenever it is.
    Kill,
    /// SIGTERM; started again afterwards. Servers of this process end between two requests.
    Restart,
    /// SIGSTOP, then SIGCONT.
    Freeze,
    /// kill -9, and a write that the crash tore: half a record, zeros, or noise behind the newest segment's end.
    TornTail,
    /// The data folder's file system is full.
    DiskFull,
    /// The wall clock is set an hour ahead or back; in the end it is right again.
    Clock,
    /// Connections are reset, nobody listens.
    Cut,
    /// Nothing moves, nobody is told.
    Stall,
    /// Everything arrives later.
    Delay,
    /// Few bytes per second pass.
    Throttle,
}

/// Every kind of fault that can happen.
pub(crate) const KINDS: [(Target, Manner); 33] = [
    (Target::Agent, Manner::Kill),
    (Target::Agent, Manner::Restart),
    (Target::Agent, Manner::Freeze),
    (Target::Agent, Manner::TornTail),
    (Target::Agent, Manner::DiskFull),
    (Target::Aggregator, Manner::Kill),
    (Target::Aggregator, Manner::Restart),
    (Target::Aggregator, Manner::Freeze),
    (Target::Aggregator, Manner::TornTail),
    (Target::Aggregator, Manner::DiskFull),
    (Target::Agent, Manner::Clock),
    (Target::Aggregator, Manner::Clock),
    (Target::Prometheus, Manner::Kill),
    (Target::Prometheus, Manner::Restart),
    (Target::Prometheus, Manner::Freeze),
    (Target::Prometheus, Manner::Cut),
    (Target::Prometheus, Manner::Delay),
    (Target::Loki, Manner::Kill),
    (Target::Loki, Manner::Restart),
    (Target::Loki, Manner::Cut),
    (Target::Loki, Manner::Stall),
    (Target::Loki, Manner::Delay),
    (Target::Loki, Manner::Throttle),
    (Target::Tempo, Manner::Kill),
    (Target::Tempo, Manner::Restart),
    (Target::Tempo, Manner::Cut),
    (Target::Tempo, Manner::Stall),
    (Target::Tempo, Manner::Delay),
    (Target::Tempo, Manner::Throttle),
    (Target::Uplink, Manner::Cut),
    (Target::Uplink, Manner::Stall),
    (Target::Uplink, Manner::Delay),
    (Target::Uplink, Manner::Throttle),
];

/// Before the first fault: everything is up and data flows.
const CALM_BEFORE: Duration = Duration::from_secs(4);
/// Behind the last one, still under load.
const CALM_AFTER: Duration = Duration::from_secs(8);
/// A target has so much time between two faults.
const BREATH: Duration = Duration::from_millis(1_500);
/// Between the beginnings of two faults, milliseconds: a pass through all kinds fits into two minutes, and some overlap.
const APART_MS: std::ops::Range<u64> = 1_200..5_400;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Since the beginning.
    pub(crate) at: Duration,
    /// Until it ends.
    pub(crate) lasts: Duration,
    /// What it hits.
    pub(crate) target: Target,
    /// How.
    pub(crate) manner: Manner,
    /// For what is chosen at random within it.
    pub(crate) dice: u64,
}

impl Fault {
    /// When it ends.
    pub(crate) fn end(&self) -> Duration {
        self.at + self.lasts
    }

    /// `kill agent`.
    pub(crate) fn name(&self) -> String {
        format!("{:?} {:?}", self.manner, self.target).to_lowercase()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        write!(f, "{at:7.1} s  {lasts:5.1} s  {}", self.name())
    }
}

/// The faults in the order of their beginnings. All kinds come once before any comes again, as far as the time allows.
pub(crate) fn plan(seed: u64, minutes: u64) -> Vec<Fault> {
    let mut random = StdRng::seed_from_u64(seed);
    let last = Duration::from_secs(minutes * 60).saturating_sub(CALM_AFTER);
    let mut faults: Vec<Fault> = Vec::new();
    let mut deck = Vec::new();
    let mut at = CALM_BEFORE;
    loop {
        if deck.is_empty() {
            deck = KINDS.to_vec();
            deck.shuffle(&mut random);
        }
        let Some((target, manner)) = deck.pop() else { return faults };
        let lasts = lasts(manner, minutes, &mut random);
        let free = faults.iter().filter(|f| f.target == target).map(|f| f.end() + BREATH).max();
        let begin = at.max(free.unwrap_or_default());
        if begin + lasts > last {
            break;
        }
        faults.push(Fault { at: begin, lasts, target, manner, dice: random.random() });
        at += Duration::from_millis(random.random_range(APART_MS));
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn lasts(manner: Manner, minutes: u64, random: &mut StdRng) -> Duration {
    let range = match manner {
        Manner::Kill | Manner::Restart | Manner::TornTail => 100..2_500,
        Manner::Freeze | Manner::DiskFull | Manner::Clock => 1_000..5_000,
        Manner::Cut | Manner::Stall | Manner::Delay | Manner::Throttle => 1_000..7_000,
    };
    let once = Duration::from_millis(random.random_range(range));
    // Long runs have room for long outages.
    if minutes >= 5 && random.random_ratio(1, 6) { once * 4 } else { once }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Scenario: plans of many seeds.
    /// Guarantees: the same seed gives the same plan; nearly every kind is in two minutes and every one in ten; no
    /// target has two faults at once; the end is calm.
    #[test]
    fn plans_are_reproducible_and_sound() {
        for seed in 0..200 {
            let faults = plan(seed, 2);
            assert_eq!(faults, plan(seed, 2));
            let kinds =
                |faults: &[Fault]| faults.iter().map(|f| (f.target, f.manner)).collect::<BTreeSet<_>>().len();
            assert!(kinds(&faults) >= KINDS.len() / 2, "seed {seed}: {} kinds", kinds(&faults));
            assert_eq!(kinds(&plan(seed, 10)), KINDS.len(), "seed {seed}");
            for (i, one) in faults.iter().enumerate() {
                assert!(one.end() <= Duration::from_secs(112));
                let clash = faults[i + 1..].iter().find(|two| two.target == one.target && two.at < one.end());
                assert_eq!(clash, None, "seed {seed}: beside {one}");
            }
        }
        assert_ne!(plan(1, 2), plan(2, 2));
    }
}
