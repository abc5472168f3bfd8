//! `output`: a value becomes the line.

use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::option::{self, Built, Site};

/// Options of the stage `output`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Name of the value. Where it is not there, the line stays.
    source: String,
}

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let Config { source } = option::section(section)?;
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        if let Some(text) = entry.extracted.text(&source) {
            entry.line = text.into_owned();
        }
        Verdict::Keep
    })))
}
