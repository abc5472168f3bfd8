//! Neighbours in the ARP table by interface, from /proc/net/arp.

use std::collections::BTreeMap;

use ao_proto::model::MetricType::Gauge;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::filter::Filter;
use super::netfile;
use crate::context::Roots;
use crate::event::MetricSet;

/// Options of the collector `arp`. (node_exporter's choice between netlink and the file is none here: both hold the
/// same, and the file is also that of the host where the agent has a network of its own.)
pub use super::filter::Devices as Config;

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let config: Config = api::section(section)?;
    Ok(Box::new(Arp { filter: config.filter("")?, file: TextFile::default() }))
}

struct Arp {
    filter: Filter,
    file: TextFile,
}

impl Collector for Arp {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let (path, text) = netfile::read(&mut self.file, roots, "arp")?;
        let mut entries = BTreeMap::<&str, u64>::new();
        // A line of headings.
        for (i, line) in text.lines().enumerate().skip(1) {
            *entries
                .entry(parse_device(line).ok_or_else(|| CollectError::line(&path, i, line))?)
                .or_default() += 1;
        }
        let family = out.family("node_arp_entries", Gauge, "Neighbours in the ARP table.");
        for (device, entries) in entries {
            if !self.filter.ignores(device) {
                out.push(family, &[("device", device)], entries as f64);
            }
        }
        Ok(())
    }
}

/// Address, type, flags, hardware address, mask, interface (net/ipv4/arp.c, `arp_format_neigh_entry`).
fn parse_device(line: &str) -> Option<&str> {
    line.split_ascii_whitespace().nth(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a neighbour, and a line cut short.
    /// Guarantees: its interface, or nothing.
    #[test]
    fn lines() {
        let line = "192.168.1.1      0x1         0x2         cc:aa:dd:ee:aa:bb     *        eth0";
        assert_eq!(parse_device(line), Some("eth0"));
        assert_eq!(parse_device("192.168.1.1 0x1 0x2"), None);
    }
}
