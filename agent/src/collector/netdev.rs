//! Network interfaces: bytes, packets and errors from /proc/net/dev.

use ao_proto::model::MetricType::Counter;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::filter::Filter;
use super::netfile;
use crate::context::Roots;
use crate::event::MetricSet;

/// Options of the collector `netdev`: all interfaces by default.
pub use super::filter::Devices as Config;

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let config: Config = api::section(section)?;
    Ok(Box::new(Netdev { filter: config.filter("")?, file: TextFile::default(), small: TextFile::default() }))
}

struct Netdev {
    filter: Filter,
    file: TextFile,
    small: TextFile,
}

/// The columns of /proc/net/dev behind the name (net/core/net-procfs.c, `dev_seq_printf_stats`), with the sums that
/// the kernel makes there, which are those of node_exporter's names too.
const COLUMNS: [(&str, &str); 16] = [
    ("node_network_receive_bytes_total", "Bytes received by the interface."),
    ("node_network_receive_packets_total", "Packets received by the interface."),
    ("node_network_receive_errs_total", "Packets received in error."),
    ("node_network_receive_drop_total", "Packets received and dropped, missed ones among them."),
    ("node_network_receive_fifo_total", "Packets lost to a full receive queue of the hardware."),
    ("node_network_receive_frame_total", "Packets received with a wrong length, checksum or alignment."),
    ("node_network_receive_compressed_total", "Compressed packets received."),
    ("node_network_receive_multicast_total", "Multicast packets received."),
    ("node_network_transmit_bytes_total", "Bytes sent by the interface."),
    ("node_network_transmit_packets_total", "Packets sent by the interface."),
    ("node_network_transmit_errs_total", "Packets that could not be sent."),
    ("node_network_transmit_drop_total", "Packets dropped before they were sent."),
    ("node_network_transmit_fifo_total", "Packets lost to an empty transmit queue of the hardware."),
    ("node_network_transmit_colls_total", "Collisions."),
    ("node_network_transmit_carrier_total", "Packets lost to a carrier, heartbeat or window error."),
    ("node_network_transmit_compressed_total", "Compressed packets sent."),
];

impl Collector for Netdev {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let (path, text) = netfile::read(&mut self.file, roots, "dev")?;
        let families = COLUMNS.map(|(name, help)| out.family(name, Counter, help));
        let mut bad = None;
        // Two lines of headings.
        for (i, line) in text.lines().enumerate().skip(2) {
            let Some((name, values)) = parse_line(line) else {
                bad = bad.or(Some(CollectError::line(&path, i, line)));
                continue;
            };
            if self.filter.ignores(name) {
                continue;
            }
            for (family, value) in families.iter().zip(values) {
                out.push(*family, &[("device", name)], value as f64);
            }
            let path = roots.sys.join("class/net").join(name).join("statistics/rx_nohandler");
            if let Some(value) = self.small.number::<u64>(&path) {
                let help = "Packets received that no protocol wanted.";
                let family = out.family("node_network_receive_nohandler_total", Counter, help);
                out.push(family, &[("device", name)], value as f64);
            }
        }
        bad.map_or(Ok(()), Err)
    }
}

/// `  eth0:123 4 ...`: old kernels leave no space behind the colon, and an alias (`eth0:1`) has one in its name.
fn parse_line(line: &str) -> Option<(&str, [u64; COLUMNS.len()])> {
    let (name, rest) = line.rsplit_once(':')?;
    let mut values = [0; COLUMNS.len()];
    let mut fields = rest.split_ascii_whitespace();
    for value in &mut values {
        *value = fields.next()?.parse().ok()?;
    }
    Some((name.trim(), values))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: lines of new and old kernels, an alias, a line cut short.
    /// Guarantees: name and sixteen numbers, or nothing.
    #[test]
    fn lines() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        for (line, name) in [
            (format!("    lo: {tail}"), "lo"),
            (format!("eth0:{tail}"), "eth0"),
            (format!("eth0:1: {tail}"), "eth0:1"),
        ] {
            let (found, values) = parse_line(&line).unwrap();
            assert_eq!((found, values[0], values[15]), (name, 1, 16));
        }
        assert_eq!(parse_line("lo: 1 2 3"), None);
        assert_eq!(parse_line("lo"), None);
        assert_eq!(parse_line(&format!("lo: -{tail}")), None);
    }

    proptest! {
        /// Scenario: any line.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(line in "\\PC{0,12}:?( ?[0-9]{1,21}){0,18}") {
            let _any = parse_line(&line);
        }
    }
}
