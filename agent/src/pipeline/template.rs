//! `template`: a value from a text with other values in it (see `gotmpl`), which has `.Value` for the value itself and
//! `.Entry` for the line. A value that becomes empty is none any more.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Value, Verdict};
use super::gotmpl::Template;
use super::option::{self, Built, Site, StageError};

/// Options of the stage `template`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Name of the value.
    source: Arc<str>,
    /// The text.
    template: String,
}

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let Config { source, template } = option::section(section)?;
    let template = parse("template", template)?;
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        let made = template.run(&|name| match name {
            "Value" => entry.extracted.text(&source),
            "Entry" => Some(Cow::Borrowed(&entry.line)),
            _ => entry.extracted.text(name),
        });
        match made {
            Some(text) if text.is_empty() => entry.extracted.remove(&source),
            Some(text) => entry.extracted.set(&source, Value::Text(text)),
            None => {}
        }
        Verdict::Keep
    })))
}

/// # Errors
/// With the option and what is wrong with it.
pub(super) fn parse(option: &'static str, text: String) -> Result<Template, StageError> {
    Template::parse(&text).map_err(|why| StageError::Option { option, value: text, why })
}
