//! The samples of `up` as the frames of an agent that is none: the aggregator's own id, an epoch for each process.

use std::collections::{BTreeMap, BTreeSet};

use ao_common::journal::{Append, Key};
use ao_proto::frame::{compress, seal};
use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::model::{Family, Labels, MetricType, STALE_NAN, Series};
use ao_proto::queue::{self, Lane};
use ao_proto::v1::{Class, FrameHeader};
use bytes::Bytes;

use crate::journal::keyframe_key;
use crate::nodes::{AUTHOR, Node};

/// The ledger's source.
const SOURCE: &str = "up";
/// The ledger's size of a sample: a time and a value.
const SAMPLE_BYTES: u64 = 16;

/// What has been written, for the next frame.
pub(super) struct Frames {
    jobs: Vec<String>,
    epoch: u64,
    sequence: u64,
    last_ms: i64,
    /// Nodes of the newest frame that have not ended.
    alive: BTreeSet<Node>,
    /// Nodes of the keyframe, in its order.
    placed: BTreeSet<Node>,
    keyframe: Keyframe,
    sealed: Bytes,
}

impl Frames {
    pub(super) fn new(jobs: Vec<String>) -> Self {
        Self {
            jobs,
            // 0 means none.
            epoch: rand::random::<u64>().max(1),
            sequence: 0,
            last_ms: i64::MIN,
            alive: BTreeSet::new(),
            placed: BTreeSet::new(),
            keyframe: Keyframe::default(),
            sealed: Bytes::new(),
        }
    }

    /// Another one writes from here on: nothing of ours is to be ended.
    pub(super) fn forget(&mut self) {
        self.alive.clear();
    }

    /// The next frame with its queue; a series whose node is not in `up` any longer gets a staleness marker. `None` where
    /// there is nothing to say.
    pub(super) fn next(&mut self, up: &BTreeMap<Node, bool>, now_ms: i64) -> Option<(usize, Append)> {
        let nodes: BTreeSet<Node> = up.keys().chain(&self.alive).cloned().collect();
        if nodes.is_empty() || self.jobs.is_empty() {
            return None;
        }
        let value = |node: &Node| match up.get(node) {
            Some(up) => f64::from(u8::from(*up)),
            None => f64::from_bits(STALE_NAN),
        };
        let each = self.jobs.len();
        let values: Vec<f64> = nodes.iter().flat_map(|node| std::iter::repeat_n(value(node), each)).collect();
        // A clock that is set back stops the series, it does not tangle them.
        self.last_ms = now_ms.max(self.last_ms.saturating_add(1));
        if self.placed != nodes || self.sealed.is_empty() {
            self.renew(&nodes, &values);
        }
        self.placed = nodes;
        self.alive = up.keys().cloned().collect();
        let frame = MetricsFrame { at_ms: self.last_ms, values, ..MetricsFrame::default() };
        let mut raw = Vec::new();
        frame.encode(&self.keyframe, &mut raw);
        self.sequence += 1;
        let records = self.keyframe.series.len() as u64;
        let header = FrameHeader {
            epoch: self.epoch,
            lane: Lane::Fresh.number(),
            sequence: self.sequence,
            records,
            bytes: records * SAMPLE_BYTES,
            ..self.header(raw.len())
        };
        let key: Key = keyframe_key(&header)?;
        let frame = seal(&header, &compress(&raw));
        let queue = queue::number(header.class, header.lane)?;
        Some((queue, Append { frame, keyframe: Some((key, self.sealed.clone())) }))
    }

    fn renew(&mut self, nodes: &BTreeSet<Node>, values: &[f64]) {
        let labels = |(cluster, node): &Node, job: &str| {
            let pairs =
                [("__name__", "up"), ("job", job), ("instance", node), ("node", node), ("cluster", cluster)];
            // The sinks take no empty label.
            Labels::from_pairs(pairs.into_iter().filter(|(_, value)| !value.is_empty()))
        };
        let series = nodes.iter().flat_map(|node| self.jobs.iter().map(move |job| labels(node, job)));
        self.keyframe = Keyframe {
            id: rand::random::<u64>().max(1),
            at_ms: self.last_ms,
            families: vec![Family {
                name: "up".into(),
                kind: MetricType::Gauge,
                help: "1 while the node's agent reports, 0 while it is silent".into(),
                unit: "".into(),
            }],
            series: series.map(|labels| Series { labels, family: 0 }).collect(),
            values: values.to_vec(),
        };
        let raw = self.keyframe.encode();
        let header = FrameHeader { records: values.len() as u64, ..self.header(raw.len()) };
        self.sealed = seal(&header, &compress(&raw));
    }

    fn header(&self, raw_bytes: usize) -> FrameHeader {
        FrameHeader {
            agent: AUTHOR.to_vec(),
            class: Class::Metrics.into(),
            keyframe: self.keyframe.id,
            source: SOURCE.to_owned(),
            first_ms: self.last_ms,
            raw_bytes: raw_bytes as u64,
            ..FrameHeader::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use ao_proto::frame;

    use super::*;

    fn read(append: &Append) -> Vec<(String, String, f64)> {
        let open = |sealed: &Bytes| frame::open(sealed).unwrap().decompress().unwrap();
        let keyframe = Keyframe::decode(&open(&append.keyframe.as_ref().unwrap().1)).unwrap();
        let values = MetricsFrame::decode(&open(&append.frame), &keyframe).unwrap().values;
        let label = |series: &Series, name| series.labels.get(name).unwrap_or_default().to_owned();
        let series = keyframe.series.iter().zip(values);
        series.map(|(series, value)| (label(series, "instance"), label(series, "job"), value)).collect()
    }

    /// Scenario: a node comes, a second one comes, the first one is forgotten.
    /// Guarantees: a sample for each node and job; the first one's series end with one staleness marker each, once;
    /// the keyframe stays while the nodes do, and times grow though the clock is set back.
    #[test]
    fn nodes_come_and_go() {
        let node = |name: &str| ("c".to_owned(), name.to_owned());
        let mut frames = Frames::new(vec!["node-exporter".to_owned(), "ao-agent".to_owned()]);
        assert!(frames.next(&BTreeMap::new(), 0).is_none());
        let one: BTreeMap<_, _> = [(node("a"), true)].into();
        let two: BTreeMap<_, _> = [(node("a"), false), (node("b"), true)].into();
        let last: BTreeMap<_, _> = [(node("b"), true)].into();
        let (_, first) = frames.next(&one, 1_000).unwrap();
        let expect = |name: &str, job: &str, value| (name.to_owned(), job.to_owned(), value);
        assert_eq!(read(&first), [expect("a", "node-exporter", 1.0), expect("a", "ao-agent", 1.0)]);
        let (_, second) = frames.next(&two, 500).unwrap();
        assert_eq!(read(&second)[1..3], [expect("a", "ao-agent", 0.0), expect("b", "node-exporter", 1.0)]);
        assert!(frames.last_ms > 1_000);
        let (_, third) = frames.next(&last, 3_000).unwrap();
        assert_eq!(third.keyframe, second.keyframe);
        let ended: Vec<_> = read(&third).iter().map(|(.., value)| value.to_bits() == STALE_NAN).collect();
        assert_eq!(ended, [true, true, false, false]);
        let (_, fourth) = frames.next(&last, 4_000).unwrap();
        assert_eq!(read(&fourth), [expect("b", "node-exporter", 1.0), expect("b", "ao-agent", 1.0)]);
    }
}
