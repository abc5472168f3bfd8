//! `decolorize`: takes the terminal's colours out of the line.

use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::option::{self, Built, Site, StageError};

/// Control sequences that set how text looks (ECMA-48, SGR), and the others of their form.
const SEQUENCE: &str = r"\x1b\[[0-9;:?]*[ -/]*[@-~]";

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, _site: &Site) -> Built {
    if !matches!(&section, Yaml::Null) && section.as_mapping().is_none_or(|map| !map.is_empty()) {
        return Err(StageError::Wrong("it has no options"));
    }
    let sequence = option::pattern("decolorize", SEQUENCE)?;
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        if entry.line.contains('\x1b') {
            entry.line = sequence.replace_all(&entry.line, "").into_owned();
        }
        Verdict::Keep
    })))
}
