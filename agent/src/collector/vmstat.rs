//! Counters of the memory management, from /proc/vmstat.

use ao_proto::model::MetricType::Unknown;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::picker::Picker;
use crate::context::Roots;
use crate::event::MetricSet;

/// What node_exporter gives by default: out-of-memory kills, pages in and out, swapped, and faults.
const DEFAULT_FIELDS: &str = "^(oom_kill|pgpg|pswp|pg.*fault).*";

/// Options of the collector `vmstat`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which fields to give (a regular expression).
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
    let before = ("node_vmstat_", "The kernel's memory counter ");
    let picker = Picker::new("fields", &config.fields, before)?;
    Ok(Box::new(Vmstat { picker, file: TextFile::default() }))
}

struct Vmstat {
    picker: Picker,
    file: TextFile,
}

impl Collector for Vmstat {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let path = roots.proc.join("vmstat");
        let mut bad = None;
        for (i, line) in self.file.text(&path)?.lines().enumerate() {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            let Some((metric, help)) = self.picker.metric(i, "", name) else { continue };
            match value.trim().parse::<u64>() {
                Ok(value) => out.one(metric, Unknown, help, value as f64),
                Err(_) => bad = bad.or(Some(CollectError::line(&path, i, line))),
            }
        }
        bad.map_or(Ok(()), Err)
    }
}
