//! A scenario as it stands in `scenarios/*.toml`: a network, what is probed through it, and what is true of it.
//!
//! The network is one of two. `links` are cables between kernels, each in a namespace of its own: link N is
//! 10.77.N.0/24 and fd77:N::/64, its left end .1, its right end .2. `c` probes, `s` answers as 10.77.99.9, fd77:99::9 and
//! all of 10.78.0.0/16; the others are routers, with routes along the shortest ways. Links that are named in `wires` pass
//! through this process, which can lose, delay and swallow in each direction (`wire.rs`). `hops` and `ways` are a network in
//! user space behind a TUN device (`responder.rs`), which can delay, lose, reorder and label. With `mesh`, agents at `c` and
//! `s` measure each other (`incident.rs`), else `c` traces a path (`referee.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use ao_agent::path::{self, Protocol};
use ao_common::units::Span;
use serde::Deserialize;

use crate::incident::Incident;

/// One file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// One sentence for the report.
    pub(crate) proves: String,
    /// Cables, such as `c r1`.
    #[serde(default)]
    pub(crate) links: Vec<String>,
    /// Those of them that are in user space.
    #[serde(default)]
    pub(crate) wires: Vec<String>,
    /// Commands behind the name of a namespace: `r1 ip ...` or `r1 sysctl key=value`.
    #[serde(default)]
    pub(crate) setup: Vec<String>,
    /// Routers and targets of the network in user space, by name.
    #[serde(default)]
    pub(crate) hops: BTreeMap<String, Hop>,
    /// Ways through it, such as `a b t`; the last name is the target.
    #[serde(default)]
    pub(crate) ways: Vec<String>,
    /// How packets are spread over the ways.
    #[serde(default)]
    pub(crate) spread: Spread,
    /// Whether a name server answers at `s`, and `c` asks it.
    #[serde(default)]
    pub(crate) resolver: bool,
    /// What is asked.
    #[serde(default)]
    pub(crate) probe: Probe,
    /// What happens meanwhile.
    #[serde(default)]
    pub(crate) change: Vec<Change>,
    /// What the answer must be.
    #[serde(default)]
    pub(crate) truth: Truth,
    /// Two agents that measure each other, and what befalls them.
    pub(crate) mesh: Option<Incident>,
}

/// What happens while it is probed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// Behind this round.
    pub(crate) after: u64,
    /// As [`Scenario::setup`].
    #[serde(default)]
    pub(crate) setup: Vec<String>,
    /// Other ways.
    #[serde(default)]
    pub(crate) ways: Vec<String>,
}

/// One router or target in user space.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Hop {
    /// IPv4.
    pub(crate) v4: String,
    /// IPv6.
    pub(crate) v6: String,
    /// What it adds to the round trip of all packets that come to it, in milliseconds.
    pub(crate) delay: f64,
    /// At random up to so much more.
    pub(crate) jitter: f64,
    /// Share of the packets that come to it and vanish.
    pub(crate) loss: f64,
    /// Share of its own answers that it does not give.
    pub(crate) silence: f64,
    /// Answers a second; none held up.
    pub(crate) limit: Option<f64>,
    /// Protocols that it does not forward: icmp, udp, tcp.
    pub(crate) blocks: Vec<String>,
    /// Destination ports that it drops without a word.
    pub(crate) drops: Vec<u16>,
    /// MPLS labels that it tells of.
    pub(crate) labels: Vec<u32>,
    /// Gives each answer twice.
    pub(crate) doubles: bool,
    /// Sends rubbish along with each answer: others' echoes, cut and forged errors.
    pub(crate) lies: bool,
}

/// How packets are spread over several ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Spread {
    /// By a hash of addresses, protocol and ports (of an echo its checksum).
    #[default]
    Flow,
    /// One by one.
    Packet,
    /// By a hash that is another one each second.
    Rotating,
}

/// What is asked, of the path source; see its configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Probe {
    pub(crate) target: String,
    /// Reports awaited.
    pub(crate) rounds: u64,
    pub(crate) queries: u32,
    pub(crate) protocol: Protocol,
    pub(crate) flows: u8,
    pub(crate) size: u16,
    /// Each of `raw`, `ping`, `connect` that the scenario is repeated in.
    pub(crate) modes: Vec<ao_agent::net::Mode>,
    pub(crate) max_hops: u8,
    pub(crate) timeout_ms: u64,
    /// Targets beside it that share its near hops.
    pub(crate) others: Vec<String>,
    /// Compare with what mtr and fping say.
    pub(crate) cross: bool,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            target: "10.77.99.9".to_owned(),
            rounds: 2,
            queries: 1,
            protocol: Protocol::Icmp,
            flows: 1,
            size: 36,
            modes: vec![ao_agent::net::Mode::Raw],
            max_hops: 12,
            timeout_ms: 400,
            others: Vec::new(),
            cross: false,
        }
    }
}

impl Probe {
    /// The source's configuration: a round a second, and a look at all flows in each.
    pub(crate) fn config(&self) -> path::Config {
        path::Config {
            targets: std::iter::once(&self.target).chain(&self.others).map(|t| t.as_str().into()).collect(),
            interval: Span::secs(1),
            queries: self.queries,
            protocol: self.protocol,
            flows: self.flows,
            sweep: Span(Duration::from_millis(1)),
            max_hops: self.max_hops,
            max_unknown: 4,
            timeout: Span(Duration::from_millis(self.timeout_ms)),
            size: self.size,
            window: 1000,
            names: false,
            ..path::Config::default()
        }
    }
}

/// What is true. A list is by hop, its words separated by blanks; what is left out is not compared.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Truth {
    /// Names or addresses of the last report; `?` for silence, `a|b` for either.
    pub(crate) hops: String,
    /// Percent, as `0` or `20-60`.
    pub(crate) loss: Option<String>,
    /// Least milliseconds, as `5-9`.
    pub(crate) rtt: Option<String>,
    /// All who answer, as `a b|c t`, once the sets are known.
    pub(crate) sets: Option<String>,
    /// Different paths of the flows.
    pub(crate) paths: Option<f64>,
    /// none, flow or packet.
    pub(crate) balancing: Option<String>,
    /// Labels of a hop, as `- 16001,16002 -`.
    pub(crate) labels: Option<String>,
    /// Kinds of the changes, in order; of each, at which report behind the change it is told (`route@3`).
    pub(crate) changes: Vec<String>,
    /// mtr shows loss at the first hop where we show none.
    pub(crate) mtr_loses: bool,
}
