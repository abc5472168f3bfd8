//! A small fleet that does not exist, for looking at the console and for its tests: frames as the aggregator's journal
//! would give them, with daily life in them (load, an outage of a link, a leak, errors), and hostile log lines.

use std::f64::consts::TAU;
use std::sync::Arc;

use ao_aggregator::sink::api::{Decoded, Telemetry};
use ao_aggregator::sink::embedded::Store;
use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::model::{Labels, Series};
use ao_proto::v1::{Class, FrameHeader};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

mod books;
mod host;
mod mesh;
mod network;
mod stories;

pub use books::state;

/// Seconds between two rounds of figures.
pub const STEP_S: i64 = 5;

/// Nodes with their names.
pub struct Fleet {
    nodes: Vec<Node>,
    random: StdRng,
}

/// One node's state.
pub struct Node {
    name: &'static str,
    agent: [u8; 16],
    cpus: usize,
    host: host::Host,
    network: network::Network,
}

/// Samples under construction: labels and values.
#[derive(Default)]
pub struct Samples {
    series: Vec<Series>,
    values: Vec<f64>,
}

impl Samples {
    /// Adds one.
    pub fn push(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let pairs = labels.iter().copied().chain([("__name__", name)]);
        self.series.push(Series { labels: Labels::from_pairs(pairs), family: 0 });
        self.values.push(value);
    }
}

impl Fleet {
    /// The same fleet each time.
    pub fn new(names: &[&'static str]) -> Self {
        let node = |(i, name): (usize, &&'static str)| Node {
            name,
            agent: [i as u8 + 1; 16],
            cpus: [4, 8, 16][i % 3],
            host: host::Host::default(),
            network: network::Network::default(),
        };
        Self { nodes: names.iter().enumerate().map(node).collect(), random: StdRng::seed_from_u64(7) }
    }

    /// Lives behind one time and up to another, milliseconds, and tells the store.
    pub fn live(&mut self, store: &Store, from_ms: i64, to_ms: i64) {
        let mut at_ms = (from_ms.div_euclid(STEP_S * 1_000) + 1) * STEP_S * 1_000;
        while at_ms <= to_ms {
            let names: Vec<_> = self.nodes.iter().map(|node| node.name).collect();
            for (nth, node) in self.nodes.iter_mut().enumerate() {
                for frame in node.live(at_ms, nth, &names, &mut self.random) {
                    let records = frame.telemetry.records();
                    store.absorb_records(&frame, &records, at_ms + 800);
                }
            }
            at_ms += STEP_S * 1_000;
        }
    }
}

impl Node {
    fn live(&mut self, at_ms: i64, nth: usize, names: &[&'static str], random: &mut StdRng) -> Vec<Decoded> {
        let mut frames = Vec::new();
        let mut samples = Samples::default();
        self.host.round(at_ms, self.name, self.cpus, &mut samples, random);
        frames.push(self.metrics("collector", at_ms, samples));
        if at_ms % 15_000 == 0 {
            let mut samples = Samples::default();
            self.network.round(at_ms, self.name, &mut samples, random);
            mesh::round(at_ms, nth, names, &mut samples, random);
            frames.push(self.metrics("latency", at_ms, samples));
        }
        let lines = stories::lines(at_ms, self.name, random);
        if !lines.entries.is_empty() {
            frames.push(self.frame("logs", Class::Logs, Telemetry::Logs(lines)));
        }
        if let Some(spans) = stories::spans(at_ms, self.name, random) {
            frames.push(self.frame("otlp", Class::Spans, Telemetry::Spans(spans)));
        }
        frames
    }

    fn metrics(&self, source: &str, at_ms: i64, samples: Samples) -> Decoded {
        let keyframe = Keyframe {
            values: vec![0.0; samples.series.len()],
            series: samples.series,
            ..Keyframe::default()
        };
        let values = MetricsFrame { at_ms, values: samples.values, ..MetricsFrame::default() };
        self.frame(source, Class::Metrics, Telemetry::Metrics(Arc::new(keyframe), values))
    }

    fn frame(&self, source: &str, class: Class, telemetry: Telemetry) -> Decoded {
        let records = telemetry.records().len() as u64;
        let header = FrameHeader {
            agent: self.agent.to_vec(),
            class: class.into(),
            source: source.to_owned(),
            records,
            bytes: records * if class == Class::Logs { 104 } else { 16 },
            ..FrameHeader::default()
        };
        Decoded { header, end: <_>::default(), telemetry }
    }
}

/// Labels, time in nanoseconds and text.
pub struct Line {
    labels: Labels,
    at_ns: i64,
    text: String,
}

/// Lines of any streams as one frame.
fn log_frame(lines: &[Line]) -> LogFrame {
    let mut frame = LogFrame::default();
    for Line { labels, at_ns, text } in lines {
        let known = frame.streams.iter().position(|stream| stream == labels);
        let stream = known.unwrap_or_else(|| {
            frame.streams.push(labels.clone());
            frame.streams.len() - 1
        });
        let (stream, len) = (stream as u32, text.len() as u32);
        frame.entries.push(LogEntry { stream, at_ns: *at_ns, len, metadata: 0 });
        frame.text.push_str(text);
    }
    frame
}

/// A wave between 0 and 1 of so many minutes, begun somewhere else for each name.
pub fn wave(at_ms: i64, minutes: f64, name: &str) -> f64 {
    let phase: u32 = name.bytes().map(u32::from).sum();
    0.5 + 0.5 * (TAU * (at_ms as f64 / 60_000.0 / minutes + f64::from(phase) / 97.0)).sin()
}

/// A number around 1, mostly close to it.
pub fn noise(random: &mut StdRng, spread: f64) -> f64 {
    let bell: f64 = (0..4).map(|_| random.random_range(-0.5..0.5)).sum();
    (1.0 + bell * spread).max(0.05)
}
