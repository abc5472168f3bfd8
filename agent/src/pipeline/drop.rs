//! `drop`: leaves lines out that meet all of its conditions.

use ao_common::clock;
use ao_common::units::Span;
use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::option::{self, Built, Site, StageError, Text};

/// Options of the stage `drop`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Values to look at; the line where left out.
    #[serde(default)]
    source: Option<Sources>,
    /// Between several values.
    #[serde(default = "semicolon")]
    separator: String,
    /// Matches the values, or the line.
    #[serde(default)]
    expression: Option<String>,
    /// Equals the values.
    #[serde(default)]
    value: Option<Text>,
    /// Lines whose time lies further back.
    #[serde(default)]
    older_than: Option<Span>,
    /// Lines of more bytes: a number, or one with KB, MB.
    #[serde(default)]
    longer_than: Option<Text>,
    /// The reason in the ledger.
    #[serde(default)]
    drop_counter_reason: Option<String>,
}

/// One name, or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Sources {
    One(String),
    Some(Vec<String>),
}

fn semicolon() -> String {
    ";".to_owned()
}

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, site: &Site) -> Built {
    let config: Config = option::section(section)?;
    let sources = match config.source {
        Some(Sources::One(name)) => vec![name],
        Some(Sources::Some(names)) => names,
        None => Vec::new(),
    };
    let (expression, value) = (config.expression, config.value.map(|Text(value)| value));
    let longer_than = config.longer_than.map(|Text(size)| bytes(&size)).transpose()?;
    if expression.is_some() && value.is_some() {
        return Err(StageError::Wrong("give either expression or value, not both"));
    }
    if value.is_some() && sources.is_empty() {
        return Err(StageError::Wrong("value: it needs a source to compare with"));
    }
    if sources.is_empty() && expression.is_none() && config.older_than.is_none() && longer_than.is_none() {
        return Err(StageError::Wrong("give at least one of source, expression, older_than and longer_than"));
    }
    let regex = expression.map(|expression| option::pattern("expression", &expression)).transpose()?;
    let reason = site.reason(config.drop_counter_reason.as_deref(), "drop_stage")?;
    let (older_than, separator) = (config.older_than, config.separator);
    let matches = move |entry: &Entry| {
        if longer_than.is_some_and(|most| entry.line.len() as u64 <= most) {
            return false;
        }
        if older_than.is_some_and(|age| entry.at_ns >= clock::now_ns().saturating_sub(nanos(age))) {
            return false;
        }
        if sources.is_empty() {
            return regex.as_ref().is_none_or(|regex| regex.is_match(&entry.line));
        }
        if sources.iter().any(|name| !entry.extracted.has(name)) {
            return false;
        }
        let wanted = regex.is_some() || value.is_some();
        !wanted || {
            let texts: Option<Vec<_>> = sources.iter().map(|name| entry.extracted.text(name)).collect();
            texts.map(|texts| texts.join(&*separator)).is_some_and(|text| {
                regex.as_ref().is_none_or(|regex| regex.is_match(&text))
                    && value.as_ref().is_none_or(|value| *value == text)
            })
        }
    };
    Ok(Box::new(Each(
        move |entry: &mut Entry, _| {
            if matches(entry) { Verdict::Drop(reason.clone()) } else { Verdict::Keep }
        },
    )))
}

fn nanos(Span(age): Span) -> i64 {
    i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)
}

/// `8192`, `8kb`, `8KiB`: of 1024 bytes each, as Promtail has it.
fn bytes(text: &str) -> Result<u64, StageError> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(0),
        "k" | "kb" | "kib" => Some(10),
        "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        _ => None,
    };
    let size = scale.and_then(|scale| number.parse::<u64>().ok()?.checked_mul(1 << scale));
    size.ok_or_else(|| StageError::Option {
        option: "longer_than",
        value: text.to_owned(),
        why: "no size such as 8192 or 8KB".to_owned(),
    })
}
