//! What the receiver counts of itself.

use std::sync::PoisonError;

use ao_common::admin::SharedRegistry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its spans are in the spool.
    Stored,
    /// They could not be stored in time; the client was told to send them again.
    Unavailable,
    /// Turned away before it was read.
    Busy,
    /// No spans, or more than may be decoded: its sender was told.
    Refused,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Stored, Self::Unavailable, Self::Busy, Self::Refused];

    fn label(self) -> OutcomeLabel {
        let outcome = match self {
            Self::Stored => "stored",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Refused => "refused",
        };
        OutcomeLabel { outcome }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    requests: Family<OutcomeLabel, Counter>,
    spans: Counter,
    rejected: Counter,
}

impl Metrics {
    /// All series are there from the start, so that an absent one is a fault.
    pub(super) fn new() -> Self {
        let metrics = Self::default();
        for outcome in Outcome::ALL {
            drop(metrics.requests.get_or_create(&outcome.label()));
        }
        metrics
    }

    pub(super) fn register(&self, registry: &SharedRegistry) {
        let mut registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = registry.sub_registry_with_prefix("ao_otlp");
        registry.register("requests", "Requests with spans, by how they ended", self.requests.clone());
        registry.register("spans", "Spans received and stored", self.spans.clone());
        let text = "Spans rejected since they are too large; their sender was told";
        registry.register("rejected_spans", text, self.rejected.clone());
    }

    pub(super) fn request(&self, outcome: Outcome) {
        self.requests.get_or_create(&outcome.label()).inc();
    }

    pub(super) fn spans(&self, stored: u64, rejected: u64) {
        self.spans.inc_by(stored);
        self.rejected.inc_by(rejected);
    }

    #[cfg(test)]
    pub(super) fn counted(&self, outcome: Outcome) -> u64 {
        self.requests.get_or_create(&outcome.label()).get()
    }
}
