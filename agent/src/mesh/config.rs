//! The section `mesh`.

use std::net::IpAddr;
use std::time::Duration;

use ao_common::units::Span;
use serde::Deserialize;

use super::sweep::TRIES;
use crate::context::Reach;

/// Echoes to a peer in one round.
const MOST_ECHOES: u128 = 3600;
/// Echoes and questions of a sweep to a peer in a second: it answers 200 (echo.rs, `RATE`), of which a recording takes 50.
const MOST_A_SECOND: f64 = 140.0;

/// How this node takes part in the mesh; whom it measures the aggregator says.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether it takes part.
    pub enabled: bool,
    /// How the others reach it; left out, the address from which it speaks to the aggregator. An agent whose aggregator
    /// is on the same machine takes part only with an address here.
    pub address: Option<IpAddr>,
    /// UDP port of the echo that answers the others.
    pub port: u16,
    /// Zone, rack or site: nodes of each are measured from each other, however large the mesh.
    pub zone: String,
    /// The system's clocks of this site are synchronised (PTP, or NTP within microseconds): the delay of each direction
    /// by itself is then told, where both ends say so.
    pub clocks_synchronised: bool,
    /// Time between two echoes to a peer.
    pub interval: Span,
    /// Length of a round, over which they are summed up; and of a sweep over the ports.
    pub round: Span,
    /// Source ports that a sweep tries; several paths of equal cost share them out.
    pub ports: u16,
    /// An answer that takes longer is a loss.
    pub timeout: Span,
    /// How often the path's MTU is looked at again.
    pub mtu: Span,
    /// How often the figures are handed on, and the TCP connections looked at.
    pub export: Span,
    /// Recordings of one way, or of how names are found, in an hour at most; trouble beyond it is only counted.
    pub recordings_per_way: u32,
    /// Recordings of this node in an hour at most.
    pub recordings_per_node: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            address: None,
            port: 4418,
            zone: String::new(),
            clocks_synchronised: false,
            interval: Span::secs(1),
            round: Span::secs(60),
            ports: 16,
            timeout: Span::secs(1),
            mtu: Span::secs(600),
            export: Span::secs(15),
            recordings_per_way: 4,
            recordings_per_node: 20,
        }
    }
}

impl Config {
    /// What the file's form alone cannot say.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn check(&self) -> Result<(), String> {
        if self.port == 0 {
            return Err("mesh.port must be from 1 to 65535: the others are told it".to_owned());
        }
        if !(1..=64).contains(&self.ports) {
            return Err("mesh.ports must be from 1 to 64".to_owned());
        }
        let least = Span(Duration::from_millis(10));
        for (key, span) in [("interval", self.interval), ("round", self.round), ("timeout", self.timeout)] {
            if span < least {
                return Err(format!("mesh.{key} must be at least {least}"));
            }
        }
        if self.round < self.interval || self.round < self.timeout {
            return Err("mesh.round must be at least mesh.interval and mesh.timeout".to_owned());
        }
        // Each echo of a round is kept until it ends.
        if self.round.0.as_nanos() / self.interval.0.as_nanos() > MOST_ECHOES {
            return Err(format!("mesh.round must be at most {MOST_ECHOES} times mesh.interval"));
        }
        let of_sweep = f64::from(u32::from(self.ports) * TRIES) / self.round.0.as_secs_f64();
        let a_second = self.interval.0.as_secs_f64().recip() + of_sweep;
        if a_second > MOST_A_SECOND {
            return Err(format!(
                "mesh.interval, mesh.ports and mesh.round ask a peer {a_second:.0} times a second ({TRIES} times from each port \
                 in a round); it answers at most {MOST_A_SECOND}"
            ));
        }
        Ok(())
    }

    /// What the others are told of this node; `None` where it takes no part.
    pub fn reach(&self) -> Option<Reach> {
        let reach = || Reach {
            address: self.address,
            port: self.port,
            zone: self.zone.clone(),
            synchronised: self.clocks_synchronised,
        };
        self.enabled.then(reach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the default; as fast as echoes may be; the most ports, in a minute and in a second.
    /// Guarantees: a peer is asked no more often than it answers.
    #[test]
    fn no_faster_than_it_answers() {
        for (interval_ms, ports, round_ms, is_right) in [
            (1000, 16, 60_000, true),
            (10, 16, 10_000, true),
            (10, 64, 2000, false),
            (1000, 64, 60_000, true),
            (1000, 64, 1000, false),
        ] {
            let [interval, round] = [interval_ms, round_ms].map(|ms| Span(Duration::from_millis(ms)));
            let config = Config { interval, round, timeout: interval, ports, ..Config::default() };
            assert_eq!(config.check().is_ok(), is_right, "{interval_ms} {ports} {round_ms}");
        }
    }
}
