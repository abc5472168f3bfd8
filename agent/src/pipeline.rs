//! What happens to a log line between enrichment and its frame: the stages of the configuration, under Promtail's names
//! and with their meaning.
//!
//! ```text
//! chunk -> lines as entries -> chain of stages -> order -> chunks, one a stream, with the spans they cover
//! ```
//!
//! | room | what it holds |
//! |---|---|
//! | `api` | the trait, an entry, its extracted values |
//! | `option` | a stage's row, what its options may say, the errors |
//! | `chain` | a list of stages, built from YAML and run |
//! | `order` | the way back into chunks: spans cover only what no stage holds back |
//! | `dialect`, `gotmpl`, `jmespath`, `layout`, `selector` | languages within options |
//! | `digest` | hashes |
//! | `pieces` | lines that were written in pieces |
//! | the others | one stage each, named as in the configuration |
//!
//! A stage is one file and two lines below: its `mod` and its row.

pub(crate) mod api;
mod chain;
mod dialect;
mod digest;
pub(crate) mod fuzzing;
mod option;
mod order;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use ao_proto::model::FileId;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use serde_yaml_ng::Value;
use tokio::time::Instant;

use crate::event::LogChunk;
use crate::metrics::lines::LineMetrics;
use api::{Out, Stage as _};
use chain::Chain;
use option::{Row, Site, StageError};
use order::Order;

mod cri;
mod decolorize;
mod docker;
mod drop;
mod gotmpl;
mod jmespath;
mod json;
mod labelallow;
mod labeldrop;
mod labels;
mod layout;
mod limit;
mod logfmt;
mod matcher;
mod metrics;
mod multiline;
mod output;
mod pack;
mod pieces;
mod regex;
mod replace;
mod sampling;
mod selector;
mod severity;
mod static_labels;
mod structured_metadata;
mod template;
mod tenant;
mod timestamp;
mod trace_id;

/// Every stage, in the order in which their names are listed to people.
static STAGES: &[Row] = &[
    Row { name: "cri", build: cri::build },
    Row { name: "decolorize", build: decolorize::build },
    Row { name: "docker", build: docker::build },
    Row { name: "drop", build: drop::build },
    Row { name: "json", build: json::build },
    // As others write `labeldrop`.
    Row { name: "label_drop", build: labeldrop::build },
    Row { name: "labelallow", build: labelallow::build },
    Row { name: "labeldrop", build: labeldrop::build },
    Row { name: "labels", build: labels::build },
    Row { name: "limit", build: limit::build },
    Row { name: "logfmt", build: logfmt::build },
    Row { name: "match", build: matcher::build },
    Row { name: "metrics", build: metrics::build },
    Row { name: "multiline", build: multiline::build },
    Row { name: "output", build: output::build },
    Row { name: "pack", build: pack::build },
    Row { name: "regex", build: regex::build },
    Row { name: "replace", build: replace::build },
    Row { name: "sampling", build: sampling::build },
    Row { name: "severity", build: severity::build },
    Row { name: "static_labels", build: static_labels::build },
    Row { name: "structured_metadata", build: structured_metadata::build },
    Row { name: "template", build: template::build },
    Row { name: "tenant", build: tenant::build },
    Row { name: "timestamp", build: timestamp::build },
    Row { name: "trace_id", build: trace_id::build },
];

/// The section `pipeline`.
///
/// ```yaml
/// pipeline:
///   stages:
///     - match:
///         selector: '{app="shop"} |= "order"'
///         stages:
///           - regex: { expression: 'level=(?P<level>\w+)' }
///           - labels: { level: }
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What is done to each line of a log file, in this order; nothing where empty.
    pub stages: Stages,
}

/// A list of stages that can be built.
#[derive(Clone, Default, PartialEq)]
pub struct Stages(Vec<Value>);

impl<'de> Deserialize<'de> for Stages {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Option::<Vec<Value>>::deserialize(deserializer)?.unwrap_or_default();
        chain(&list, &Arc::default()).map_err(de::Error::custom)?;
        Ok(Self(list))
    }
}

/// All stages of a list.
fn chain(list: &[Value], metrics: &Arc<LineMetrics>) -> Result<Chain, StageError> {
    let (metrics, reasons) = (Arc::clone(metrics), RefCell::new(BTreeSet::new()));
    Chain::build(list, &Site { rows: STAGES, chain: chain::nested, metrics, reasons })
}

impl fmt::Debug for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} stages", self.0.len())
    }
}

/// The stages, with what they hold back.
pub(crate) struct Pipeline {
    chain: Chain,
    order: Order,
}

impl Pipeline {
    /// From a configuration that was read, so that it can be built.
    pub(crate) fn new(config: &Config, metrics: &Arc<LineMetrics>) -> Self {
        // `Stages` are only made from a list that builds.
        let chain = chain(&config.stages.0, metrics).unwrap_or_default();
        Self { chain, order: Order::default() }
    }

    /// Takes a chunk; returns what can go on, in order.
    pub(crate) fn take(&mut self, chunk: LogChunk, now: Instant) -> Vec<LogChunk> {
        let says_where_alone =
            chunk.lines.is_empty() && chunk.file.is_some_and(|span| span.start == span.end);
        if self.chain.is_empty() || chunk.source != "logs" || says_where_alone {
            return vec![chunk];
        }
        let mut ready = if self.order.is_urgent(&chunk) { self.due(None) } else { Vec::new() };
        let mut out = Out::new(now);
        out.entries = self.order.split(chunk);
        self.chain.pass(&mut out);
        ready.extend(self.order.gather(out, &self.chain));
        ready
    }

    /// What the stages make of each line, for people to look at. Nothing waits to be taken on.
    pub(crate) fn see(&mut self, chunk: LogChunk, now: Instant) -> Out {
        let mut out = Out::new(now);
        out.entries = order::entries(chunk);
        self.chain.pass(&mut out);
        out
    }

    /// What they held back for long enough; everything where `now` is none.
    pub(crate) fn see_due(&mut self, now: Option<Instant>) -> Out {
        let mut out = Out::new(now.unwrap_or_else(Instant::now));
        self.chain.release(now, &mut out);
        out
    }

    /// When [`Pipeline::due`] has something.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.chain.due()
    }

    /// What was held back for long enough; everything where `now` is none.
    pub(crate) fn due(&mut self, now: Option<Instant>) -> Vec<LogChunk> {
        let mut out = Out::new(now.unwrap_or_else(Instant::now));
        self.chain.release(now, &mut out);
        self.order.gather(out, &self.chain)
    }

    /// Lines of this file are held back.
    pub(crate) fn holds(&self, file: FileId) -> bool {
        self.order.holds(file)
    }
}

#[cfg(test)]
mod tests;
