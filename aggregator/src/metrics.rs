//! The aggregator's own metric families; those of the sinks stand with the fan-out.

mod ledger;

use ao_common::journal::Journal;
use ao_proto::queue::QUEUES;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use crate::ledger::{Ledger, class_name};
use crate::nodes::Nodes;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    class: &'static str,
    lane: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NodeLabel {
    node: String,
}

/// Why connections, streams, messages and frames are refused or ended.
const REASONS: [&str; 17] = [
    "connections",
    "silent",
    "streams",
    "agents",
    "hello",
    "replaced",
    "unread",
    "size",
    "slow",
    "damaged",
    "handshake",
    "identity",
    "epochs",
    "keyframes",
    "source",
    "content",
    "class",
];

/// Counted by the streams.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Frames that came in.
    pub frames: Counter,
    /// Their bytes, keyframes included.
    pub bytes: Counter,
    /// Frames that were there already.
    pub duplicates: Counter,
    /// Messages that had to wait for memory.
    pub waited_for_memory: Counter,
    /// Wishes that streams were sent, to go on more slowly.
    pub throttles: Counter,
    /// 0 easy, 1 tight, 2 full.
    pub level: Gauge,
    refused: Family<ReasonLabel, Counter>,
    refused_streams: Family<ReasonLabel, Counter>,
}

impl Metrics {
    /// Registers all families under the prefix `ao_ingest`.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("ao_ingest");
        r.register("frames", "Frames that came in", self.frames.clone());
        r.register("received_bytes", "Bytes of frames and keyframes that came in", self.bytes.clone());
        r.register("duplicate_frames", "Frames that the journal had already", self.duplicates.clone());
        let text = "Messages that waited until others had given back their memory";
        r.register("throttled_for_memory", text, self.waited_for_memory.clone());
        r.register("throttled_streams", "Wishes sent to agents, to send more slowly", self.throttles.clone());
        let text = "How much room the journal has: 0 enough, 1 the backlog is throttled, 2 all is";
        r.register("throttled_level", text, self.level.clone());
        r.register("refused", "Streams and frames refused, by reason", self.refused.clone());
        let text = "Streams refused or ended for their identity, by reason";
        r.register("refused_streams", text, self.refused_streams.clone());
        for reason in REASONS {
            let _zero = self.refused.get_or_create(&ReasonLabel { reason });
        }
    }

    /// Counts a stream that was refused or ended for its identity's sake.
    pub fn refused_stream(&self, reason: &'static str) {
        self.refused_streams.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a refusal; the reason is of the closed set above.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}

/// What is read when somebody asks: the journal's size, the ledger, the nodes.
pub struct Inventory {
    /// See the type.
    pub journal: Journal,
    /// See the type.
    pub ledger: Ledger,
    /// See the type.
    pub nodes: Nodes,
}

impl std::fmt::Debug for Inventory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inventory")
    }
}

impl Collector for Inventory {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let text = "Bytes of the journal on disk";
        let mut size = encoder.encode_descriptor("ao_journal_size_bytes", text, None, MetricType::Gauge)?;
        let stats: Vec<_> = (0..QUEUES.len()).map(|n| self.journal.stats(n)).collect();
        let label =
            |n: usize| QueueLabel { class: class_name(QUEUES[n].class.into()), lane: QUEUES[n].lane.name() };
        for (n, stat) in stats.iter().enumerate() {
            ConstGauge::new(stat.bytes as i64).encode(size.encode_family(&label(n))?)?;
        }
        let text = "Damaged records skipped since the start";
        let mut damage =
            encoder.encode_descriptor("ao_journal_damaged_records", text, None, MetricType::Counter)?;
        for (n, stat) in stats.iter().enumerate() {
            ConstCounter::new(stat.corrupt_records).encode(damage.encode_family(&label(n))?)?;
        }
        let nodes = self.nodes.list();
        let text = "1 while the node's agent has a stream open";
        let mut up = encoder.encode_descriptor("ao_node_connected", text, None, MetricType::Gauge)?;
        for info in &nodes {
            let label = NodeLabel { node: info.node.clone() };
            ConstGauge::new(i64::from(info.streams > 0)).encode(up.encode_family(&label)?)?;
        }
        let text = "The node's clock less ours, as its agent has measured it";
        let mut ahead =
            encoder.encode_descriptor("ao_node_clock_offset_seconds", text, None, MetricType::Gauge)?;
        for (info, clock) in nodes.iter().filter_map(|info| info.clock.map(|clock| (info, clock))) {
            let label = NodeLabel { node: info.node.clone() };
            ConstGauge::new(clock.ahead_ns as f64 / 1e9).encode(ahead.encode_family(&label)?)?;
        }
        ledger::encode(&self.ledger, &self.nodes, &mut encoder)
    }
}
