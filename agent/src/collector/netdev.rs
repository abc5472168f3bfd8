//! Network interfaces: bytes, packets and errors from /proc/net/dev.
//!
//! | room | what it holds |
//! |---|---|
//! | `detailed` | the kernel's counters one by one, under names of their own |
//! | `address` | which addresses an interface has |

mod address;
mod detailed;

use ao_proto::model::MetricType::Counter;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::device::Device;
use super::file::TextFile;
use super::filter::Filter;
use super::netfile;
use crate::context::Roots;
use crate::event::MetricSet;

/// Options of the collector `netdev`: all interfaces by default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Interfaces to leave out (a regular expression).
    pub device_exclude: Option<String>,
    /// The only interfaces to read; excludes the option above.
    pub device_include: Option<String>,
    /// Whether `node_network_address_info` tells each interface's addresses. The kernel tells them only to those who
    /// are in the host's network.
    pub address_info: bool,
    /// Whether the interface's alias is a label (`ifalias`) of every counter.
    pub label_ifalias: bool,
    /// Whether errors are given one by one as the kernel counts them, under names that differ: what is
    /// `node_network_receive_frame_total` by default is the sum of four.
    pub enable_detailed_metrics: bool,
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let config: Config = api::section(section)?;
    let exclude = ("device_exclude", config.device_exclude.as_deref());
    let include = ("device_include", config.device_include.as_deref());
    let filter = Filter::new(exclude, include, "")?;
    let (file, small) = (TextFile::default(), TextFile::default());
    Ok(Box::new(Netdev { config, filter, file, small, device: Device::keeping(KEPT), buffer: Vec::new() }))
}

struct Netdev {
    config: Config,
    filter: Filter,
    file: TextFile,
    small: TextFile,
    device: Device,
    buffer: Vec<u8>,
}

/// Files that stay open.
const KEPT: usize = 32;

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
        let detailed = self.config.enable_detailed_metrics;
        let families = (!detailed).then(|| COLUMNS.map(|(name, help)| out.family(name, Counter, help)));
        let mut bad = None;
        self.device.round();
        // Two lines of headings.
        for (i, line) in text.lines().enumerate().skip(2) {
            let Some((name, values)) = parse_line(line) else {
                bad = bad.or(Some(CollectError::line(&path, i, line)));
                continue;
            };
            if self.filter.ignores(name) {
                continue;
            }
            let folder = roots.sys.join("class/net").join(name);
            let mut alias = "";
            if self.config.label_ifalias {
                alias = self.small.word(&folder.join("ifalias")).unwrap_or_default();
            }
            let labels = [("device", name), ("ifalias", alias)];
            let labels = if self.config.label_ifalias { &labels[..] } else { &labels[..1] };
            let Some(families) = &families else {
                detailed::emit(&folder.join("statistics"), labels, &mut self.device, out);
                continue;
            };
            for (family, value) in families.iter().zip(values) {
                out.push(*family, labels, value as f64);
            }
            if self.device.enter(&folder).is_ok()
                && let Some(value) = self.device.unsigned("statistics/rx_nohandler")
            {
                let help = "Packets received that no protocol wanted.";
                let family = out.family("node_network_receive_nohandler_total", Counter, help);
                out.push(family, labels, value as f64);
            }
        }
        if self.config.address_info {
            address::emit(roots, &self.filter, &mut self.buffer, out)?;
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
    use std::fs;

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

    fn page(roots: &Roots, options: &str) -> String {
        let mut netdev = build(Some(serde_yaml_ng::from_str(options).unwrap())).unwrap();
        let mut out = MetricSet::new("collector", "node-exporter", 0);
        netdev.collect(roots, &mut out).unwrap();
        out.exposition()
    }

    /// Scenario: two interfaces of which one has an alias, names that are odd; each option.
    /// Guarantees: the alias is a label of each counter; errors stand alone where they are asked for, and nothing is
    /// under the name of a sum then; a name with quotes and bytes that are no UTF-8 is a label like any other.
    #[test]
    fn options() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots { proc: dir.path().join("proc"), sys: dir.path().join("sys"), root: "/".into() };
        let values = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16";
        let table =
            [b"a\nb\n  eth0: ", values.as_bytes(), b"\n we\xffird\"\\.@0: ", values.as_bytes(), b"\n"]
                .concat();
        fs::create_dir_all(roots.proc.join("net")).unwrap();
        fs::write(roots.proc.join("net/dev"), table).unwrap();
        let eth0 = roots.sys.join("class/net/eth0");
        fs::create_dir_all(eth0.join("statistics")).unwrap();
        for (file, value) in
            [("ifalias", "up link\n"), ("statistics/rx_crc_errors", "3\n"), ("statistics/multicast", "8\n")]
        {
            fs::write(eth0.join(file), value).unwrap();
        }
        let plain = page(&roots, "{}");
        assert!(plain.contains("node_network_receive_frame_total{device=\"eth0\"} 6\n"), "{plain}");
        let odd = "node_network_receive_bytes_total{device=\"we\u{fffd}ird\\\"\\\\.@0\"} 1\n";
        assert!(plain.contains(odd) && !plain.contains("ifalias"), "{plain}");
        let alias = page(&roots, "label_ifalias: true");
        let line = "node_network_receive_frame_total{device=\"eth0\",ifalias=\"up link\"} 6\n";
        assert!(alias.contains(line), "{alias}");
        let detailed = page(&roots, "enable_detailed_metrics: true");
        for line in [
            "node_network_receive_crc_errors_total{device=\"eth0\"} 3\n",
            "node_network_multicast_total{device=\"eth0\"} 8\n",
        ] {
            assert!(detailed.contains(line), "{detailed}");
        }
        assert!(!detailed.contains("receive_frame_total") && !detailed.contains("ird"), "{detailed}");
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
