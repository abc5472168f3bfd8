//! Counters of IP, ICMP, TCP and UDP, from /proc/net/netstat, snmp and snmp6.

use ao_proto::model::MetricType::Unknown;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::netfile;
use super::picker::Picker;
use crate::context::Roots;
use crate::event::MetricSet;

/// What node_exporter gives by default.
const DEFAULT_FIELDS: &str = concat!(
    r"^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|",
    r"TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|",
    r"Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|",
    r"Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$",
);

/// Options of the collector `netstat`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which fields to give (a regular expression), named as in `Tcp_InSegs`.
    pub fields: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { fields: DEFAULT_FIELDS.to_owned() }
    }
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let config: Config = api::section(section)?;
    let picker = || Picker::new("fields", &config.fields, ("node_netstat_", "The kernel's network counter "));
    Ok(Box::new(Netstat {
        tables: [
            Table { name: "netstat", picker: picker()?, file: TextFile::default() },
            Table { name: "snmp", picker: picker()?, file: TextFile::default() },
        ],
        list: Table { name: "snmp6", picker: picker()?, file: TextFile::default() },
    }))
}

struct Netstat {
    tables: [Table; 2],
    list: Table,
}

struct Table {
    name: &'static str,
    picker: Picker,
    file: TextFile,
}

impl Collector for Netstat {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        for Table { name, picker, file } in &mut self.tables {
            let (path, text) = netfile::read(file, roots, name)?;
            if let Err((i, line)) = emit_table(text, picker, out) {
                return Err(CollectError::line(&path, i, line));
            }
        }
        let Table { name, picker, file } = &mut self.list;
        match netfile::read(file, roots, name) {
            Ok((path, text)) => {
                emit_list(text, picker, out).map_err(|(i, line)| CollectError::line(&path, i, line))
            }
            // Switched off (ipv6.disable=1).
            Err(why) if why.is_absent() => Ok(()),
            Err(why) => Err(why),
        }
    }
}

/// Pairs of lines, one of names and one of values, both with the protocol before them (net/ipv4/proc.c). The error is
/// a line with its number from 0.
fn emit_table<'a>(text: &'a str, picker: &mut Picker, out: &mut MetricSet) -> Result<(), (usize, &'a str)> {
    let (mut lines, mut place) = (text.lines().enumerate(), 0);
    while let Some((i, names)) = lines.next() {
        let (j, values) = lines.next().ok_or((i, names))?;
        let (protocol, names) = names.split_once(':').ok_or((i, names))?;
        let bad = (j, values);
        let mut values = values.strip_prefix(protocol).ok_or(bad)?.split_ascii_whitespace().skip(1);
        for name in names.split_ascii_whitespace() {
            let value = values.next().ok_or(bad)?;
            if let Some((metric, help)) = picker.metric(place, protocol, name) {
                out.one(metric, Unknown, help, number(value).ok_or(bad)?);
            }
            place += 1;
        }
        if values.next().is_some() {
            return Err(bad);
        }
    }
    Ok(())
}

/// `Ip6InReceives    12`: the protocol is what ends with the first 6; other lines are not ours.
fn emit_list<'a>(text: &'a str, picker: &mut Picker, out: &mut MetricSet) -> Result<(), (usize, &'a str)> {
    for (i, line) in text.lines().enumerate() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(name), Some(value)) = (fields.next(), fields.next()) else { continue };
        let Some((protocol, name)) = name.find('6').map(|six| name.split_at(six + 1)) else { continue };
        if let Some((metric, help)) = picker.metric(i, protocol, name) {
            out.one(metric, Unknown, help, number(value).ok_or((i, line))?);
        }
    }
    Ok(())
}

/// Some are signed (`Tcp_MaxConn` is -1).
fn number(text: &str) -> Option<f64> {
    text.parse::<u64>().map(|n| n as f64).or_else(|_| text.parse::<i64>().map(|n| n as f64)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn picker() -> Picker {
        Picker::new("fields", "^(Tcp_.*|Udp6_.*)$", ("node_netstat_", "")).unwrap()
    }

    fn set() -> MetricSet {
        MetricSet::new("collector", "node-exporter", 0)
    }

    /// Scenario: a table whose columns change between two readings, and broken ones.
    /// Guarantees: each value under its own name; the line that is broken is told.
    #[test]
    fn tables() {
        let mut picker = picker();
        for (text, sample) in [
            ("Tcp: MaxConn InSegs\nTcp: -1 7\nUdp: X\nUdp: y\n", "node_netstat_Tcp_InSegs 7\n"),
            ("Tcp: New MaxConn InSegs\nTcp: 1 -1 8\n", "node_netstat_Tcp_MaxConn -1\n"),
        ] {
            let mut out = set();
            assert_eq!(emit_table(text, &mut picker, &mut out), Ok(()));
            assert!(out.exposition().contains(sample));
        }
        for (text, line) in [
            ("Tcp: A", 0),
            ("Tcp A\nTcp: 1", 0),
            ("Tcp: A\nUdp: 1", 1),
            ("Tcp: A B\nTcp: 1", 1),
            ("Tcp: A\nTcp: 1 2", 1),
            ("Udp: A\nUdp: 1\nTcp: A\nTcp: x", 3),
        ] {
            assert_eq!(emit_table(text, &mut picker, &mut set()).unwrap_err().0, line, "{text}");
        }
    }

    /// Scenario: the list of IPv6, with lines that are not ours.
    /// Guarantees: the protocol is parted from the name; a wanted value that is no number is told.
    #[test]
    fn lists() {
        let mut out = set();
        let text = "Ip6InReceives \t 7\nUdp6InErrors  \t 3\nUdpLite6InErrors 9\nx 1\n\nUdp6OutDatagrams y\n";
        assert_eq!(emit_list(text, &mut picker(), &mut out), Err((5, "Udp6OutDatagrams y")));
        assert_eq!(out.samples.len(), 1);
        assert!(out.exposition().contains("node_netstat_Udp6_InErrors 3\n"));
    }

    proptest! {
        /// Scenario: any text.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(text in "((Tcp|Udp6)?:?( ?[A-Za-z0-9-]{0,5}){0,4}\n|\\PC{0,20}\n?){0,6}") {
            let _any = emit_table(&text, &mut picker(), &mut set());
            let _any = emit_list(&text, &mut picker(), &mut set());
        }
    }
}
