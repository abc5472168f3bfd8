//! One target: its address, counts, round and alerts.

use std::net::IpAddr;
use std::time::Duration;

use crate::net::{Outcome, Report};
use crate::trouble::{JUMP_NS, SLOW_NS, Turn, Watch};

use super::alert::{Alert, History, State, Told};
use super::config::{Config, Plan};
use super::doubt::Mark;
use super::probe::{Failure, Kind, REASONS};
use super::round::{End, Filling, Round};

/// Bounds of smokeping_prober's histogram in seconds, 5e-05 * 2^k, written as Prometheus' Go client writes them: the
/// text is the `le` label, and boards select by it.
pub(super) const BOUNDS: [&str; 20] = [
    "5e-05", "0.0001", "0.0002", "0.0004", "0.0008", "0.0016", "0.0032", "0.0064", "0.0128", "0.0256",
    "0.0512", "0.1024", "0.2048", "0.4096", "0.8192", "1.6384", "3.2768", "6.5536", "13.1072", "26.2144",
];

/// A round that has lost such a share, and more than one ping, is trouble.
const LOSSY: f64 = 0.1;

/// The first bound.
const FIRST: Duration = Duration::from_micros(50);

/// A target and what is known of it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) plan: Plan,
    pub(super) address: Option<IpAddr>,
    /// Whether the failure to find the address has been told.
    pub(super) unresolved_told: bool,
    /// Whether it has been said that its name is found slowly or not at all.
    pub(super) name_told: bool,
    /// Whether the failure to send has been told.
    pub(super) unsent_told: bool,
    /// Why the service failed when it last did, while it fails.
    failing: Option<&'static str>,
    pub(super) counts: Counts,
    pub(super) filling: Filling,
    /// The newest finished round.
    pub(super) round: Option<Round>,
    /// By name.
    pub(super) alerts: Vec<(String, State)>,
    history: History,
    watch: Watch,
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
    /// Rounds in which the prober was starved.
    pub(super) starved: u64,
    /// Failures of a service, in the order of [`REASONS`].
    pub(super) failures: [u64; REASONS.len()],
}

impl Target {
    pub(super) fn new(plan: Plan, config: &Config) -> Self {
        let alerts = plan.raise.iter().filter(|name| config.alerts.contains_key(*name));
        let alerts: Vec<_> = alerts.map(|name| (name.clone(), State::default())).collect();
        // And the start before all rounds.
        let length = alerts.iter().filter_map(|(name, _)| config.alerts.get(name)).map(Alert::length).max();
        let watch = Watch::new(if matches!(plan.probe, Kind::Icmp) { JUMP_NS } else { SLOW_NS });
        let history = History::new(length.unwrap_or(0) + 1);
        Self {
            plan,
            address: None,
            unresolved_told: false,
            name_told: false,
            unsent_told: false,
            failing: None,
            counts: Counts::default(),
            filling: Filling::default(),
            round: None,
            alerts,
            history,
            watch,
        }
    }

    /// Counts why a service has failed, and tells it where that is new.
    pub(super) fn asked(&mut self, failure: Option<&Failure>) {
        let Some(failure) = failure else {
            self.failing = None;
            return;
        };
        let reason = failure.reason();
        if let Some(at) = REASONS.iter().position(|known| *known == reason) {
            self.counts.failures[at] += 1;
        }
        if self.failing.replace(reason) != Some(reason) {
            let probe = self.plan.probe.label();
            tracing::warn!(target_host = self.plan.host, probe, reason, %failure, "a service has failed");
        }
    }

    /// Takes the end of a ping, or a duplicate; true at the end of a round. `starved`: how late is too late.
    pub(super) fn report(&mut self, report: &Report, now: Mark, starved: Duration) -> bool {
        let counts = &mut self.counts;
        let rtt = match &report.outcome {
            Outcome::Duplicate => {
                counts.duplicates += 1;
                return false;
            }
            Outcome::NotSent(error) => {
                counts.send_errors += 1;
                if !std::mem::replace(&mut self.unsent_told, true) {
                    tracing::warn!(target_host = self.plan.host, %error, "pings are not sent");
                }
                if error.is_own_limit() {
                    // It would be a loss whoever the target is: the round goes on without.
                    return false;
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
        let is_v6 = self.address.is_some_and(|address| address.is_ipv6());
        let end = End { rtt, gap: report.gap, is_v6 };
        let Some(round) = self.filling.add(end, self.plan.pings, now, starved) else { return false };
        self.counts.starved += u64::from(round.doubt.starved);
        self.round = Some(round);
        true
    }

    /// Trouble that has begun or ended with the newest round; a target that has never answered is none of the way, and a starved
    /// round no evidence.
    pub(super) fn trouble(&mut self) -> Option<Turn> {
        let round = self.round.as_ref().filter(|round| !round.doubt.starved)?;
        self.counts.buckets.iter().any(|answers| *answers > 0).then_some(())?;
        let median_ns = round.median().map(|median| i64::try_from(median.as_nanos()).unwrap_or(i64::MAX));
        let too_many = round.lost >= 2 && round.loss() >= LOSSY;
        let turn = self.watch.look(round.lost as usize, too_many, median_ns);
        if let Some(median_ns) = median_ns {
            self.watch.learn(median_ns);
        }
        turn
    }

    /// What is to be told behind a round, by name: nothing behind one that is no evidence.
    pub(super) fn judge<'a>(&mut self, config: &'a Config) -> Vec<(&'a str, &'a Alert, Told)> {
        let Some(round) = self.round.as_ref().filter(|round| !round.doubt.starved) else { return Vec::new() };
        self.history.push(round.loss_percent(), round.median().map(|median| median.as_secs_f64()));
        let mut told = Vec::new();
        for (name, state) in &mut self.alerts {
            let Some((name, alert)) = config.alerts.get_key_value(name) else { continue };
            told.extend(state.step(alert, &self.history).map(|told| (name.as_str(), alert, told)));
        }
        // Of those that begin only the most important one is told; those without a priority always are.
        let raised = told.iter().filter(|(.., told)| *told == Told::Raised);
        let first = raised.filter_map(|(_, alert, _)| alert.priority).min();
        told.retain(|(_, alert, told)| {
            *told == Told::Cleared || alert.priority.is_none_or(|priority| Some(priority) == first)
        });
        told
    }
}

fn bucket(rtt: Duration) -> usize {
    (0..BOUNDS.len()).find(|k| rtt <= FIRST * (1 << k)).unwrap_or(BOUNDS.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::SendError;

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

    /// Scenario: one ping of each end, and those for which this machine had no room.
    /// Guarantees: only answers and losses are requests; what was not sent is a send error, and a loss only where that is
    /// not of this machine's own making.
    #[test]
    fn counting() {
        let config = Config { targets: vec!["a".into()], pings: 4, ..Config::default() };
        let mut target = Target::new(config.plans(&[]).remove(0), &config);
        let rtt = Duration::from_millis(1);
        let from = IpAddr::from([10, 0, 0, 1]);
        let now = Mark { at: tokio::time::Instant::now(), stalled_us: None, dropped: [0, 0] };
        let io = |code| {
            Outcome::NotSent(SendError::Io { dest: from, source: std::io::Error::from_raw_os_error(code) })
        };
        for outcome in [
            Outcome::Reply { rtt, ttl: Some(61) },
            Outcome::Timeout,
            Outcome::Unreachable { from, code: 1, rtt },
            Outcome::NotSent(SendError::Full(from)),
            io(libc::ENOBUFS),
            io(libc::EAGAIN),
            io(libc::ENETUNREACH),
            Outcome::Duplicate,
        ] {
            target.report(&Report { key: 0, outcome, gap: None }, now, Duration::from_secs(1));
        }
        let counts = &target.counts;
        assert_eq!((counts.requests, counts.send_errors, counts.duplicates), (3, 4, 1));
        assert_eq!((counts.ttl, counts.buckets.iter().sum::<u64>(), counts.sum), (Some(61), 1, rtt));
        let round = target.round.unwrap();
        assert_eq!((round.rtts, round.lost), (vec![rtt], 3));
    }
}
