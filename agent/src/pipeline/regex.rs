//! `regex`: the named groups of an expression become values.

use std::sync::Arc;

use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Value, Verdict};
use super::option::{self, Built, Site, StageError};

/// Options of the stage `regex`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// With at least one named group, `(?P<name>...)`.
    expression: String,
    /// The value to read; the line where left out.
    #[serde(default)]
    source: Option<String>,
    /// The groups become labels, too.
    #[serde(default)]
    labels_from_groups: bool,
}

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let Config { expression, source, labels_from_groups } = option::section(section)?;
    let regex = option::pattern("expression", &expression)?;
    let groups: Vec<(usize, Arc<str>)> = regex
        .capture_names()
        .enumerate()
        .filter_map(|(number, name)| Some((number, Arc::from(name?))))
        .collect();
    if groups.is_empty() {
        return Err(StageError::Wrong("expression: it has no named group, such as (?P<level>\\w+)"));
    }
    let mut places = regex.capture_locations();
    let mut found: Vec<(Arc<str>, String)> = Vec::new();
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        if let Some(text) = entry.source(source.as_deref())
            && regex.captures_read(&mut places, &text).is_some()
        {
            // A group that took no part in the match is an empty text, as in Go.
            let value = |number| places.get(number).map_or("", |(from, to)| &text[from..to]).to_owned();
            found.extend(groups.iter().map(|(number, name)| (Arc::clone(name), value(*number))));
        }
        if labels_from_groups && !found.is_empty() {
            let pairs = found.iter().map(|(name, value)| (Arc::clone(name), Arc::from(&**value)));
            entry.relabel(|labels| labels.extend(pairs));
        }
        for (name, value) in found.drain(..) {
            entry.extracted.set(&name, Value::Text(value));
        }
        Verdict::Keep
    })))
}
