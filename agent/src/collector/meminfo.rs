//! Memory figures: every line of /proc/meminfo. (node_exporter since 1.9 gives only the fields that it knows.)

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `meminfo` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Meminfo::default()))
}

#[derive(Default)]
struct Meminfo {
    file: TextFile,
    name: String,
    help: String,
}

impl Collector for Meminfo {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let path = roots.proc.join("meminfo");
        let mut bad = None;
        for (i, line) in self.file.text(&path)?.lines().enumerate() {
            match parse_line(line, &mut self.name) {
                Some(value) => {
                    self.help.clear();
                    self.help.push_str("The value of ");
                    self.help.push_str(line.split(':').next().unwrap_or_default());
                    self.help.push_str(" in /proc/meminfo.");
                    out.one(&self.name, Gauge, &self.help, value);
                }
                None if line.is_empty() => {}
                None => bad = bad.or(Some(CollectError::line(&path, i, line))),
            }
        }
        bad.map_or(Ok(()), Err)
    }
}

/// `Active(anon):  12 kB` gives `node_memory_Active_anon_bytes` and 12,288; a line without a unit is a plain count.
fn parse_line(line: &str, name: &mut String) -> Option<f64> {
    let (key, rest) = line.split_once(':')?;
    let mut fields = rest.split_ascii_whitespace();
    let value: f64 = fields.next()?.parse::<u64>().ok()? as f64;
    name.clear();
    name.push_str("node_memory_");
    for c in key.trim().chars() {
        match c {
            ')' => {}
            c if c.is_ascii_alphanumeric() => name.push(c),
            _ => name.push('_'),
        }
    }
    match fields.next() {
        None => Some(value),
        Some("kB") => {
            name.push_str("_bytes");
            Some(value * 1024.0)
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: lines with and without unit, with brackets, and broken ones.
    /// Guarantees: node_exporter's names; sizes in bytes; what is broken gives nothing.
    #[test]
    fn lines() {
        for (line, expect) in [
            ("MemTotal:       15912032 kB", Some(("node_memory_MemTotal_bytes", 16_293_920_768.0))),
            ("Active(anon):          2 kB", Some(("node_memory_Active_anon_bytes", 2_048.0))),
            ("HugePages_Total:       3", Some(("node_memory_HugePages_Total", 3.0))),
            ("DirectMap4k:        1024 kB", Some(("node_memory_DirectMap4k_bytes", 1_048_576.0))),
            ("        total:    used:    free:", None),
            ("MemTotal: x kB", None),
            ("MemTotal: 1 MB", None),
            ("MemTotal", None),
        ] {
            let mut name = String::new();
            let value = parse_line(line, &mut name);
            assert_eq!(value.map(|v| (&*name, v)), expect, "{line}");
        }
    }

    proptest! {
        /// Scenario: any line.
        /// Guarantees: no panic, and every name is one that Prometheus takes.
        #[test]
        fn any_line(line in "\\PC{0,20}:? *[0-9]{0,22} ?(kB)?") {
            let mut name = String::new();
            if parse_line(&line, &mut name).is_some() {
                prop_assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
            }
        }
    }
}
