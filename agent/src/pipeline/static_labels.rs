//! `static_labels`: labels with given values.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::option::{self, Built, Site, StageError, Text};

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let wanted: BTreeMap<String, Text> = option::section(section)?;
    if wanted.is_empty() {
        return Err(StageError::Wrong("name at least one label, such as `team: shop`"));
    }
    let pair = |(name, Text(value)): (String, Text)| Ok((option::label("label", &name)?, Arc::from(value)));
    let pairs: Vec<(Arc<str>, Arc<str>)> = wanted.into_iter().map(pair).collect::<Result<_, StageError>>()?;
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        entry.relabel(|all| all.extend_from_slice(&pairs));
        Verdict::Keep
    })))
}
