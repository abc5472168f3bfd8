//! The options, under mtr's letters where mtr has them.

use std::path::PathBuf;
use std::time::Duration;

use ao_common::units::Span;

use crate::path::{Config, Protocol};

/// Whose path, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Name or address.
    pub host: String,
    /// Cycles; 10 for a report, else until Ctrl-C.
    #[arg(short = 'c', long = "report-cycles", value_name = "N")]
    pub cycles: Option<u64>,
    /// Seconds from cycle to cycle; a router is asked once a second all the same.
    #[arg(short = 'i', long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub interval: f64,
    /// UDP instead of ICMP.
    #[arg(short = 'u', long, conflicts_with = "tcp")]
    pub udp: bool,
    /// TCP instead of ICMP.
    #[arg(short = 'T', long)]
    pub tcp: bool,
    /// Destination port of UDP or TCP.
    #[arg(short = 'P', long, value_name = "PORT")]
    pub port: Option<u16>,
    /// IPv4 only.
    #[arg(short = '4', conflicts_with = "ipv6")]
    pub ipv4: bool,
    /// IPv6 only.
    #[arg(short = '6')]
    pub ipv6: bool,
    /// Addresses instead of names.
    #[arg(short = 'n', long)]
    pub no_dns: bool,
    /// Names and addresses.
    #[arg(short = 'b', long)]
    pub show_ips: bool,
    /// The lowest TTL.
    #[arg(short = 'f', long, value_name = "TTL", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub first_ttl: u8,
    /// The highest TTL.
    #[arg(short = 'm', long, value_name = "TTL", default_value_t = 30, value_parser = clap::value_parser!(u8).range(1..))]
    pub max_ttl: u8,
    /// Silent hops in a row after which a cycle gives up.
    #[arg(short = 'U', long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u8).range(1..))]
    pub max_unknown: u8,
    /// Bytes of a probe with its headers.
    #[arg(short = 's', long, value_name = "BYTES", default_value_t = 64)]
    pub psize: u16,
    /// Type of service.
    #[arg(short = 'Q', long, value_name = "TOS", default_value_t = 0)]
    pub tos: u8,
    /// Seconds that an answer may take.
    #[arg(short = 'Z', long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub timeout: f64,
    /// A table after the last cycle, instead of one all the while.
    #[arg(short = 'r', long)]
    pub report: bool,
    /// The report with whole names.
    #[arg(short = 'w', long)]
    pub report_wide: bool,
    /// mtr's JSON after the last cycle, with other ways and MPLS labels.
    #[arg(short = 'j', long)]
    pub json: bool,
    /// Flows that show other ways, 1 for none; more need raw sockets.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub flows: u8,
    /// A table of autonomous systems: lines of `prefix AS`.
    #[arg(short = 'z', long, value_name = "FILE")]
    pub asn_file: Option<PathBuf>,
    /// YAML file; of it the section `net` holds.
    #[arg(long, env = "AO_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Args {
    /// As the engine has it, for a target of this address family.
    pub(super) fn config(&self, v6: bool) -> Config {
        // Of the size IP and ICMP or UDP headers are part.
        let headers = if v6 { 48 } else { 28 };
        Config {
            targets: Vec::new(),
            queries: 1,
            protocol: match (self.udp, self.tcp) {
                (true, _) => Protocol::Udp,
                (_, true) => Protocol::Tcp,
                _ => Protocol::Icmp,
            },
            port: self.port,
            flows: self.flows,
            sweep: Span::secs(120),
            first_hop: self.first_ttl,
            max_hops: self.max_ttl,
            max_unknown: self.max_unknown,
            timeout: Span(Duration::from_secs_f64(self.timeout)),
            size: self.psize.saturating_sub(headers),
            tos: self.tos,
            // As mtr has it: all since the start, as far as anybody looks on.
            window: 100_000,
            names: !self.no_dns,
            asn_file: self.asn_file.clone(),
            ..Config::default()
        }
    }

    /// Time from cycle to cycle.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_secs_f64(self.interval)
    }
}

/// From a hundredth to an hour.
fn seconds(text: &str) -> Result<f64, String> {
    let found: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    if (0.01..=3600.0).contains(&found) { Ok(found) } else { Err("from 0.01 to 3600 seconds".to_owned()) }
}
