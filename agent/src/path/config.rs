//! The section `path`.

use ao_common::units::Span;
use serde::Deserialize;

use crate::net::{self, TargetSpec};

/// What to trace, and how often.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Targets, besides those that the aggregator names. `"gateway"` is the default gateway.
    pub targets: Vec<TargetSpec>,
    /// Time from round to round.
    pub interval: Span,
    /// Probes to each hop in a round; a second or more lies between two of them.
    pub queries: u32,
    /// The highest TTL.
    pub max_hops: u8,
    /// Silent hops in a row after which a pass gives up.
    pub max_unknown: u8,
    /// An answer that takes longer is a loss.
    pub timeout: Span,
    /// Payload bytes of a probe.
    pub size: u16,
    /// Type of service (IPv4) or traffic class (IPv6) of the probes.
    pub tos: u8,
    /// Probes per hop that the figures are made of: those of the newest rounds.
    pub window: u32,
    /// Rounds in a row that must show another path before it counts as a change.
    pub hysteresis: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            targets: vec![net::GATEWAY.into()],
            interval: Span::secs(60),
            queries: 3,
            max_hops: 30,
            max_unknown: 8,
            timeout: Span::secs(1),
            // With both headers 64 bytes, mtr's default.
            size: 36,
            tos: 0,
            window: 30,
            hysteresis: 3,
        }
    }
}
