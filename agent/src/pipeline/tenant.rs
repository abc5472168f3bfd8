//! `tenant`: refused, with the way that there is instead.

use serde_yaml_ng::Value as Yaml;

use super::option::{Built, Site, StageError};

/// See the table in `pipeline.rs`.
///
/// # Errors
/// Always: a node's lines go to the tenant that the aggregator's sinks have.
pub(super) fn build(_section: Yaml, _site: &Site) -> Built {
    Err(StageError::Wrong(
        "an agent has no tenants; the aggregator's loki sinks set theirs, so make the value a label here, and a sink for each tenant there",
    ))
}
