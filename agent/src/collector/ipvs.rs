//! Load balancing in the kernel (IPVS): what went through, and the servers behind it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ao_proto::model::MetricType::{Counter, Gauge};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::netfile;
use crate::context::Roots;
use crate::event::MetricSet;

/// Options of the collector `ipvs`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// By which labels the servers are told apart; those that are alike in these are added up. All by default.
    pub backend_labels: Vec<Label>,
}

/// A label of a server.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Label {
    LocalAddress,
    LocalPort,
    RemoteAddress,
    RemotePort,
    Proto,
    LocalMark,
}

/// In the order in which they are given, with their names and places in [`Backend::texts`].
const LABELS: [(Label, &str); 6] = [
    (Label::LocalAddress, "local_address"),
    (Label::LocalPort, "local_port"),
    (Label::RemoteAddress, "remote_address"),
    (Label::RemotePort, "remote_port"),
    (Label::Proto, "proto"),
    (Label::LocalMark, "local_mark"),
];

impl Default for Config {
    fn default() -> Self {
        Self { backend_labels: LABELS.map(|(label, _)| label).to_vec() }
    }
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let config: Config = api::section(section)?;
    Ok(Box::new(Ipvs { config, stats: TextFile::default(), table: TextFile::default() }))
}

struct Ipvs {
    config: Config,
    stats: TextFile,
    table: TextFile,
}

/// The sums in /proc/net/ip_vs_stats (net/netfilter/ipvs/ip_vs_ctl.c, `ip_vs_stats_show`).
const TOTALS: [(&str, &str); 5] = [
    ("node_ipvs_connections_total", "Connections that were balanced."),
    ("node_ipvs_incoming_packets_total", "Packets from clients."),
    ("node_ipvs_outgoing_packets_total", "Packets from servers."),
    ("node_ipvs_incoming_bytes_total", "Bytes from clients."),
    ("node_ipvs_outgoing_bytes_total", "Bytes from servers."),
];
/// Two lines of headings, then the sums.
const TOTALS_LINE: usize = 2;

/// A server behind a service.
#[derive(Debug, PartialEq)]
struct Backend {
    /// Values of [`LABELS`].
    texts: [String; LABELS.len()],
    /// Connections that are active and inactive, and the weight.
    values: [u64; 3],
}

impl Collector for Ipvs {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let found = netfile::read(&mut self.stats, roots, "ip_vs_stats");
        let (path, text) = found.map_err(|e| e.absent_means_no("load balancing (IPVS)"))?;
        let line = text.lines().nth(TOTALS_LINE).unwrap_or_default();
        let totals = parse_totals(line).ok_or_else(|| CollectError::line(&path, TOTALS_LINE, line))?;
        for ((name, help), total) in TOTALS.into_iter().zip(totals) {
            out.one(name, Counter, help, total as f64);
        }
        let (path, text) = netfile::read(&mut self.table, roots, "ip_vs")?;
        let backends = parse_table(text).map_err(|(i, line)| CollectError::line(&path, i, line))?;
        let is_wanted = |label: Label| self.config.backend_labels.contains(&label);
        let mut sums = BTreeMap::<Vec<(&str, &str)>, [u64; 3]>::new();
        for backend in &backends {
            let texts = LABELS.iter().zip(&backend.texts).filter(|((label, _), _)| is_wanted(*label));
            let labels = texts.map(|((_, name), text)| (*name, &**text)).collect();
            for (sum, value) in sums.entry(labels).or_default().iter_mut().zip(backend.values) {
                *sum = sum.saturating_add(value);
            }
        }
        let families = [
            ("node_ipvs_backend_connections_active", "Connections to a server that are open."),
            ("node_ipvs_backend_connections_inactive", "Connections to a server that are about to go."),
            ("node_ipvs_backend_weight", "How much of the work a server is to get."),
        ];
        let families = families.map(|(name, help)| out.family(name, Gauge, help));
        for (labels, values) in &sums {
            for (family, value) in families.iter().zip(values) {
                out.push(*family, labels, *value as f64);
            }
        }
        Ok(())
    }
}

fn parse_totals(line: &str) -> Option<[u64; TOTALS.len()]> {
    let mut totals = [0; TOTALS.len()];
    let mut fields = line.split_ascii_whitespace();
    for total in &mut totals {
        *total = u64::from_str_radix(fields.next()?, 16).ok()?;
    }
    Some(totals)
}

/// Services, each with its servers below it; the error is a line with its number from 0.
fn parse_table(text: &str) -> Result<Vec<Backend>, (usize, &str)> {
    let mut service = <[String; 4]>::default();
    let mut backends = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let fields: Vec<_> = line.split_ascii_whitespace().take(6).collect();
        match *fields {
            ["IP" | "Prot", ..] | ["->", "RemoteAddress:Port", ..] => {}
            ["FWM", mark, ..] => service = [String::new(), "0".into(), "FWM".into(), mark.into()],
            ["->", remote, _forward, weight, active, inactive] => {
                let (address, port) = parse_address(remote).ok_or((i, line))?;
                let number = |field: &str| field.parse::<u64>().map_err(|_| (i, line));
                let [local, local_port, proto, mark] = service.clone();
                backends.push(Backend {
                    texts: [local, local_port, address.to_string(), port.to_string(), proto, mark],
                    values: [number(active)?, number(inactive)?, number(weight)?],
                });
            }
            [proto @ ("TCP" | "UDP" | "SCTP"), local, ..] => {
                let (address, port) = parse_address(local).ok_or((i, line))?;
                service = [address.to_string(), port.to_string(), proto.into(), String::new()];
            }
            [] => {}
            _ => return Err((i, line)),
        }
    }
    Ok(backends)
}

/// `C0A80016:0CEA` or `[2620:0000:0000:0000:0000:0000:0000:0001]:0050`
fn parse_address(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = match address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => IpAddr::V6(v6.parse().ok()?),
        None => IpAddr::V4(Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?)),
    };
    Some((address, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: services of each kind with servers, and lines that are broken.
    /// Guarantees: each server under its service; a broken line is told.
    #[test]
    fn tables() {
        let text = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\nTCP  C0A80016:0CEA wlc\n  -> C0A85216:0CEA      Tunnel  100    248        2\nFWM  10001000 wlc\n  -> [2620:0000:0000:0000:0000:0000:0000:0001]:0050 Route 20 0 3\n";
        let backends = parse_table(text).unwrap();
        assert_eq!(backends[0].texts, ["192.168.0.22", "3306", "192.168.82.22", "3306", "TCP", ""]);
        assert_eq!(backends[0].values, [248, 2, 100]);
        assert_eq!(backends[1].texts, ["", "0", "2620::1", "80", "FWM", "10001000"]);
        for bad in ["TCP", "TCP C0A80016 wlc", "-> C0A85216:0CEA Tunnel x 1 2", "what is this"] {
            assert_eq!(parse_table(bad), Err((0, bad)), "{bad}");
        }
        assert_eq!(parse_totals("    16AA22 5AF9 A 0 FF"), Some([0x0016_aa22, 0x5af9, 10, 0, 255]));
        assert_eq!(parse_totals("1 2 3 4"), None);
    }

    proptest! {
        /// Scenario: any table.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(text in "((TCP|FWM|->)( [0-9A-F:\\[\\]]{0,14}){0,6}\n|\\PC{0,20}\n?){0,5}") {
            let _any = parse_table(&text);
            let _any = parse_totals(&text);
        }
    }
}
