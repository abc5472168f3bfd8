//! Whether SELinux is on and enforces, from its file system and its configuration.

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `selinux` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Selinux::default()))
}

#[derive(Default)]
struct Selinux {
    file: TextFile,
}

/// The modes' numbers, as libselinux and node_exporter give them.
const DISABLED: f64 = -1.0;
const PERMISSIVE: f64 = 0.0;
const ENFORCING: f64 = 1.0;

impl Collector for Selinux {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        // There is no such file where SELinux is off.
        let current = self.file.number::<u8>(&roots.sys.join("fs/selinux/enforce"));
        let enabled = f64::from(u8::from(current.is_some()));
        out.one("node_selinux_enabled", Gauge, "Whether SELinux is on.", enabled);
        let Some(current) = current else { return Ok(()) };
        let config = self.file.text(&roots.root.join("etc/selinux/config")).map_or(DISABLED, parse_mode);
        let help = "What the configuration wants: 1 enforcing, 0 permissive, -1 disabled.";
        out.one("node_selinux_config_mode", Gauge, help, config);
        let help = "How SELinux works now: 1 enforcing, 0 permissive.";
        out.one("node_selinux_current_mode", Gauge, help, f64::from(current));
        Ok(())
    }
}

/// `SELINUX=enforcing` in selinux_config(5); the last one holds.
fn parse_mode(config: &str) -> f64 {
    let mut values = config.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "SELINUX").then(|| value.trim())
    });
    match values.next_back() {
        Some("enforcing") => ENFORCING,
        Some("permissive") => PERMISSIVE,
        _ => DISABLED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: configurations with comments, other keys, doubles and nonsense.
    /// Guarantees: the mode that holds.
    #[test]
    fn configurations() {
        for (text, mode) in [
            ("# SELINUX=permissive\nSELINUX=enforcing\nSELINUXTYPE=targeted\n", ENFORCING),
            ("SELINUX=enforcing\n SELINUX = permissive ", PERMISSIVE),
            ("SELINUX=disabled", DISABLED),
            ("SELINUX=maybe", DISABLED),
            ("", DISABLED),
        ] {
            assert_eq!(parse_mode(text), mode, "{text}");
        }
    }
}
