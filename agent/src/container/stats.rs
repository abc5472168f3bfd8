//! What is counted of the rounds among the agent's own figures, and what is said of those that failed.

use std::sync::PoisonError;

use ao_common::admin::SharedRegistry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::api::ReadError;
use super::table::PARTS;
use crate::rounds::Complaint;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabel {
    part: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// All of it; lives from round to round.
pub(super) struct Stats {
    unread: Family<PartLabel, Counter>,
    missed: Family<KindLabel, Counter>,
    reported: Gauge,
    left_out: Gauge,
    /// By part.
    parts: Vec<Complaint>,
    no_cgroups: Complaint,
    late: Complaint,
    too_many: Complaint,
}

impl Stats {
    /// All series are there from the start, so that an absent one is a fault.
    pub(super) fn new() -> Self {
        let (unread, missed) =
            (Family::<PartLabel, Counter>::default(), Family::<KindLabel, Counter>::default());
        for part in PARTS {
            drop(unread.get_or_create(&PartLabel { part: part.name }));
        }
        for kind in ["late", "panic", "no_cgroups"] {
            drop(missed.get_or_create(&KindLabel { kind }));
        }
        let parts = PARTS.iter().map(|_| Complaint::default()).collect();
        let (reported, left_out) = (Gauge::default(), Gauge::default());
        let (no_cgroups, late, too_many) = Default::default();
        Self { unread, missed, reported, left_out, parts, no_cgroups, late, too_many }
    }

    pub(super) fn register(&self, registry: &SharedRegistry) {
        let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        let text = "Cgroups of which a part could not be read, by the part";
        registry.register("ao_container_unread", text, self.unread.clone());
        let text = "Surveys and groups of cgroups that are missing in a round, by what happened";
        registry.register("ao_container_missed", text, self.missed.clone());
        registry.register("ao_container_cgroups", "Cgroups that are reported", self.reported.clone());
        let text =
            "Cgroups that are not reported: too many, too deep, unreadable, or without a name that is text";
        registry.register("ao_container_left_out", text, self.left_out.clone());
    }

    /// How many there are.
    pub(super) fn found(&mut self, reported: usize, left_out: u64) {
        self.reported.set(i64::try_from(reported).unwrap_or(i64::MAX));
        self.left_out.set(i64::try_from(left_out).unwrap_or(i64::MAX));
        if left_out == 0 {
            let _quiet = self.too_many.worked();
        } else if self.too_many.failed().is_some() {
            tracing::warn!(left_out, "not every cgroup is reported; see containers.most");
        }
    }

    /// The host has no cgroup tree.
    pub(super) fn no_cgroups(&mut self, place: &str) {
        self.missed.get_or_create(&KindLabel { kind: "no_cgroups" }).inc();
        if self.no_cgroups.failed().is_some() {
            tracing::warn!(place, "there is no cgroup tree, so that no container is reported");
        }
    }

    /// A survey or a group was not done by the deadline.
    pub(super) fn late(&mut self, what: &str) {
        self.missed.get_or_create(&KindLabel { kind: "late" }).inc();
        if let Some(failures) = self.late.failed() {
            tracing::warn!(what, failures, "reading cgroups was not done by the deadline");
        }
    }

    /// All was done in time.
    pub(super) fn in_time(&mut self) {
        if let Some(failures) = self.late.worked() {
            tracing::info!(failures, "reading cgroups is done in time again");
        }
    }

    /// A survey or a group panicked.
    pub(super) fn panicked(&mut self, what: &str) {
        self.missed.get_or_create(&KindLabel { kind: "panic" }).inc();
        tracing::error!(what, "reading cgroups panicked, which is a bug of this program; it begins anew");
    }

    /// What the parts could not read in this round, of all groups.
    pub(super) fn unread<'a>(&mut self, failures: impl Iterator<Item = &'a (usize, u64, ReadError)> + Clone) {
        for (number, (part, complaint)) in PARTS.iter().zip(&mut self.parts).enumerate() {
            let mut of_part = failures.clone().filter(|(of, ..)| *of == number);
            let count: u64 = of_part.clone().map(|(_, count, _)| count).sum();
            self.unread.get_or_create(&PartLabel { part: part.name }).inc_by(count);
            match of_part.next() {
                None => {
                    if let Some(failures) = complaint.worked() {
                        tracing::info!(part = part.name, failures, "every cgroup can be read again");
                    }
                }
                Some((_, _, why)) => {
                    if complaint.failed().is_some() {
                        tracing::warn!(part = part.name, cgroups = count, error = %why, "a cgroup cannot be read");
                    }
                }
            }
        }
    }
}
