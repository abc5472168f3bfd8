//! The fleet's ledger, and what its sinks are doing: one node has lines in its spool, one had to give some up, one store
//! is behind, another gave up what was too old.

use std::sync::Arc;

use ao_aggregator::api::status::{Fanout, Mood, Sink};
use ao_aggregator::api::{About, ApiState};
use ao_aggregator::ledger::{Count, Entry, Ledger};
use ao_aggregator::nodes::Nodes;
use ao_aggregator::sink::api::{Decoded, Telemetry};
use ao_aggregator::sink::embedded::{Store, now_ms};
use ao_aggregator::verify::{Parts, Verifier};
use ao_proto::class;
use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::v1::{Class, FrameHeader};

use super::Samples;

/// Source, class, records received from the first node, bytes of a record.
const BOOKS: [(&str, Class, u64, u64); 6] = [
    ("collector", Class::Metrics, 1_284_330, 16),
    ("latency", Class::Metrics, 40_211, 16),
    ("own", Class::Metrics, 16_920, 16),
    ("logs", Class::Logs, 91_420, 104),
    ("path", Class::Logs, 12, 180),
    ("otlp", Class::Spans, 5_204, 410),
];

/// Everything that the console's answers are made from, with sinks in three states and a ledger that balances.
pub fn state(store: &Store) -> ApiState {
    let ledger = Ledger::default();
    for agent in 1..=3_u8 {
        let mut own = Samples::default();
        for (source, class, received, size) in BOOKS {
            let header = FrameHeader {
                agent: vec![agent; 16],
                class: class.into(),
                source: source.to_owned(),
                ..FrameHeader::default()
            };
            let count = |records: u64| Count { records, bytes: records * size };
            let received = received / u64::from(agent);
            let is_logs = source == "logs";
            let (sink, dropped, late) = match class {
                Class::Metrics => ("prometheus", 0, 0),
                Class::Spans => ("tempo", 0, 0),
                _ => ("loki", if is_logs { 37 } else { 0 }, if is_logs { received / 9 } else { 0 }),
            };
            let entries = [
                (Entry::Received, received),
                (Entry::Delivered("embedded"), received),
                (Entry::Delivered(sink), received - dropped - late),
                (Entry::Dropped(sink, "too_old"), dropped),
                (Entry::Resent(sink), if is_logs { 500 } else { 0 }),
            ];
            for (entry, records) in entries.into_iter().filter(|(_, records)| *records > 0) {
                ledger.add(&header, entry, count(records));
            }
            let spooled = if is_logs && agent == 2 { 212 } else { 0 };
            let shed = if is_logs && agent == 3 { 1_840 } else { 0 };
            tell(&mut own, (source, class), size, [received, spooled, shed]);
        }
        store.absorb(&frame(agent, own));
    }
    let about =
        About { aggregator: "synthetic".to_owned(), version: "0.1.0".to_owned(), started_ms: now_ms() };
    let nodes = Nodes::default();
    let verifier = Verifier::new(Parts { nodes: nodes.clone(), ledger: ledger.clone(), ..Parts::default() });
    ApiState {
        store: store.clone(),
        ledger,
        nodes,
        fanout: Arc::new(Sinks),
        verifier,
        about: Arc::new(about),
    }
}

/// An agent's own figures of one account.
fn tell(own: &mut Samples, (source, of): (&str, Class), size: u64, [acknowledged, spooled, shed]: [u64; 3]) {
    let labels = [("job", "ao-agent"), ("source", source), ("class", class::name(of))];
    let [job, source, class] = labels;
    let mut both = |name: &str, end: &str, labels: &[(&str, &str)], records: u64| {
        own.push(&format!("ao_ledger_{name}_records{end}"), labels, records as f64);
        own.push(&format!("ao_ledger_{name}_bytes{end}"), labels, (records * size) as f64);
    };
    both("read", "_total", &labels, acknowledged + spooled + shed);
    both("delivered", "_total", &labels, acknowledged);
    both("resent", "_total", &labels, 0);
    both("dropped", "_total", &[job, source, class, ("reason", "shed")], shed);
    both("in_flight", "", &labels, spooled);
}

fn frame(agent: u8, own: Samples) -> Decoded {
    let values = MetricsFrame { at_ms: now_ms() - 4_000, values: own.values, ..MetricsFrame::default() };
    let keyframe =
        Keyframe { values: vec![0.0; own.series.len()], series: own.series, ..Keyframe::default() };
    let records = values.values.len() as u64;
    let header = FrameHeader {
        agent: vec![agent; 16],
        class: Class::Metrics.into(),
        source: "own".to_owned(),
        records,
        bytes: records * 16,
        ..FrameHeader::default()
    };
    Decoded { header, end: <_>::default(), telemetry: Telemetry::Metrics(Arc::new(keyframe), values) }
}

struct Sinks;

impl Fanout for Sinks {
    fn sinks(&self) -> Vec<Sink> {
        let sink = |name: &str, classes: &[&'static str], state, behind_bytes, why: &str| Sink {
            name: name.to_owned(),
            classes: classes.to_vec(),
            state,
            why: why.to_owned(),
            behind_bytes,
            ..Sink::default()
        };
        vec![
            sink("prometheus", &["metrics"], Mood::Delivering, 0, ""),
            sink(
                "loki",
                &["logs", "logs_low"],
                Mood::Retrying,
                3_400_000,
                "cannot connect to 127.0.0.1:3100: connection refused",
            ),
            sink("tempo", &["spans"], Mood::Delivering, 0, ""),
            sink("embedded", &["metrics", "logs", "logs_low", "spans"], Mood::Delivering, 0, ""),
        ]
    }
}
