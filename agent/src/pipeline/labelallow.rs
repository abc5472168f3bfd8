//! `labelallow`: the only labels that lines keep.

use std::collections::BTreeSet;

use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::option::{self, Built, Site};

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let names: BTreeSet<String> = option::section(section)?;
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        if entry.labels.iter().any(|(name, _)| !names.contains(name)) {
            entry.relabel(|pairs| pairs.retain(|(name, _)| names.contains(&**name)));
        }
        Verdict::Keep
    })))
}
