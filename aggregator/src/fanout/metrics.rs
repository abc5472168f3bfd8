//! The fan-out's own metrics, `ao_sink_*`. All children are made at the start, so that what never happened shows as zero.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::sink::api::{DropReason, Lane, Refusal};

/// A backend nearby answers in milliseconds; the default timeout is 30 s.
const DURATIONS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];
/// Outcome of a request that was taken.
const ACCEPTED: &str = "accepted";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfSink {
    sink: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfOutcome {
    sink: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfReason {
    sink: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfWorker {
    sink: &'static str,
    class: &'static str,
    lane: &'static str,
}

/// All families. Cheap to clone.
#[derive(Clone)]
pub(super) struct Metrics {
    requests: Family<OfOutcome, Counter>,
    records: Family<OfSink, Counter>,
    resent: Family<OfSink, Counter>,
    dropped: Family<OfReason, Counter>,
    undecodable: Family<OfSink, Counter>,
    duration: Family<OfSink, Histogram, fn() -> Histogram>,
    lag: Family<OfWorker, Gauge>,
    state: Family<OfWorker, Gauge>,
    last_success: Family<OfWorker, Gauge>,
}

/// One worker's.
#[derive(Clone)]
pub(super) struct WorkerMetrics {
    all: Metrics,
    sink: &'static str,
    worker: OfWorker,
}

impl Metrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(DURATIONS);
        let metrics = Self {
            requests: Family::default(),
            records: Family::default(),
            resent: Family::default(),
            dropped: Family::default(),
            undecodable: Family::default(),
            duration: Family::new_with_constructor(histogram),
            lag: Family::default(),
            state: Family::default(),
            last_success: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("ao_sink");
        registry.register("requests", "Requests to the backend, by outcome", metrics.requests.clone());
        registry.register("records", "Records that the backend accepted", metrics.records.clone());
        let help = "Records sent again after a crash or an unclear answer";
        registry.register("resent_records", help, metrics.resent.clone());
        registry.register("dropped_records", "Records given up, by reason", metrics.dropped.clone());
        let help = "Frames of the journal that could not be decoded";
        registry.register("undecodable_frames", help, metrics.undecodable.clone());
        let help = "Time from a request to its answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, metrics.duration.clone());
        let help = "Bytes of the journal that are not done yet";
        registry.register_with_unit("lag", help, Unit::Bytes, metrics.lag.clone());
        registry.register("state", "0 sends, 1 tries again, 2 waits for a person", metrics.state.clone());
        let help = "When the backend last accepted a request";
        registry.register_with_unit(
            "last_success_timestamp",
            help,
            Unit::Seconds,
            metrics.last_success.clone(),
        );
        metrics
    }

    /// Makes all children of a worker.
    pub(super) fn of(&self, sink: &'static str, class: &'static str, lane: Lane) -> WorkerMetrics {
        let worker = OfWorker { sink, class, lane: lane.name() };
        for outcome in Refusal::KINDS.into_iter().chain([ACCEPTED]) {
            drop(self.requests.get_or_create(&OfOutcome { sink, outcome }));
        }
        for reason in DropReason::ALL {
            drop(self.dropped.get_or_create(&OfReason { sink, reason: reason.name() }));
        }
        drop(self.records.get_or_create(&OfSink { sink }));
        drop(self.resent.get_or_create(&OfSink { sink }));
        drop(self.undecodable.get_or_create(&OfSink { sink }));
        drop(self.duration.get_or_create(&OfSink { sink }));
        drop(self.lag.get_or_create(&worker));
        drop(self.state.get_or_create(&worker));
        drop(self.last_success.get_or_create(&worker));
        WorkerMetrics { all: self.clone(), sink, worker }
    }
}

impl WorkerMetrics {
    /// `refusal` is its kind, none where the request was accepted.
    pub(super) fn request(&self, refusal: Option<&'static str>, seconds: f64) {
        let outcome = refusal.unwrap_or(ACCEPTED);
        self.all.requests.get_or_create(&OfOutcome { sink: self.sink, outcome }).inc();
        self.all.duration.get_or_create(&OfSink { sink: self.sink }).observe(seconds);
    }

    pub(super) fn records(&self, count: u64) {
        self.all.records.get_or_create(&OfSink { sink: self.sink }).inc_by(count);
    }

    pub(super) fn resent(&self, count: u64) {
        self.all.resent.get_or_create(&OfSink { sink: self.sink }).inc_by(count);
    }

    pub(super) fn dropped(&self, reason: &'static str, count: u64) {
        let label = OfReason { sink: self.sink, reason };
        self.all.dropped.get_or_create(&label).inc_by(count);
    }

    pub(super) fn undecodable(&self) {
        self.all.undecodable.get_or_create(&OfSink { sink: self.sink }).inc();
    }

    pub(super) fn lag(&self, bytes: u64) {
        self.all.lag.get_or_create(&self.worker).set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(super) fn state(&self, state: i64) {
        self.all.state.get_or_create(&self.worker).set(state);
    }

    pub(super) fn success(&self, at_ms: i64) {
        self.all.last_success.get_or_create(&self.worker).set(at_ms / 1_000);
    }
}
