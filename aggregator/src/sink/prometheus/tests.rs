//! Remote write: what is sent, and what is not.

use std::sync::Arc;

use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::model::{Exemplar, Family, MetricType, STALE_NAN};
use ao_proto::remote::{TimeSeries, WriteRequest};
use prost::Message;

use super::*;
use crate::sink::api::Part;
use crate::sink::http::double::{answer, server};

/// A keyframe of gauges with these names.
fn keyframe(names: &[&str]) -> Arc<Keyframe> {
    let series = names.iter().map(|name| Series {
        labels: Labels::from_pairs([("__name__", *name), ("node", "n1"), ("job", "node-exporter")]),
        family: 0,
    });
    Arc::new(Keyframe { series: series.collect(), values: vec![0.0; names.len()], ..<_>::default() })
}

fn part(keyframe: &Arc<Keyframe>, frame: MetricsFrame) -> Part {
    let telemetry = Telemetry::Metrics(keyframe.clone(), frame);
    let records = telemetry.records();
    Part { frame: Arc::new(Decoded { header: <_>::default(), end: <_>::default(), telemetry }), records }
}

fn frame(at_ms: i64, values: &[f64]) -> MetricsFrame {
    MetricsFrame { at_ms, values: values.to_vec(), ..<_>::default() }
}

fn decode(body: &[u8]) -> Vec<TimeSeries> {
    WriteRequest::decode(body).expect("a WriteRequest").timeseries
}

fn samples(series: &TimeSeries) -> Vec<(i64, u64)> {
    series.samples.iter().map(|s| (s.timestamp, s.value.to_bits())).collect()
}

/// Scenario: frames of one keyframe out of order, another keyframe with a series of the same labels, an absent series.
/// Guarantees: each series stands once with its samples in order of time and its labels sorted.
#[test]
fn series_stand_once_and_in_order() {
    let (old, new) = (keyframe(&["a", "b"]), keyframe(&["b", "c"]));
    let absent = MetricsFrame { absent: vec![0], ..frame(3_000, &[0.0, 7.0]) };
    let parts = vec![
        part(&old, frame(2_000, &[1.0, 2.0])),
        part(&old, frame(1_000, &[3.0, 4.0])),
        part(&new, absent),
        part(&new, frame(4_000, &[5.0, 6.0])),
    ];
    let batch = Batch { parts, ..Batch::default() };
    let series = decode(&encode::write_request(&batch));
    let names: Vec<_> = series.iter().map(|s| s.labels[0].value.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(samples(&series[0]), [(1_000, 3f64.to_bits()), (2_000, 1f64.to_bits())]);
    assert_eq!(
        samples(&series[1]),
        [(1_000, 4f64.to_bits()), (2_000, 2f64.to_bits()), (4_000, 5f64.to_bits())]
    );
    assert_eq!(samples(&series[2]), [(3_000, 7f64.to_bits()), (4_000, 6f64.to_bits())]);
    for one in &series {
        let names: Vec<_> = one.labels.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(names, ["__name__", "job", "node"]);
    }
    assert_eq!(encode::write_request(&batch), encode::write_request(&batch.clone()));
}

/// Scenario: floats that are easily lost on the way.
/// Guarantees: every bit arrives, those of staleness markers, other NaNs and -0.0 too.
#[test]
fn values_are_bit_exact() {
    let bits = [STALE_NAN, 0x7ff8_0000_0000_0001, f64::INFINITY.to_bits(), (-0.0_f64).to_bits(), 0, 1];
    let names: Vec<String> = (0..bits.len()).map(|n| format!("m{n}")).collect();
    let keyframe = keyframe(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let batch =
        Batch { parts: vec![part(&keyframe, frame(-5, &bits.map(f64::from_bits)))], ..Batch::default() };
    let series = decode(&encode::write_request(&batch));
    let back: Vec<_> = series.iter().flat_map(samples).collect();
    assert_eq!(back, bits.map(|bits| (-5, bits)));
}

/// Scenario: a batch of which only some records are left, with an exemplar on one that is and one that is not.
/// Guarantees: only the chosen samples and their exemplars are sent.
#[test]
fn a_part_of_a_frame() {
    let exemplar = |series| Exemplar {
        series,
        labels: Labels::from_pairs([("trace_id", "abc")]),
        value: 0.5,
        at_ms: 900,
    };
    let exemplars = vec![exemplar(0), exemplar(1)];
    let keyframe = keyframe(&["a", "b", "c"]);
    let mut part = part(&keyframe, MetricsFrame { exemplars, ..frame(1_000, &[1.0, 2.0, 3.0]) });
    part.records = vec![1, 2];
    let series = decode(&encode::write_request(&Batch { parts: vec![part], ..Batch::default() }));
    assert_eq!(series.len(), 2);
    assert_eq!(series[0].exemplars.len(), 1);
    assert_eq!((series[0].exemplars[0].value, series[0].exemplars[0].timestamp), (0.5, 900));
    assert_eq!(series[0].exemplars[0].labels[0].value, "abc");
    assert!(series[1].exemplars.is_empty());
}

/// Scenario: a keyframe with two names that the receiver refuses, one of them absent from the frame.
/// Guarantees: just the one that would be sent is named.
#[test]
fn invalid_series_are_named() {
    let sink = Prometheus::new(&Config::default()).expect("a client");
    let keyframe = keyframe(&["a", "b-c", "d.e"]);
    let frame = MetricsFrame { absent: vec![2], ..frame(1_000, &[0.0; 3]) };
    let part = part(&keyframe, frame);
    assert_eq!(sink.check(&part.frame, Lane::Fresh), [(1, DropReason::Invalid)]);
}

/// Scenario: families are learnt, changed and learnt again.
/// Guarantees: their metadata is due once, soon after the first, and again after the interval.
#[tokio::test(start_paused = true)]
async fn metadata_once_in_a_while() {
    let metadata = Metadata::new(Duration::from_secs(600));
    let family = |help: &str| Family {
        name: "up".into(),
        kind: MetricType::Gauge,
        help: help.into(),
        unit: "".into(),
    };
    let keyframe = |help| Keyframe { families: vec![family(help)], ..<_>::default() };
    assert_eq!(metadata.due(Instant::now()), None);
    metadata.learn(&keyframe("old"));
    assert_eq!(metadata.due(Instant::now()), None);
    tokio::time::advance(Duration::from_secs(5)).await;
    let request = WriteRequest::decode(&*metadata.due(Instant::now()).expect("due")).expect("a request");
    assert_eq!((request.metadata[0].metric_family_name.as_str(), request.metadata[0].r#type), ("up", 2));
    metadata.learn(&keyframe("new"));
    tokio::time::advance(Duration::from_secs(599)).await;
    assert_eq!(metadata.due(Instant::now()), None);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(metadata.due(Instant::now()).is_some());
}

/// Scenario: the receiver takes a request, answers 500 to data as Prometheus 2 does, and 500 for its own sake.
/// Guarantees: the second is refused data, the third is not; headers and body are remote write's.
#[tokio::test]
async fn answers_over_the_wire() {
    let deeds = vec![
        answer("204 No Content", "", ""),
        answer("500 Internal Server Error", "", "too old sample\n"),
        answer("500 Internal Server Error", "", "no space left on device\n"),
    ];
    let (address, mut requests) = server(deeds).await;
    let config = Config { url: format!("http://{address}/api/v1/write"), ..Config::default() };
    let sink = Prometheus::new(&config).expect("a client");
    let keyframe = keyframe(&["a"]);
    let batch = Batch {
        parts: vec![part(&keyframe, frame(1_000, &[f64::from_bits(STALE_NAN)]))],
        ..Batch::default()
    };
    assert!(sink.send(&batch).await.is_ok());
    assert_eq!(sink.send(&batch).await.expect_err("refused").kind(), "refused");
    assert_eq!(sink.send(&batch).await.expect_err("ill").kind(), "server_error");
    let request = requests.recv().await.expect("a request");
    for line in ["content-encoding: snappy", "x-prometheus-remote-write-version: 0.1.0"] {
        assert!(request.head.contains(line), "{}", request.head);
    }
    let raw = snap::raw::Decoder::new().decompress_vec(&request.body).expect("snappy");
    assert_eq!(samples(&decode(&raw)[0]), [(1_000, STALE_NAN)]);
}
