//! `labels`: values become labels of the stream.
//!
//! ```yaml
//! - labels:
//!     level:          # from the value of the same name
//!     component: logger
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::option::{self, Built, Site, StageError};

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    let pairs = wanted(section)?;
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        let found = pairs
            .iter()
            .filter_map(|(label, from)| Some((Arc::clone(label), Arc::from(&*entry.extracted.text(from)?))));
        let found: Vec<(Arc<str>, Arc<str>)> = found.collect();
        if !found.is_empty() {
            entry.relabel(|pairs| pairs.extend(found));
        }
        Verdict::Keep
    })))
}

/// A label and the value that it comes from.
type Wanted = (Arc<str>, Arc<str>);

/// Labels and the values that they come from; that of the same name where none is given.
pub(super) fn wanted(section: Yaml) -> Result<Vec<Wanted>, StageError> {
    let wanted: BTreeMap<String, Option<Arc<str>>> = option::section(section)?;
    if wanted.is_empty() {
        return Err(StageError::Wrong("name at least one label, such as `level:`"));
    }
    let pair = |(name, from): (String, Option<Arc<str>>)| {
        let name = option::label("label", &name)?;
        let from = from.filter(|from| !from.is_empty()).unwrap_or_else(|| Arc::clone(&name));
        Ok((name, from))
    };
    wanted.into_iter().map(pair).collect()
}
