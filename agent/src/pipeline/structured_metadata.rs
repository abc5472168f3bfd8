//! `structured_metadata`: values become pairs beside the line, which are searched and make no streams. What was a label
//! until then is none any more.

use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::labels;
use super::option::{Built, Site};

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let pairs = labels::wanted(section)?;
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        for (name, from) in &pairs {
            let found = entry.extracted.text(from).map(std::borrow::Cow::into_owned);
            if let Some(value) = found.filter(|value| !value.is_empty()) {
                entry.describe(name, &value);
            }
            if entry.labels.get(from).is_some() {
                entry.relabel(|labels| labels.retain(|(label, _)| label != from));
            }
        }
        Verdict::Keep
    })))
}
