//! The figures of one hop, as mtr computes them (ui/net.c), over the newest probes.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::strategy::Seen;

/// One hop: who answers there, and how its newest probes ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Hop {
    /// Who answered last.
    pub(super) address: Option<IpAddr>,
    /// Milliseconds by probe, oldest first; `None` for no answer.
    samples: VecDeque<Option<f64>>,
}

/// mtr's columns. Times in milliseconds, 0 where nothing was answered, as mtr has it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Probes sent.
    pub(super) sent: usize,
    /// Percent of them without an answer.
    pub(super) loss: f64,
    pub(super) last: f64,
    pub(super) avg: f64,
    pub(super) best: f64,
    pub(super) worst: f64,
    /// Standard deviation with n - 1.
    pub(super) stdev: f64,
    /// Mean difference of successive round trips (mtr's Javg).
    pub(super) jitter: f64,
}

impl Hop {
    /// A hop that has not been probed yet.
    pub(super) fn new(address: Option<IpAddr>) -> Self {
        Self { address, samples: VecDeque::new() }
    }

    /// Adds the end of a probe; a skipped one is none.
    pub(super) fn add(&mut self, seen: Seen, window: usize) {
        if seen == Seen::Skipped {
            return;
        }
        if let Some((from, _)) = seen.answer() {
            self.address = Some(from);
        }
        while self.samples.len() >= window.max(1) {
            self.samples.pop_front();
        }
        // Whole microseconds, as mtr counts: short decimals are also the ones that cost least on the wire.
        self.samples.push_back(seen.answer().map(|(_, rtt)| (rtt.as_nanos() as f64 / 1e3).round() / 1e3));
    }

    /// The figures over the window.
    pub(super) fn figures(&self) -> Figures {
        let answered: Vec<f64> = self.samples.iter().flatten().copied().collect();
        let sent = self.samples.len();
        let mut figures = Figures { sent, ..Figures::default() };
        if sent > 0 {
            figures.loss = micros(100.0 * (sent - answered.len()) as f64 / sent as f64);
        }
        let n = answered.len() as f64;
        let Some(last) = answered.last() else { return figures };
        figures.last = *last;
        figures.avg = micros(answered.iter().sum::<f64>() / n);
        figures.best = answered.iter().copied().fold(f64::INFINITY, f64::min);
        figures.worst = answered.iter().copied().fold(0.0, f64::max);
        if answered.len() > 1 {
            let squares: f64 = answered.iter().map(|rtt| (rtt - figures.avg).powi(2)).sum();
            figures.stdev = micros((squares / (n - 1.0)).sqrt());
            let steps: f64 = answered.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum();
            figures.jitter = micros(steps / (n - 1.0));
        }
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

    fn ms(value: f64) -> Duration {
        Duration::from_secs_f64(value / 1e3)
    }

    fn hop(samples: &[Option<f64>], window: usize) -> Hop {
        let mut hop = Hop::default();
        for sample in samples {
            let from = IpAddr::from([10, 0, 0, 1]);
            hop.add(sample.map_or(Seen::Silent, |rtt| Seen::Router { from, rtt: ms(rtt) }), window);
        }
        hop
    }

    /// Scenario: round trips with a loss between; all lost; nothing sent; a window shorter than the samples.
    /// Guarantees: mtr's figures.
    #[test]
    fn figures() {
        let found = hop(&[Some(1.0), None, Some(3.0), Some(8.0)], 30).figures();
        assert_eq!((found.sent, found.loss, found.last, found.avg), (4, 25.0, 8.0, 4.0));
        assert_eq!((found.best, found.worst, found.stdev), (1.0, 8.0, 3.606));
        assert_eq!(found.jitter, 3.5);
        assert_eq!(hop(&[None, None], 30).figures(), Figures { sent: 2, loss: 100.0, ..Figures::default() });
        assert_eq!(hop(&[], 30).figures(), Figures::default());
        let found = hop(&[None, Some(5.0), Some(7.0)], 2).figures();
        assert_eq!((found.sent, found.loss, found.avg), (2, 0.0, 6.0));
    }

    /// Scenario: the router's budget is spent between two answers.
    /// Guarantees: a skipped probe is no loss.
    #[test]
    fn skipped() {
        let mut hop = hop(&[Some(1.0)], 30);
        hop.add(Seen::Skipped, 30);
        assert_eq!((hop.figures().sent, hop.figures().loss), (1, 0.0));
    }
}
