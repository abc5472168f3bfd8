//! `trace_id`: the trace that a line belongs to, and the span, as structured metadata, so that one finds it from the
//! trace. Not of Promtail.

use std::sync::Arc;

use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::option::{self, Built, Site};

/// Options of the stage `trace_id`.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    /// The value to look at; the line where left out.
    source: Option<String>,
    /// Name of the metadata.
    target: Arc<str>,
    /// Name of the span's.
    span: Arc<str>,
}

impl Default for Config {
    fn default() -> Self {
        Self { source: None, target: "trace_id".into(), span: "span_id".into() }
    }
}

/// W3C's `traceparent`: version, trace, span, flags.
const PARENT: &str = r"\b00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}\b";
/// Under the common names, of 64 or 128 bits.
const TRACE: &str = r#"(?i)trace[._-]?id\\?"?\s*[=:]\s*\\?"?([0-9a-f]{32}|[0-9a-f]{16}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b"#;
/// See [`TRACE`].
const SPAN: &str = r#"(?i)span[._-]?id\\?"?\s*[=:]\s*\\?"?([0-9a-f]{16})\b"#;
/// A value that is nothing but the id.
const ALONE: &str = r"^(?i:[0-9a-f]{32}|[0-9a-f]{16})$";

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let Config { source, target, span } = option::section(section)?;
    option::label("target", &target)?;
    option::label("span", &span)?;
    let regex = |text| option::pattern("trace_id", text);
    let (parent, trace, span_id, alone) = (regex(PARENT)?, regex(TRACE)?, regex(SPAN)?, regex(ALONE)?);
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        let Some(text) = entry.source(source.as_deref()) else { return Verdict::Keep };
        let one = |regex: &regex::Regex| Some(regex.captures(&text)?.get(1)?.as_str().to_ascii_lowercase());
        let found = match parent.captures(&text) {
            Some(both) => (Some(both[1].to_owned()), Some(both[2].to_owned())),
            None if source.is_some() && alone.is_match(&text) => (Some(text.to_ascii_lowercase()), None),
            None => (one(&trace), one(&span_id)),
        };
        if let (Some(id), of) = found {
            // As OpenTelemetry writes it.
            entry.describe(&target, &id.replace('-', ""));
            if let Some(of) = of {
                entry.describe(&span, &of);
            }
        }
        Verdict::Keep
    })))
}
