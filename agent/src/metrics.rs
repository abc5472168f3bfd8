//! The agent's own metric families.

pub mod lines;

use ao_proto::class;
use ao_proto::queue::{QUEUES, Queue};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
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
    pub source: &'static str,
}

/// All of them; shared by the parts that count.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "each is described where it is registered, below")]
pub struct Metrics {
    pub doubled_samples: Counter,
    pub refused_samples: Counter,
    pub lines_without_pod: Counter,
    pub streams: Gauge,
    pub overflow_lines: Counter,
    pub shifted_records: Family<SourceLabel, Counter>,
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
    /// Registers all families under the prefix `ao`. Counts by queue begin with 0 and not with the first that is counted,
    /// as a rate needs it, and an agent without a connection has them too.
    pub fn register(&self, registry: &mut Registry) {
        for queue in QUEUES {
            let families = [
                &self.spool_frames,
                &self.spool_bytes,
                &self.sent_frames,
                &self.sent_bytes,
                &self.acked_frames,
                &self.resent_frames,
                &self.skipped_frames,
            ];
            for family in families {
                drop(family.get_or_create(&QueueLabel::of(queue)));
            }
        }
        let r = registry.sub_registry_with_prefix("ao");
        let text = "Samples that named a series for the second time in one set";
        r.register("batch_doubled_samples", text, self.doubled_samples.clone());
        let text = "Samples dropped, as no frame can be as large as one of them";
        r.register("batch_refused_samples", text, self.refused_samples.clone());
        let text = "Lines that went on without their pod's labels";
        r.register("enrich_lines_without_pod", text, self.lines_without_pod.clone());
        r.register("streams", "Streams of log lines in use", self.streams.clone());
        let text = "Lines that went on without some of their labels, as there are too many streams";
        r.register("streams_overflow_lines", text, self.overflow_lines.clone());
        let text = "Records whose times were of a clock that is wrong, and were moved to ours";
        r.register("shifted_records", text, self.shifted_records.clone());
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
