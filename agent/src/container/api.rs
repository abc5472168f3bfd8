//! What a part of the container metrics is: its row in the table, where its samples go, its errors. Imports no sibling.

use std::io;

use ao_proto::model::MetricType;

use crate::event::{FamilyRef, MetricSet, SharedLabels};

/// A metric family of a part.
pub(super) struct Family {
    /// cAdvisor's name.
    pub(super) name: &'static str,
    /// Counter or gauge.
    pub(super) kind: MetricType,
    /// What it says.
    pub(super) help: &'static str,
}

/// A counter's row in a part's list of families.
pub(super) const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: MetricType::Counter, help }
}

/// A gauge's row in a part's list of families.
pub(super) const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: MetricType::Gauge, help }
}

/// Where the samples of one cgroup go.
pub(super) struct Out<'a> {
    set: &'a mut MetricSet,
    /// Of the part whose turn it is, in the order of its list.
    families: &'a [FamilyRef],
    labels: &'a SharedLabels,
    /// Of every sample.
    more: &'a [(&'a str, &'a str)],
}

impl<'a> Out<'a> {
    /// For the cgroup with these labels, in which are `more`, and the part with these families.
    pub(super) fn new(
        set: &'a mut MetricSet,
        families: &'a [FamilyRef],
        labels: &'a SharedLabels,
        more: &'a [(&'a str, &'a str)],
    ) -> Self {
        Self { set, families, labels, more }
    }

    /// The round's time.
    pub(super) fn at_ms(&self) -> i64 {
        self.set.at_ms
    }

    /// Adds a sample of the family with this place in the part's list.
    pub(super) fn push(&mut self, family: usize, value: f64) {
        self.push_with(family, &[], value);
    }

    /// The same where there is a value.
    pub(super) fn push_if(&mut self, family: usize, value: Option<u64>) {
        if let Some(value) = value {
            self.push(family, value as f64);
        }
    }

    /// Adds a sample with labels of its own beside the cgroup's.
    pub(super) fn push_with(&mut self, family: usize, more: &[(&str, &str)], value: f64) {
        if let Some(family) = self.families.get(family) {
            self.set.push_shared(*family, self.labels, more, value);
        }
    }

    /// Adds a sample that is not the cgroup's.
    pub(super) fn push_alone(&mut self, family: usize, labels: &[(&str, &str)], value: f64) {
        if let Some(family) = self.families.get(family) {
            let labels: Vec<_> = labels.iter().chain(self.more).copied().collect();
            self.set.push(*family, &labels, value);
        }
    }
}

/// Why a part of a cgroup could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// A file that is there cannot be read.
    #[error("cannot read {path}: {source}")]
    Io { path: String, source: io::Error },
    /// A line that is not what the kernel's documentation says.
    #[error("cannot understand {path}: {text:?}")]
    Parse { path: String, text: String },
}
