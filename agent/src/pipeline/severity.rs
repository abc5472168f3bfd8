//! `severity`: how severe a line is, as its structured metadata `detected_level`: trace, debug, info, warn, error or
//! critical. Not of Promtail; Loki's own names.

use std::sync::Arc;

use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::option::{self, Built, Site};
use crate::severity::Level;

/// Options of the stage `severity`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// The value to look at first; those of common names where left out, then the line.
    source: Option<String>,
    /// Name of the metadata.
    target: Arc<str>,
}

impl Default for Config {
    fn default() -> Self {
        Self { source: None, target: "detected_level".into() }
    }
}

/// Values that have it already.
const NAMES: [&str; 6] = ["level", "severity", "lvl", "loglevel", "log_level", "severity_text"];

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let Config { source, target } = option::section(section)?;
    option::label("target", &target)?;
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        let names: &[&str] = if source.is_some() { &[] } else { &NAMES };
        let found = source.as_deref().into_iter().chain(names.iter().copied()).find_map(|name| {
            let text = entry.extracted.text(name)?;
            Level::of_word(text.as_bytes())
        });
        if let Some(level) = found.or_else(|| Level::of_line(&entry.line)) {
            entry.describe(&target, level.name());
        }
        Verdict::Keep
    })))
}
