//! Sockets and their memory by protocol, from /proc/net/sockstat and sockstat6.

use ao_proto::model::MetricType::Gauge;
use rustix::param::page_size;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::netfile;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `sockstat` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Sockstat::default()))
}

#[derive(Default)]
struct Sockstat {
    v4: TextFile,
    v6: TextFile,
    name: String,
}

/// What a line may tell of its protocol (net/ipv4/proc.c, `sockstat_seq_show`; net/ipv6/proc.c, `sockstat6_seq_show`).
const KEYS: [(&str, &str); 6] = [
    ("inuse", "Sockets of this protocol in use."),
    ("orphan", "Sockets that no process holds any more."),
    ("tw", "Sockets in TIME_WAIT."),
    ("alloc", "Sockets allocated, those that are not yet or no more in use among them."),
    ("mem", "Memory of the sockets' buffers, in pages."),
    ("memory", "Memory of fragments that wait for the rest of their packets, in bytes."),
];

impl Collector for Sockstat {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        // A kernel without IPv4 or IPv6 lacks that file.
        for (file, name) in [(&mut self.v4, "sockstat"), (&mut self.v6, "sockstat6")] {
            let (path, text) = match netfile::read(file, roots, name) {
                Ok(found) => found,
                Err(why) if why.is_absent() => continue,
                Err(why) => return Err(why),
            };
            for (i, line) in text.lines().enumerate() {
                emit_line(line, &mut self.name, out).ok_or_else(|| CollectError::line(&path, i, line))?;
            }
        }
        Ok(())
    }
}

/// `TCP: inuse 26 orphan 0 tw 0 alloc 29 mem 0`. `None` where the line is no protocol with pairs.
fn emit_line(line: &str, name: &mut String, out: &mut MetricSet) -> Option<()> {
    let (protocol, pairs) = line.split_once(':')?;
    if !protocol.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let mut emit = |key: &str, help: &str, value: f64| {
        name.clear();
        for part in ["node_sockstat_", protocol, "_", key] {
            name.push_str(part);
        }
        out.one(name, Gauge, help, value);
    };
    let mut fields = pairs.split_ascii_whitespace();
    while let Some(key) = fields.next() {
        let value = fields.next()?.parse::<i64>().ok()? as f64;
        if let Some((_, help)) = KEYS.iter().find(|(known, _)| *known == key) {
            emit(key, help, value);
        } else if (protocol, key) == ("sockets", "used") {
            emit(key, "Sockets of all protocols in use.", value);
        }
        if key == "mem" {
            emit("mem_bytes", "Memory of the sockets' buffers.", value * page_size() as f64);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: lines with known and unknown keys, and broken ones.
    /// Guarantees: pages in bytes too; unknown keys are passed over; a broken line is told.
    #[test]
    fn lines() {
        let mut out = MetricSet::new("collector", "node-exporter", 0);
        for (line, good) in [
            ("sockets: used 1602", true),
            ("TCP: inuse 35 tw 4 alloc 59 mem 2 new 7", true),
            ("FRAG6: inuse 0 memory 12", true),
            ("TCP: inuse", false),
            ("TCP: inuse x", false),
            ("UDP inuse 1", false),
            ("a b: inuse 1", false),
        ] {
            assert_eq!(emit_line(line, &mut String::new(), &mut out).is_some(), good, "{line}");
        }
        let text = out.exposition();
        let bytes = 2 * page_size();
        for sample in ["sockets_used 1602", "TCP_tw 4", &format!("TCP_mem_bytes {bytes}"), "FRAG6_memory 12"]
        {
            assert!(text.contains(&format!("\nnode_sockstat_{sample}\n")), "{sample} in {text}");
        }
        assert!(!text.contains("_new"));
    }
}
