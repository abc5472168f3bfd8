//! The section `latency`.

use std::net::IpAddr;
use std::time::Duration;

use ao_common::units::Span;
use serde::Deserialize;

use crate::net::{self, TargetSpec};

/// What to ping, and how often.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Targets, besides those that the aggregator names. `"gateway"` is the default gateway.
    pub targets: Vec<TargetSpec>,
    /// Length of a round.
    pub interval: Span,
    /// Pings per round and target, evenly spread.
    pub pings: u32,
    /// An answer that takes longer is a loss.
    pub timeout: Span,
    /// Payload bytes of a ping.
    pub size: u16,
    /// Type of service (IPv4) or traffic class (IPv6) of the pings.
    pub tos: u8,
    /// Address to send from; left out, the system's choice for each target.
    pub source: Option<IpAddr>,
    /// How often a target's metrics are handed on.
    pub export: Span,
    /// How often names are looked up again.
    pub resolve: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            targets: vec![net::GATEWAY.into()],
            interval: Span::secs(60),
            pings: 20,
            timeout: Span::secs(2),
            size: 56,
            tos: 0,
            source: None,
            export: Span::secs(15),
            resolve: Span::secs(60),
        }
    }
}

impl Config {
    /// Time between two pings to one target; a configuration of zeroes still leaves a pause.
    pub(super) fn period(&self) -> Duration {
        (self.interval.0 / self.pings.max(1)).max(Duration::from_millis(1))
    }
}
