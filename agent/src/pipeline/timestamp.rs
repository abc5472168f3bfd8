//! `timestamp`: a value is the line's time.

use std::collections::HashMap;

use ao_common::clock;
use ao_proto::model::Labels;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::layout::Layout;
use super::option::{self, Built, Site, StageError};

/// Options of the stage `timestamp`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Name of the value.
    source: String,
    /// `RFC3339Nano`, `Unix`, `UnixMs` and so on, or a layout as Go has them.
    format: String,
    /// Tried one after the other where that does not fit.
    #[serde(default)]
    fallback_formats: Vec<String>,
    /// Where times without an offset were read off a clock, such as `Europe/Berlin`.
    #[serde(default)]
    location: Option<String>,
    /// What becomes of a line without a time.
    #[serde(default)]
    action_on_failure: OnFailure,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnFailure {
    /// The time of the line before, of its stream, and a nanosecond.
    #[default]
    Fudge,
    /// It keeps the time at which it was read.
    Skip,
}

/// Streams whose last times are kept.
const STREAMS: usize = 10_000;

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let config: Config = option::section(section)?;
    let zone = match &config.location {
        None => TimeZone::UTC,
        Some(name) => TimeZone::get(name).map_err(|_| StageError::Option {
            option: "location",
            value: name.clone(),
            why: "this machine's /usr/share/zoneinfo does not have it".to_owned(),
        })?,
    };
    let mut layouts = Vec::new();
    for format in std::iter::once(config.format).chain(config.fallback_formats) {
        let layout = Layout::new(&format);
        if !layout.says_something() {
            let why = "neither a name such as RFC3339 nor a layout such as 2006-01-02 15:04:05".to_owned();
            return Err(StageError::Option { option: "format", value: format, why });
        }
        layouts.push(layout);
    }
    let (source, on_failure) = (config.source, config.action_on_failure);
    let mut last = HashMap::<Labels, i64>::new();
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        let now = Timestamp::from_nanosecond(clock::now_ns().into()).unwrap_or_default();
        let read = |text: &str| layouts.iter().find_map(|layout| layout.read(text, &zone, now));
        let found = entry.extracted.text(&source).and_then(|text| read(&text));
        if on_failure == OnFailure::Skip {
            entry.at_ns = found.unwrap_or(entry.at_ns);
            return Verdict::Keep;
        }
        let known = last.get_mut(&entry.labels);
        let Some(at_ns) = found.or_else(|| Some(known.as_deref()?.saturating_add(1))) else {
            return Verdict::Keep;
        };
        entry.at_ns = at_ns;
        match known {
            Some(known) => *known = at_ns,
            None => {
                if last.len() >= STREAMS {
                    last.clear();
                }
                last.insert(entry.labels.clone(), at_ns);
            }
        }
        Verdict::Keep
    })))
}
