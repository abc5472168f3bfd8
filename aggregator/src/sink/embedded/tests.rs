//! Tests of the store as a whole: what it keeps, and that it stays within its bounds.

use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::model::{Labels, STALE_NAN, Series};
use ao_proto::v1::FrameHeader;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan};

use super::logs::{Level, Query};
use super::*;

fn small() -> Store {
    Store::new(&Config {
        series_memory: Size(2 << 20),
        log_memory: Size(256 << 10),
        trace_memory: Size(128 << 10),
        log_lines: 1_000,
        ..Config::default()
    })
}

fn absorb(store: &Store, frame: Decoded, now_ms: i64) {
    store.absorb_records(&frame, &frame.telemetry.records(), now_ms);
}

fn frame(class: Class, telemetry: Telemetry) -> Decoded {
    let records = telemetry.records().len() as u64;
    let header = FrameHeader {
        agent: vec![7; 16],
        class: class.into(),
        records,
        bytes: records * 10,
        ..FrameHeader::default()
    };
    Decoded { header, end: <_>::default(), telemetry }
}

fn keyframe(series: impl IntoIterator<Item = Vec<(&'static str, String)>>) -> Arc<Keyframe> {
    let series: Vec<Series> =
        series.into_iter().map(|labels| Series { labels: Labels::from_pairs(labels), family: 0 }).collect();
    Arc::new(Keyframe { values: vec![0.0; series.len()], series, ..Keyframe::default() })
}

fn metrics(keyframe: &Arc<Keyframe>, at_ms: i64, values: Vec<f64>) -> Decoded {
    let values = MetricsFrame { at_ms, values, ..MetricsFrame::default() };
    frame(Class::Metrics, Telemetry::Metrics(keyframe.clone(), values))
}

fn lines(node: &str, file: &str, lines: &[&str]) -> Decoded {
    let entry = |line: &&str| LogEntry { len: line.len() as u32, ..LogEntry::default() };
    let lines = LogFrame {
        streams: vec![Labels::from_pairs([("node_name", node), ("filename", file)])],
        shared: vec![Labels::from_pairs([("pod_uid", file)])],
        entries: lines.iter().map(entry).collect(),
        text: lines.concat(),
        ..LogFrame::default()
    };
    frame(Class::Logs, Telemetry::Logs(lines))
}

fn span(trace: u128, id: u64, parent: u64, name: &str) -> OtlpSpan {
    OtlpSpan {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
        name: name.to_owned(),
        start_time_unix_nano: id,
        end_time_unix_nano: id + 10,
        ..OtlpSpan::default()
    }
}

fn traces(spans: Vec<OtlpSpan>) -> Decoded {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    frame(Class::Spans, Telemetry::Spans(ExportTraceServiceRequest { resource_spans }))
}

/// Scenario: a million values of ten thousand series, all changing, into two mebibytes.
/// Guarantees: never more than the bound by our own count; history gets shorter before a series is refused; what is
/// refused is counted, and a value that came is the last value shown.
#[test]
fn series_stay_within_their_memory() {
    let store = small();
    let keyframe = keyframe((0..10_000).map(|i| vec![("__name__", "m".to_owned()), ("i", i.to_string())]));
    for round in 0..100 {
        let values = (0..10_000).map(|i| f64::from(i + round)).collect();
        absorb(&store, metrics(&keyframe, i64::from(round) * 5_000, values), i64::from(round) * 5_000);
        let fill = store.series().fill();
        assert!(fill.bytes <= fill.max_bytes, "{fill:?} at round {round}");
    }
    let fill = store.series().fill();
    assert!(fill.series > 1_000 && fill.series < 10_000, "{fill:?}");
    assert_eq!(fill.history_ms, 60_000);
    assert!(fill.refused > 0);
    let book = store.series();
    let track = book.named("m").next().unwrap();
    let number: f64 = track.label("i").parse().unwrap();
    assert_eq!(track.last().unwrap().value, number + 99.0);
}

/// Scenario: few series over a long time, one of them never changing.
/// Guarantees: history reaches back as far as configured and not farther; a run of equal values costs two points.
#[test]
fn history_has_an_end_and_runs_are_cheap() {
    let store = small();
    let keyframe = keyframe(["still", "moving"].map(|name| vec![("__name__", name.to_owned())]));
    for at in (0..7_200).step_by(5) {
        let at_ms = i64::from(at) * 1_000;
        absorb(&store, metrics(&keyframe, at_ms, vec![1.0, f64::from(at)]), at_ms);
    }
    let book = store.series();
    assert_eq!(book.named("still").next().unwrap().points().count(), 2);
    let moving: Vec<_> = book.named("moving").next().unwrap().points().collect();
    assert_eq!(moving.last().unwrap().at_ms - moving[0].at_ms, 1_800_000);
    assert_eq!(moving.len(), 361);
}

/// Scenario: an outage, late values from the backlog lane, a repeated value, a staleness marker, silence.
/// Guarantees: the gap is marked until it is filled; order is kept; the later of two values at one time stays; a
/// marker ends a series, unless newer values have come; a silent series is forgotten.
#[test]
fn gaps_late_values_and_ends() {
    let store = small();
    let nothing = keyframe([]);
    let keyframe = keyframe([vec![("__name__", "x".to_owned())]]);
    let put = |at_ms: i64, value: f64| absorb(&store, metrics(&keyframe, at_ms, vec![value]), at_ms);
    let values = || -> Vec<(i64, f64)> {
        let book = store.series();
        book.named("x").flat_map(|t| t.points().map(|p| (p.at_ms, p.value)).collect::<Vec<_>>()).collect()
    };
    put(1_000, 1.0);
    put(400_000, 2.0);
    assert!(values()[1].1.is_nan());
    put(200_000, 1.5);
    put(200_000, 1.6);
    let now = values();
    assert_eq!((now[2], now[3]), ((200_000, 1.6), (400_000, 2.0)));
    put(300_000, f64::from_bits(STALE_NAN));
    assert_eq!(values().len(), 4);
    put(410_000, f64::from_bits(STALE_NAN));
    assert!(values().is_empty());
    assert_eq!(store.series().fill().bytes, 0);
    put(420_000, 3.0);
    absorb(&store, metrics(&nothing, 9_000_000, vec![]), 9_000_000);
    assert_eq!(store.series().fill().series, 0);
}

/// Scenario: one node writes a flood of long lines, another one a few short ones.
/// Guarantees: lines and bytes stay within their bounds; the flood makes way for itself; streams without lines go.
#[test]
fn log_lines_stay_within_their_memory() {
    let store = small();
    let quiet = lines("quiet", "quiet.log", &["one", "two"]);
    absorb(&store, quiet, 0);
    for i in 0..5_000 {
        let line = format!("{i} {}", "x".repeat(i % 9_000));
        absorb(&store, lines("loud", &format!("{}.log", i / 10), &[&line]), 0);
        let fill = store.logs().fill();
        assert!(fill.bytes <= fill.max_bytes && fill.lines <= 1_002, "{fill:?}");
    }
    let ring = store.logs();
    assert_eq!(ring.find("quiet", &Query::default(), 0, 10).len(), 2);
    assert_eq!(ring.fill().arrived, 5_002);
    assert_eq!(ring.fill().evicted as usize, 5_002 - ring.fill().lines);
    let newest = ring.find("", &Query::default(), 0, 1);
    assert!(newest[0].text.starts_with("4999 ") && newest[0].text.len() <= 8 << 10);
}

/// Scenario: filters as people type them, over lines of two nodes.
/// Guarantees: words, phrases, exclusions, levels and nodes narrow as they say; `after` gives what is new only.
#[test]
fn log_filter() {
    let store = small();
    absorb(
        &store,
        lines(
            "a",
            "app.log",
            &["INFO started in 12 ms", "ERROR Connection refused by peer", "WARN slow peer"],
        ),
        0,
    );
    absorb(&store, lines("b", "Kern.log", &["connection up", "peer refused"]), 0);
    let find = |node: &str, q: &str, level, after| -> Vec<String> {
        let found = store.logs().find(node, &Query::new(q, level), after, 10);
        found.iter().map(|line| line.text.to_string()).collect()
    };
    assert_eq!(find("", "", None, 0).len(), 5);
    assert_eq!(find("", "PEER -slow", None, 0), ["ERROR Connection refused by peer", "peer refused"]);
    assert_eq!(find("", "\"connection refused\"", None, 0), ["ERROR Connection refused by peer"]);
    assert_eq!(find("", "", Some(Level::Warn), 0), ["ERROR Connection refused by peer", "WARN slow peer"]);
    assert_eq!(find("", "", Some(Level::Info), 0).len(), 5);
    assert_eq!(find("b", "", None, 0), ["connection up", "peer refused"]);
    assert_eq!(find("", "kern.log", None, 0).len(), 2);
    assert_eq!(find("", "", None, 4), ["peer refused"]);
    assert_eq!(find("", "- \"", None, 0).len(), 5, "a half-typed filter is none yet");
}

/// Scenario: many traces, some spans of which come twice, and spans with ids of the wrong length.
/// Guarantees: bytes stay within the bound, the oldest go; a span counts once; bad ids are passed over.
#[test]
fn traces_stay_within_their_memory() {
    let store = small();
    for i in 0..5_000_u128 {
        let spans = vec![span(i + 1, 1, 0, "root"), span(i + 1, 2, 1, "child"), span(i + 1, 2, 1, "child")];
        absorb(&store, traces(spans), 0);
        let fill = store.traces().fill();
        assert!(fill.bytes <= fill.max_bytes, "{fill:?}");
    }
    absorb(&store, traces(vec![OtlpSpan { trace_id: vec![1; 3], ..OtlpSpan::default() }]), 0);
    let ring = store.traces();
    assert!(ring.fill().traces > 50);
    assert_eq!(ring.newest().count(), ring.fill().traces);
    let newest = ring.newest().next().unwrap();
    assert_eq!((newest.id, newest.count), (5_000_u128.to_be_bytes(), 2));
    assert_eq!(&*newest.root().unwrap().name, "root");
}

/// Scenario: two agents report; one goes on after a pause longer than the window of the rates.
/// Guarantees: names come from the telemetry; rates count what came in the last minute and nothing of before.
#[test]
fn nodes_and_their_rates() {
    let store = small();
    let frame = lines("web-1", "app.log", &["x"]);
    for at in 0..12 {
        absorb(&store, frame.clone(), at * 10_000);
    }
    let of = |store: &Store| store.nodes().all().remove(0);
    assert_eq!(&*of(&store).name, "web-1");
    assert!((of(&store).arrivals[2].rate(120_000).0 - 0.1).abs() < 1e-9);
    absorb(&store, frame, 7_200_000);
    assert_eq!(of(&store).arrivals[2].rate(7_200_000).0, 0.0);
    assert_eq!(of(&store).arrivals[2].records, 13);
    assert_eq!(of(&store).last_ms, 7_200_000);
}
