//! The agent's own metric families.

use ao_common::journal::Journal;
use ao_proto::class;
use ao_proto::queue::{QUEUES, Queue};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

/// Labels `class` (metrics, spans, logs, logs_low) and `lane` (fresh, backlog).
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct QueueLabel {
    /// See the type.
    pub class: &'static str,
    /// See the type.
    pub lane: &'static str,
}

impl QueueLabel {
    /// Of a queue.
    pub fn of(queue: Queue) -> Self {
        Self { class: class::name(queue.class), lane: queue.lane.name() }
    }
}

/// Label `source`: a family of sources, from our own closed set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SourceLabel {
    /// See the type.
    pub source: String,
}

/// All of them; shared by the parts that count.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "each is described where it is registered, below")]
pub struct Metrics {
    pub read_records: Family<SourceLabel, Counter>,
    pub read_bytes: Family<SourceLabel, Counter>,
    pub shed_records: Family<SourceLabel, Counter>,
    pub shed_bytes: Family<SourceLabel, Counter>,
    pub refused_records: Family<SourceLabel, Counter>,
    pub refused_bytes: Family<SourceLabel, Counter>,
    pub doubled_samples: Counter,
    pub lines_without_pod: Counter,
    pub spool_frames: Family<QueueLabel, Counter>,
    pub spool_bytes: Family<QueueLabel, Counter>,
    pub spool_errors: Counter,
    pub sent_frames: Family<QueueLabel, Counter>,
    pub sent_bytes: Family<QueueLabel, Counter>,
    pub acked_frames: Family<QueueLabel, Counter>,
    pub resent_frames: Family<QueueLabel, Counter>,
    pub skipped_frames: Family<QueueLabel, Counter>,
    pub connected: Gauge,
    pub connections: Counter,
}

impl Metrics {
    /// Registers all families under the prefix `ao`.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("ao");
        let text = "Records (samples, lines, spans) read at their source and appended to the spool";
        r.register("ledger_read_records", text, self.read_records.clone());
        r.register("ledger_read_bytes", "Payload bytes of the records read", self.read_bytes.clone());
        let text = "Records deleted from the spool unsent, for want of disk";
        r.register("ledger_shed_records", text, self.shed_records.clone());
        r.register("ledger_shed_bytes", "Payload bytes of the records shed", self.shed_bytes.clone());
        let text = "Records that the aggregator will never take";
        r.register("ledger_refused_records", text, self.refused_records.clone());
        r.register(
            "ledger_refused_bytes",
            "Payload bytes of the records refused",
            self.refused_bytes.clone(),
        );
        let text = "Samples that named a series for the second time in one set";
        r.register("batch_doubled_samples", text, self.doubled_samples.clone());
        let text = "Lines that went on without their pod's labels";
        r.register("enrich_lines_without_pod", text, self.lines_without_pod.clone());
        r.register("spool_frames", "Frames appended to the spool", self.spool_frames.clone());
        r.register("spool_appended_bytes", "Bytes of the frames appended", self.spool_bytes.clone());
        r.register("spool_errors", "Writes to the spool that the disk refused", self.spool_errors.clone());
        r.register("uplink_sent_frames", "Frames sent", self.sent_frames.clone());
        r.register("uplink_sent_bytes", "Bytes of frames and keyframes sent", self.sent_bytes.clone());
        r.register("uplink_acked_frames", "Frames acknowledged", self.acked_frames.clone());
        let text = "Frames sent before on another connection, and sent again";
        r.register("uplink_resent_frames", text, self.resent_frames.clone());
        let text = "Frames not sent since the aggregator had them already";
        r.register("uplink_skipped_frames", text, self.skipped_frames.clone());
        r.register("uplink_connected", "1 while a stream is open", self.connected.clone());
        r.register("uplink_connections", "Streams opened", self.connections.clone());
    }
}

/// Size and damage of the spool, read when somebody asks.
pub struct SpoolCollector(pub Journal);

impl std::fmt::Debug for SpoolCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SpoolCollector")
    }
}

impl Collector for SpoolCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let stats: Vec<_> = (0..QUEUES.len()).map(|n| self.0.stats(n)).collect();
        let label = |n: usize| QueueLabel::of(QUEUES[n]);
        let mut size = encoder.encode_descriptor(
            "ao_spool_size_bytes",
            "Bytes of the spool on disk",
            None,
            prometheus_client::metrics::MetricType::Gauge,
        )?;
        for (n, stat) in stats.iter().enumerate() {
            ConstGauge::new(stat.bytes as i64).encode(size.encode_family(&label(n))?)?;
        }
        let mut damage = encoder.encode_descriptor(
            "ao_spool_damaged_records",
            "Damaged records skipped since the start",
            None,
            prometheus_client::metrics::MetricType::Counter,
        )?;
        for (n, stat) in stats.iter().enumerate() {
            ConstCounter::new(stat.corrupt_records).encode(damage.encode_family(&label(n))?)?;
        }
        Ok(())
    }
}
