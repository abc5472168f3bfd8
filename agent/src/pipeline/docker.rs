//! `docker`: reads the JSON that Docker writes, `{"log": ..., "stream": ..., "time": ...}`: time, stream, the text;
//! pieces of a long line are joined. Lines of pods were read already, and stay.

use std::collections::HashMap;

use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::api::{Entry, Value};
use super::layout::rfc3339;
use super::option::{self, Built, Site};
use super::pieces::Pieces;

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let _options: Config = option::section(section)?;
    Ok(Box::new(Pieces { read, open: HashMap::new() }))
}

/// The stage `docker` has no options.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {}

/// A line as Docker writes it.
#[derive(Deserialize)]
struct Record {
    log: String,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    time: String,
}

/// Reads one line into its entry; whether it goes on in the next one, none where it is of another form.
fn read(entry: &mut Entry) -> Option<bool> {
    let Record { mut log, stream, time } = serde_json::from_str(&entry.line).ok()?;
    let goes_on = !log.ends_with('\n');
    log.truncate(log.trim_end_matches(['\n', '\r']).len());
    entry.at_ns = rfc3339(&time).unwrap_or(entry.at_ns);
    entry.extracted.set(&"timestamp".into(), Value::Text(time));
    entry.extracted.set(&"stream".into(), Value::Text(stream.clone()));
    entry.relabel(|labels| labels.push(("stream".into(), stream.into())));
    entry.line = log;
    Some(goes_on)
}
