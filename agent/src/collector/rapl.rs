//! Energy used by packages, cores and memory, from /sys/class/powercap (Documentation/power/powercap/powercap.rst).

use std::collections::HashMap;
use std::io::ErrorKind;

use ao_proto::model::MetricType::Counter;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::attributes::micro;
use super::file::TextFile;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;

/// Options of the collector `rapl`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether the zone is a label of one metric, `node_rapl_joules_total`, in place of a part of each metric's name.
    pub enable_zone_label: bool,
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    Ok(Box::new(Rapl { config: api::section(section)?, file: TextFile::default() }))
}

struct Rapl {
    config: Config,
    file: TextFile,
}

const NO_DATA: CollectError = CollectError::NoData("energy counter that may be read");

impl Collector for Rapl {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut faults = Faults::default();
        // Zones of the same name count from 0.
        let mut seen = HashMap::new();
        for zone in folder::class(&roots.sys.join("class/powercap"), "energy counter", |_| true)? {
            let Some(name) = self.file.word(&zone.path.join("name")) else { continue };
            let (name, index) = split(name);
            let index = index.unwrap_or_else(|| seen.get(&name).copied().unwrap_or(0));
            seen.insert(name.clone(), index.saturating_add(1));
            let path = zone.path.join("energy_uj");
            let joules = match self.file.text(&path) {
                Ok(text) => text.trim().parse::<u64>().map_err(|_| CollectError::line(&path, 0, text)),
                // Linux 5.10 on: for root alone, since the figures give away what is computed.
                Err(CollectError::Io { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
                    return Err(NO_DATA);
                }
                Err(_) => continue,
            };
            let Some(joules) = faults.note(joules).map(|uj| micro(uj as f64)) else { continue };
            // The host's own path, wherever its /sys is seen from here.
            let path = format!("/sys/class/powercap/{}", zone.name);
            let index = index.to_string();
            let labels = [("index", &*index), ("path", &*path), ("rapl_zone", &*name)];
            if self.config.enable_zone_label {
                let family = out.family("node_rapl_joules_total", Counter, "Energy used by a zone.");
                out.push(family, &labels, joules);
            } else {
                let metric = format!("node_rapl_{}_joules_total", sanitized(&name));
                let family = out.family(&metric, Counter, &format!("Energy used by the zone {name}."));
                out.push(family, &labels[..2], joules);
            }
        }
        faults.end()
    }
}

/// `package-0` is number 0 of `package`; a name without a number, or with more than one part behind a dash, is whole.
fn split(name: &str) -> (String, Option<u64>) {
    match name.split_once('-').map(|(kind, number)| (kind, number.parse())) {
        Some((kind, Ok(number))) => (kind.to_owned(), Some(number)),
        _ => (name.to_owned(), None),
    }
}

/// What a name of a metric may not hold becomes one underscore, with those around it.
fn sanitized(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(odd) = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        out.push_str(rest[..odd].trim_end_matches('_'));
        out.push('_');
        rest = rest[odd..].trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names of zones as Intel's and AMD's drivers give them.
    /// Guarantees: a number behind one dash is the index; the rest makes a name that Prometheus takes.
    #[test]
    fn names() {
        assert_eq!(split("package-1"), ("package".to_owned(), Some(1)));
        assert_eq!(split("dram"), ("dram".to_owned(), None));
        assert_eq!(split("package-0-die-1"), ("package-0-die-1".to_owned(), None));
        assert_eq!(sanitized("package-0-die-1"), "package_0_die_1");
        assert_eq!(sanitized("a_-_-b c"), "a_b_c");
        assert_eq!(sanitized("\u{e9}"), "_");
    }
}
