//! `json`: parts of a JSON object become values.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Value, Verdict};
use super::jmespath::Path;
use super::option::{self, Built, Site, StageError};

/// Options of the stage `json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Values and where they lie (see `jmespath`); at their own names where nothing is said.
    expressions: BTreeMap<Arc<str>, Option<String>>,
    /// The value to read; the line where left out.
    #[serde(default)]
    source: Option<String>,
    /// Leaves lines out that are no JSON object.
    #[serde(default)]
    drop_malformed: bool,
}

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, site: &Site) -> Built {
    let Config { expressions, source, drop_malformed } = option::section(section)?;
    if expressions.is_empty() {
        return Err(StageError::Wrong("expressions: name at least one value"));
    }
    let mut paths = Vec::new();
    for (name, path) in expressions {
        let path = path.as_deref().filter(|path| !path.is_empty()).unwrap_or(&name);
        paths.push((Arc::clone(&name), Path::parse(path)?));
    }
    let reason = if drop_malformed { Some(site.reason(None, "json_stage")?) } else { None };
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        let Some(text) = entry.source(source.as_deref()) else { return Verdict::Keep };
        match serde_json::from_str::<Json>(&text) {
            Ok(tree @ Json::Object(_)) => {
                for (name, path) in &paths {
                    entry.extracted.set(name, path.find(&tree).map_or(Value::Null, value));
                }
                Verdict::Keep
            }
            _ => reason.clone().map_or(Verdict::Keep, Verdict::Drop),
        }
    })))
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(is) => Value::Bool(*is),
        Json::String(text) => Value::Text(text.clone()),
        // A number with more digits than a float has, an id perhaps, stays what it is.
        Json::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() || float.abs() < 9e15 => Value::Number(float),
            _ => Value::Text(number.to_string()),
        },
        Json::Array(_) | Json::Object(_) => Value::Text(json.to_string()),
    }
}
