//! A line as it is kept.

use std::sync::Arc;

use ao_proto::logs::Pair;
use ao_proto::model::Labels;

use super::level::Level;

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// In order of arrival, from 1, over all nodes.
    pub number: u64,
    /// Nanoseconds.
    pub at_ns: i64,
    /// Its severity, as far as it can be told.
    pub level: Level,
    /// The node that it came from.
    pub node: Arc<str>,
    /// Its stream's labels.
    pub stream: Arc<Labels>,
    /// The line, cut to a length that can be shown.
    pub text: Arc<str>,
    /// Structured metadata of its own.
    pub metadata: Arc<[Pair]>,
    /// That which all lines of its stream have.
    pub shared: Option<Arc<Labels>>,
}
