//! `pack`: the line and some values go together into a JSON object, which Loki's `unpack` takes apart.
//!
//! ```json
//! {"pod":"shop-1","_entry":"the line"}
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::option::{self, Built, Site};

/// Options of the stage `pack`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Values and labels that go along; of the labels the line then has no more.
    labels: BTreeSet<Arc<str>>,
    /// The line gets the time at which it is packed, since lines of several streams become one.
    #[serde(default = "yes")]
    ingest_timestamp: bool,
}

fn yes() -> bool {
    true
}

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let Config { labels, ingest_timestamp } = option::section(section)?;
    let mut last_ns = 0;
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        let mut packed = serde_json::Map::new();
        for name in &labels {
            if let Some(value) = entry.extracted.text(name) {
                packed.insert(name.to_string(), Json::String(value.into_owned()));
            }
        }
        entry.relabel(|pairs| {
            for (name, value) in pairs.extract_if(.., |(name, _)| labels.contains(name)) {
                packed.insert(name.to_string(), Json::String(value.to_string()));
            }
        });
        packed.insert("_entry".to_owned(), Json::String(std::mem::take(&mut entry.line)));
        entry.line = Json::Object(packed).to_string();
        if ingest_timestamp {
            last_ns = ao_common::clock::now_ns().max(last_ns + 1);
            entry.at_ns = last_ns;
        }
        Verdict::Keep
    })))
}
