//! The section `path`.

use std::path::PathBuf;

use ao_common::units::Span;
use serde::Deserialize;

use super::asn::Table;
use crate::net::{self, TargetSpec, Way};

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
    /// Packets of the canonical flow, whose hops are the path.
    pub protocol: Protocol,
    /// Destination port of UDP and TCP probes; left out, 33434 for UDP and 443 for TCP.
    pub port: Option<u16>,
    /// Flows that show the ways of a path, at most 8; the first is the canonical one. With `icmp` the others are UDP, since
    /// many routers send all echoes one way. More than one needs mode `raw`.
    pub flows: u8,
    /// Time from one look at all flows to the next, beside those at once when the path seems to have changed.
    pub sweep: Span,
    /// The lowest TTL that is asked; the hops before it are not known.
    pub first_hop: u8,
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
    /// Whether routers' names are looked up, when there is time.
    pub names: bool,
    /// A table of who holds which addresses: lines of `prefix AS [name]`, or of `first last AS [country name]`.
    pub asn_file: Option<PathBuf>,
}

/// Kinds of packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Echo requests.
    #[default]
    Icmp,
    /// UDP to a port where nobody listens.
    Udp,
    /// SYNs.
    Tcp,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            targets: vec![net::GATEWAY.into()],
            interval: Span::secs(60),
            queries: 3,
            protocol: Protocol::Icmp,
            port: None,
            flows: 8,
            sweep: Span::secs(15 * 60),
            first_hop: 1,
            max_hops: 30,
            max_unknown: 8,
            timeout: Span::secs(1),
            // With both headers 64 bytes, mtr's default.
            size: 36,
            tos: 0,
            window: 30,
            hysteresis: 3,
            names: true,
            asn_file: None,
        }
    }
}

impl Config {
    /// What the file's form alone cannot say.
    ///
    /// # Errors
    /// A sentence with the key and what may stand there.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=8).contains(&self.flows) {
            return Err("path.flows must be from 1 to 8".to_owned());
        }
        if self.max_hops == 0 || self.interval.0.is_zero() || self.timeout.0.is_zero() {
            return Err("path: max_hops, interval and timeout must be above 0".to_owned());
        }
        if self.first_hop > self.max_hops {
            let (first, max) = (self.first_hop, self.max_hops);
            return Err(format!("path.first_hop is {first}, beyond path.max_hops, {max}"));
        }
        if let Some(path) = &self.asn_file {
            Table::read(path).map_err(|error| format!("path.asn_file: {error}"))?;
        }
        Ok(())
    }

    /// The packets of a flow.
    pub(super) fn way(&self, flow: u8) -> Way {
        /// Where traceroute has begun since 1988, and where nothing listens.
        const UDP: u16 = 33434;
        const TCP: u16 = 443;
        match self.protocol {
            Protocol::Icmp if flow == 0 => Way::Echo { flow },
            Protocol::Icmp => Way::Udp { flow, port: UDP },
            Protocol::Udp => Way::Udp { flow, port: self.port.unwrap_or(UDP) },
            Protocol::Tcp => Way::Tcp { flow, port: self.port.unwrap_or(TCP) },
        }
    }

    /// Bytes of a whole probe of the canonical flow.
    pub fn packet_size(&self, v6: bool) -> u32 {
        let headers = if v6 { 40 } else { 20 };
        match self.protocol {
            Protocol::Icmp | Protocol::Udp => headers + 8 + u32::from(self.size),
            Protocol::Tcp => headers + 20,
        }
    }
}
