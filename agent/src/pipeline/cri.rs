//! `cri`: reads the form that container runtimes write, in files that the log source takes for plain ones: time,
//! stream, the text; pieces are joined. Lines of pods were read so already, and stay.

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

/// Options of the stage `cri`. What is joined is bounded here for all streams together, and in time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default, rename = "max_partial_lines")]
    _max_partial_lines: Option<u64>,
    #[serde(default, rename = "max_partial_line_size")]
    _max_partial_line_size: Option<Yaml>,
    #[serde(default, rename = "max_partial_line_size_truncate")]
    _max_partial_line_size_truncate: Option<bool>,
}

/// Reads one line into its entry; whether it goes on in the next one, none where it is of another form.
fn read(entry: &mut Entry) -> Option<bool> {
    let (time, rest) = entry.line.split_once(' ')?;
    let (stream, rest) = rest.split_once(' ')?;
    let (tags, text) = rest.split_once(' ').unwrap_or((rest, ""));
    if !matches!(stream, "stdout" | "stderr") || tags.is_empty() {
        return None;
    }
    let goes_on = tags.split(':').next() == Some("P");
    let (at_ns, stream, text) = (rfc3339(time), stream.to_owned(), text.to_owned());
    entry.at_ns = at_ns.unwrap_or(entry.at_ns);
    entry.extracted.set(&"stream".into(), Value::Text(stream.clone()));
    entry.relabel(|labels| labels.push(("stream".into(), stream.into())));
    entry.line = text;
    Some(goes_on)
}
