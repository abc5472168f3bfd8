//! Which node a label set names.

use ao_proto::model::Labels;

/// The label `node` of series, or `node_name`, which is Promtail's for streams.
pub(super) fn node(labels: &Labels) -> Option<&str> {
    labels.get("node").or_else(|| labels.get("node_name"))
}
