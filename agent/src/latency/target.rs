//! One target: its address, counts and round.

use std::net::IpAddr;
use std::time::Duration;

use crate::net::{Outcome, TargetSpec};

use super::round::{Filling, Round};

/// Bounds of smokeping_prober's histogram in seconds, 5e-05 * 2^k, written as Prometheus' Go client writes them: the
/// text is the `le` label, and boards select by it.
pub(super) const BOUNDS: [&str; 20] = [
    "5e-05", "0.0001", "0.0002", "0.0004", "0.0008", "0.0016", "0.0032", "0.0064", "0.0128", "0.0256",
    "0.0512", "0.1024", "0.2048", "0.4096", "0.8192", "1.6384", "3.2768", "6.5536", "13.1072", "26.2144",
];

/// The first bound.
const FIRST: Duration = Duration::from_micros(50);

/// A target and what is known of it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) spec: TargetSpec,
    pub(super) address: Option<IpAddr>,
    /// Whether the failure to find the address has been told.
    pub(super) unresolved_told: bool,
    /// Whether the failure to send has been told.
    pub(super) unsent_told: bool,
    pub(super) counts: Counts,
    pub(super) filling: Filling,
    /// The newest finished round.
    pub(super) round: Option<Round>,
}

/// Counters since the start.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Pings that were answered or timed out. One under way is in neither count, or it would look lost.
    pub(super) requests: u64,
    pub(super) duplicates: u64,
    pub(super) send_errors: u64,
    pub(super) ttl: Option<u8>,
    /// Answers by bucket, the last one beyond all bounds.
    pub(super) buckets: [u64; 21],
    pub(super) sum: Duration,
}

impl Target {
    pub(super) fn new(spec: TargetSpec) -> Self {
        Self {
            spec,
            address: None,
            unresolved_told: false,
            unsent_told: false,
            counts: Counts::default(),
            filling: Filling::default(),
            round: None,
        }
    }

    /// Takes the end of a ping, or a duplicate.
    pub(super) fn report(&mut self, outcome: &Outcome, pings: u32) {
        let counts = &mut self.counts;
        let rtt = match outcome {
            Outcome::Duplicate => {
                counts.duplicates += 1;
                return;
            }
            Outcome::NotSent(error) => {
                counts.send_errors += 1;
                if !std::mem::replace(&mut self.unsent_told, true) {
                    tracing::warn!(target_host = self.spec.host, %error, "pings are not sent");
                }
                None
            }
            Outcome::Reply { rtt, ttl } => {
                counts.requests += 1;
                counts.ttl = ttl.or(counts.ttl);
                counts.sum += *rtt;
                counts.buckets[bucket(*rtt)] += 1;
                self.unsent_told = false;
                Some(*rtt)
            }
            Outcome::Timeout | Outcome::Expired { .. } | Outcome::Unreachable { .. } => {
                counts.requests += 1;
                None
            }
        };
        if let Some(round) = self.filling.add(rtt, pings) {
            self.round = Some(round);
        }
    }
}

fn bucket(rtt: Duration) -> usize {
    (0..BOUNDS.len()).find(|k| rtt <= FIRST * (1 << k)).unwrap_or(BOUNDS.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every bound as text, and round trips at and just beyond it.
    /// Guarantees: the texts are the numbers that the counting uses; a bound is within its bucket.
    #[test]
    fn bounds() {
        for (k, text) in BOUNDS.iter().enumerate() {
            let bound = FIRST * (1 << k);
            assert!((text.parse::<f64>().unwrap() - bound.as_secs_f64()).abs() < 1e-12, "{text}");
            assert_eq!(bucket(bound), k);
            assert_eq!(bucket(bound + Duration::from_nanos(1)), k + 1);
        }
    }

    /// Scenario: one ping of each end.
    /// Guarantees: only answers and losses are requests; what was not sent is a send error.
    #[test]
    fn counting() {
        let mut target = Target::new("a".into());
        let rtt = Duration::from_millis(1);
        let from = IpAddr::from([10, 0, 0, 1]);
        for outcome in [
            Outcome::Reply { rtt, ttl: Some(61) },
            Outcome::Timeout,
            Outcome::Unreachable { from, code: 1, rtt },
            Outcome::NotSent(crate::net::SendError::NoSocket(from)),
            Outcome::Duplicate,
        ] {
            target.report(&outcome, 4);
        }
        let counts = &target.counts;
        assert_eq!((counts.requests, counts.send_errors, counts.duplicates), (3, 1, 1));
        assert_eq!((counts.ttl, counts.buckets.iter().sum::<u64>(), counts.sum), (Some(61), 1, rtt));
        assert_eq!(target.round, Some(Round { rtts: vec![rtt], lost: 3 }));
    }
}
