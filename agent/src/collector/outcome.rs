//! How a collector's round ended, how that is counted, and how often it is said.

use std::fmt::Display;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use ao_common::admin::SharedRegistry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::api::CollectError;
use crate::rounds;

/// How a collector's round ended.
pub(super) enum Outcome<'a> {
    Good(Duration),
    Failed(Duration, &'a CollectError),
    Panicked,
    /// Not done by the deadline.
    Late,
}

impl Outcome<'_> {
    pub(super) fn is_good(&self) -> bool {
        matches!(self, Self::Good(_))
    }

    pub(super) fn seconds(&self, begin: Instant) -> f64 {
        match self {
            Self::Good(took) | Self::Failed(took, _) => took.as_secs_f64(),
            Self::Panicked | Self::Late => begin.elapsed().as_secs_f64(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FailureLabel {
    pub(super) collector: &'static str,
    pub(super) kind: &'static str,
}

/// How often each collector failed, among the agent's own figures.
pub(super) struct Failures(pub(super) Family<FailureLabel, Counter>);

impl Failures {
    /// All series are there from the start, so that an absent one is a fault.
    pub(super) fn new(names: impl Iterator<Item = &'static str>) -> Self {
        let family = Family::<FailureLabel, Counter>::default();
        for collector in names {
            for kind in ["error", "panic", "late"] {
                drop(family.get_or_create(&FailureLabel { collector, kind }));
            }
        }
        Self(family)
    }

    pub(super) fn register(&self, registry: &SharedRegistry) {
        let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        let text = "Rounds in which a collector failed, by what happened";
        registry.register("ao_collector_failures", text, self.0.clone());
    }

    #[cfg(test)]
    pub(super) fn panics(&self, collector: &'static str) -> u64 {
        self.0.get_or_create(&FailureLabel { collector, kind: "panic" }).get()
    }

    pub(super) fn count(&self, collector: &'static str, outcome: &Outcome<'_>) {
        let kind = match outcome {
            Outcome::Good(_) | Outcome::Failed(_, CollectError::NoData(_)) => return,
            Outcome::Failed(..) => "error",
            Outcome::Panicked => "panic",
            Outcome::Late => "late",
        };
        self.0.get_or_create(&FailureLabel { collector, kind }).inc();
    }
}

/// What a collector's failures are said to be.
#[derive(Default)]
pub(super) struct Complaint(rounds::Complaint);

impl Complaint {
    pub(super) fn note(&mut self, collector: &str, outcome: &Outcome<'_>) {
        let why: &dyn Display = match outcome {
            Outcome::Good(_) => {
                if let Some(failures) = self.0.worked() {
                    tracing::info!(collector, failures, "the collector works again");
                }
                return;
            }
            Outcome::Failed(_, why @ CollectError::NoData(_)) => {
                tracing::debug!(collector, error = %why, "the collector has nothing to read");
                return;
            }
            Outcome::Failed(_, why) => why,
            Outcome::Panicked => &"it panicked, which is a bug of this program",
            Outcome::Late => &"it was not done by the deadline",
        };
        if let Some(failures) = self.0.failed() {
            tracing::warn!(collector, error = %why, failures, "the collector failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::rounds::Said;

    /// Scenario: a collector that has nothing to read, then fails in many rounds in each way, then works again.
    /// Guarantees: the first failure is said and that it works again; nothing else.
    #[test]
    fn a_failure_is_said_once() {
        let said = Said::default();
        tracing::subscriber::with_default(said.clone(), || {
            let mut complaint = Complaint::default();
            let took = Duration::from_millis(1);
            let count = || said.count();
            complaint.note("x", &Outcome::Failed(took, &CollectError::NoData("x")));
            complaint.note("x", &Outcome::Good(took));
            assert_eq!(count(), 0);
            let error = CollectError::line(Path::new("/proc/x"), 0, "x");
            for _round in 0..100 {
                complaint.note("x", &Outcome::Failed(took, &error));
                complaint.note("x", &Outcome::Late);
                complaint.note("x", &Outcome::Panicked);
            }
            assert_eq!(count(), 1);
            complaint.note("x", &Outcome::Good(took));
            complaint.note("x", &Outcome::Good(took));
            assert_eq!(count(), 2);
            complaint.note("x", &Outcome::Late);
            assert_eq!(count(), 3);
        });
    }
}
