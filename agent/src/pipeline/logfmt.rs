//! `logfmt`: pairs such as `level=info msg="all is well"` become values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Value, Verdict};
use super::option::{self, Built, Site, StageError};

/// Options of the stage `logfmt`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Values and the keys that they come from; the same name where nothing is said.
    mapping: BTreeMap<Arc<str>, Option<String>>,
    /// The value to read; the line where left out.
    #[serde(default)]
    source: Option<String>,
}

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let Config { mapping, source } = option::section(section)?;
    if mapping.is_empty() {
        return Err(StageError::Wrong("mapping: name at least one value"));
    }
    let mut wanted: BTreeMap<String, Vec<Arc<str>>> = BTreeMap::new();
    for (name, key) in mapping {
        let key = key.filter(|key| !key.is_empty()).unwrap_or_else(|| name.to_string());
        wanted.entry(key).or_default().push(name);
    }
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        let mut found = Vec::new();
        if let Some(text) = entry.source(source.as_deref()) {
            for (key, value) in Pairs(&text) {
                let names = wanted.get(key).into_iter().flatten();
                found.extend(names.map(|name| (name, Value::Text(value.clone().into_owned()))));
            }
        }
        for (name, value) in found {
            entry.extracted.set(name, value);
        }
        Verdict::Keep
    })))
}

/// The pairs of a text, up to where it is no logfmt. A key alone has an empty value.
struct Pairs<'a>(&'a str);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        let is_space = |c: char| c <= ' ';
        let text = self.0.trim_start_matches(is_space);
        let end = text.find(|c: char| c <= ' ' || c == '=' || c == '"').unwrap_or(text.len());
        let (key, rest) = text.split_at(end);
        if key.is_empty() || rest.starts_with('"') {
            return None;
        }
        let Some(rest) = rest.strip_prefix('=') else {
            self.0 = rest;
            return Some((key, Cow::Borrowed("")));
        };
        let (value, rest) = match rest.starts_with('"') {
            true => quoted(rest)?,
            false => {
                let (value, rest) = rest.split_at(rest.find(is_space).unwrap_or(rest.len()));
                (Cow::Borrowed(value), rest)
            }
        };
        self.0 = rest;
        Some((key, value))
    }
}

/// A text in quotes, with JSON's escapes, and what follows it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    let end = text.bytes().enumerate().skip(1).find_map(|(at, b)| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends.then_some(at)
    })?;
    let (inside, rest) = (&text[1..end], &text[end + 1..]);
    if !inside.contains('\\') {
        return Some((Cow::Borrowed(inside), rest));
    }
    // Others than JSON's stay as they are.
    let plain = serde_json::from_str::<String>(&text[..=end]).unwrap_or_else(|_| inside.to_owned());
    Some((Cow::Owned(plain), rest))
}
