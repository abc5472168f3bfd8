//! The figures of one hop, as mtr computes them (ui/net.c), over the newest probes of the canonical flow.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use super::strategy::Seen;
use crate::net::Labels;

/// Answers to one flow from which packets are held to be spread one by one, if no router gave more of them than that
/// share, and so many of them came from another one than the answer before.
const SPREAD: (u32, f64, f64) = (6, 0.7, 0.25);

/// One hop: who answers there, and how its newest probes ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Hop {
    /// Who answered last.
    pub(super) address: Option<IpAddr>,
    /// The newest label stack.
    pub(super) labels: Labels,
    /// By probe, oldest first: who answered after how many milliseconds; `None` for no answer.
    samples: VecDeque<Option<(IpAddr, f64)>>,
}

/// mtr's columns. Times in milliseconds, 0 where nothing was answered, as mtr has it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Probes sent.
    pub sent: usize,
    /// Probes answered.
    pub received: usize,
    /// Percent of them without an answer.
    pub loss: f64,
    /// The newest round trip.
    pub last: f64,
    /// Mean.
    pub avg: f64,
    /// Shortest.
    pub best: f64,
    /// Longest.
    pub worst: f64,
    /// Standard deviation with n - 1.
    pub stdev: f64,
    /// Geometric mean.
    pub gmean: f64,
    /// Difference of the last two round trips (mtr's Jttr).
    pub jitter: f64,
    /// Mean of those differences, the first round trip's being 0 (Javg).
    pub jitter_avg: f64,
    /// The greatest (Jmax).
    pub jitter_worst: f64,
    /// Interarrival jitter of RFC 1889, A.8, in its fixed-point form, which is 16 times the value: so mtr shows it (Jint).
    pub jitter_inter: f64,
}

impl Hop {
    /// A hop that has not been probed yet.
    pub(super) fn new(address: Option<IpAddr>) -> Self {
        Self { address, ..Self::default() }
    }

    /// Adds the end of a probe; a skipped one is none.
    pub(super) fn add(&mut self, seen: Seen, window: usize) {
        if seen == Seen::Skipped {
            return;
        }
        if let Some((from, _)) = seen.answer() {
            self.address = Some(from);
        }
        if let Seen::Router { labels, .. } = seen {
            self.labels = labels;
        }
        while self.samples.len() >= window.max(1) {
            self.samples.pop_front();
        }
        // Whole microseconds, as mtr counts: short decimals are also the ones that cost least on the wire.
        let sample = seen.answer().map(|(from, rtt)| (from, (rtt.as_nanos() as f64 / 1e3).round() / 1e3));
        self.samples.push_back(sample);
    }

    /// Whether packets of the one flow take several ways, one by one.
    pub(super) fn is_spread(&self) -> bool {
        let (least, share, turns) = SPREAD;
        let (mut counts, mut before, mut turned, mut n) = (HashMap::new(), None, 0, 0);
        for (from, _) in self.samples.iter().flatten() {
            *counts.entry(*from).or_insert(0_u32) += 1;
            turned += u32::from(before.replace(*from).is_some_and(|before| before != *from));
            n += 1;
        }
        let most = counts.values().copied().max().unwrap_or(0);
        n >= least
            && f64::from(turned) >= turns * (f64::from(n) - 1.0)
            && f64::from(most) <= share * f64::from(n)
    }

    /// The figures over the window.
    pub(super) fn figures(&self) -> Figures {
        let answered: Vec<f64> = self.samples.iter().flatten().map(|(_, rtt)| *rtt).collect();
        let sent = self.samples.len();
        let mut figures = Figures { sent, received: answered.len(), ..Figures::default() };
        if sent > 0 {
            figures.loss = micros(100.0 * (sent - answered.len()) as f64 / sent as f64);
        }
        let n = answered.len() as f64;
        let Some(last) = answered.last() else { return figures };
        figures.last = *last;
        figures.avg = micros(answered.iter().sum::<f64>() / n);
        figures.best = answered.iter().copied().fold(f64::INFINITY, f64::min);
        figures.worst = answered.iter().copied().fold(0.0, f64::max);
        // No round trip is below a microsecond to mtr.
        figures.gmean = micros((answered.iter().map(|rtt| rtt.max(0.001).ln()).sum::<f64>() / n).exp());
        if answered.len() > 1 {
            let squares: f64 = answered.iter().map(|rtt| (rtt - figures.avg).powi(2)).sum();
            figures.stdev = micros((squares / (n - 1.0)).sqrt());
        }
        for pair in answered.windows(2) {
            figures.jitter = micros((pair[1] - pair[0]).abs());
            figures.jitter_avg += figures.jitter / n;
            figures.jitter_worst = figures.jitter_worst.max(figures.jitter);
            figures.jitter_inter += figures.jitter - figures.jitter_inter / 16.0;
        }
        figures.jitter_avg = micros(figures.jitter_avg);
        figures.jitter_inter = micros(figures.jitter_inter);
        figures
    }
}

/// Three digits behind the point.
fn micros(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hop(samples: &[Option<f64>], window: usize) -> Hop {
        let mut hop = Hop::default();
        for sample in samples {
            let from = IpAddr::from([10, 0, 0, 1]);
            let router = |ms: f64| Seen::Router {
                from,
                rtt: Duration::from_secs_f64(ms / 1e3),
                labels: Labels::default(),
            };
            hop.add(sample.map_or(Seen::Silent, router), window);
        }
        hop
    }

    /// Scenario: round trips with a loss between; all lost; nothing sent; a window shorter than the samples.
    /// Guarantees: mtr's figures.
    #[test]
    fn figures() {
        let found = hop(&[Some(1.0), None, Some(3.0), Some(8.0)], 30).figures();
        assert_eq!((found.sent, found.received, found.loss), (4, 3, 25.0));
        assert_eq!((found.last, found.avg, found.best, found.worst), (8.0, 4.0, 1.0, 8.0));
        assert_eq!((found.stdev, found.gmean), (3.606, 2.884));
        assert_eq!((found.jitter, found.jitter_avg, found.jitter_worst), (5.0, 2.333, 5.0));
        assert_eq!(found.jitter_inter, 6.875);
        assert_eq!(hop(&[None, None], 30).figures(), Figures { sent: 2, loss: 100.0, ..Figures::default() });
        assert_eq!(hop(&[], 30).figures(), Figures::default());
        let found = hop(&[None, Some(5.0), Some(7.0)], 2).figures();
        assert_eq!((found.sent, found.loss, found.avg), (2, 0.0, 6.0));
    }

    /// Scenario: the router's budget is spent between two answers; another target's probe has just been answered.
    /// Guarantees: a skipped probe is no loss; a shared answer is a figure, a shared loss a loss; neither
    /// shows anything of this path.
    #[test]
    fn not_probed() {
        let mut hop = hop(&[Some(1.0)], 30);
        hop.add(Seen::Skipped, 30);
        assert_eq!((hop.figures().sent, hop.figures().loss), (1, 0.0));
        let shared = Seen::Shared { from: IpAddr::from([10, 0, 0, 1]), rtt: Some(Duration::from_millis(2)) };
        hop.add(shared, 30);
        assert_eq!((hop.figures().sent, hop.figures().last, shared.met()), (2, 2.0, None));
        hop.add(Seen::Shared { from: IpAddr::from([10, 0, 0, 1]), rtt: None }, 30);
        assert_eq!((hop.figures().sent, hop.figures().received), (3, 2));
    }

    /// Scenario: answers of one flow as letters: from one router, from two in turn, two of which one took over, three at
    /// random, and too few to tell.
    /// Guarantees: only packets that are spread one by one are said to be.
    #[test]
    fn spread() {
        for (answers, expected) in [
            ("aaaaaaaa", false),
            ("abababab", true),
            ("aaaabbbb", false),
            ("acbbacabc", true),
            ("abab", false),
        ] {
            let mut hop = Hop::default();
            for b in answers.bytes() {
                let (from, rtt) = (IpAddr::from([10, 0, 0, b]), Duration::from_millis(1));
                hop.add(Seen::Router { from, rtt, labels: Labels::default() }, 30);
            }
            assert_eq!(hop.is_spread(), expected, "{answers}");
        }
    }
}
