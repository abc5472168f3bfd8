//! `replace`: what an expression's groups match becomes another text: for passwords, addresses, numbers of cards.

use std::borrow::Cow;
use std::sync::Arc;

use regex::Regex;
use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Value, Verdict};
use super::gotmpl::Template;
use super::option::{self, Built, Site, StageError};
use super::template;

/// Options of the stage `replace`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Its groups are replaced, everywhere. The named ones become values, too.
    expression: String,
    /// The value to change; the line where left out.
    #[serde(default)]
    source: Option<Arc<str>>,
    /// What stands there instead: a template, with `.Value` for what was there.
    #[serde(default)]
    replace: String,
}

/// Bytes of a text at most. The rest of one that grows beyond it is cut off, not left as it was: it may be a secret.
const MOST_BYTES: usize = 4 << 20;

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let Config { expression, source, replace } = option::section(section)?;
    let regex = option::pattern("expression", &expression)?;
    if regex.captures_len() < 2 {
        return Err(StageError::Wrong(
            "expression: it has no group, such as password=(\\S+), and only these are replaced",
        ));
    }
    let template = template::parse("replace", replace)?;
    let names: Vec<Option<Arc<str>>> = regex.capture_names().map(|name| name.map(Arc::from)).collect();
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        let made = entry.source(source.as_deref()).and_then(|text| {
            let fields = |name: &str| Some(entry.extracted.text(name).unwrap_or_default());
            replaced(&regex, &template, &text, &fields)
        });
        let Some((text, groups)) = made else { return Verdict::Keep };
        match &source {
            Some(source) => entry.extracted.set(source, Value::Text(text)),
            None => entry.line = text,
        }
        for (name, group) in names.iter().zip(groups) {
            if let (Some(name), Some(value)) = (name, group) {
                entry.extracted.set(name, Value::Text(value));
            }
        }
        Verdict::Keep
    })))
}

/// The text, and what the groups of the first match became; none where there is no match.
fn replaced<'a>(
    regex: &Regex,
    template: &Template,
    text: &str,
    fields: &dyn Fn(&str) -> Option<Cow<'a, str>>,
) -> Option<(String, Vec<Option<String>>)> {
    let (mut out, mut done, mut first) = (String::new(), 0, None);
    for captures in regex.captures_iter(text) {
        let mut groups = vec![None; captures.len()];
        for (number, group) in captures.iter().enumerate().skip(1) {
            let Some(group) = group else { continue };
            let value = group.as_str();
            let made = template.run(&|name| match name {
                "Value" => Some(Cow::Borrowed(value)),
                _ => fields(name),
            })?;
            // What lies within another group went with it.
            if group.start() >= done {
                out.push_str(&text[done..group.start()]);
                out.push_str(&made);
                done = group.end();
            }
            groups[number] = Some(made);
        }
        first.get_or_insert(groups);
        if out.len() > MOST_BYTES {
            return first.map(|groups| (out, groups));
        }
    }
    out.push_str(&text[done..]);
    first.map(|groups| (out, groups))
}
