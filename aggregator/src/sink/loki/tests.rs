//! Loki: what is sent, and what is not.

use std::sync::Arc;

use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::loki::PushRequest;
use ao_proto::model::Labels;
use prost::Message;

use super::*;
use crate::sink::api::Part;
use crate::sink::http::double::{answer, server};

const HOUR: i64 = 3_600_000_000_000;

/// A part of lines (stream, time, text), with a pair of metadata on each.
fn part(streams: &[Labels], lines: &[(u32, i64, &str)]) -> Part {
    let mut frame = LogFrame { streams: streams.to_vec(), ..<_>::default() };
    for (stream, at_ns, text) in lines {
        frame.entries.push(LogEntry { stream: *stream, at_ns: *at_ns, len: text.len() as u32, metadata: 1 });
        frame.text.push_str(text);
        frame.metadata.push(("pos".into(), frame.metadata.len().to_string().into()));
    }
    let telemetry = Telemetry::Logs(frame);
    let records = telemetry.records();
    Part { frame: Arc::new(Decoded { header: <_>::default(), end: <_>::default(), telemetry }), records }
}

fn labels(app: &str) -> Labels {
    Labels::from_pairs([("app", app), ("node", "n1")])
}

/// Time, line and metadata.
type Line = (i64, String, String);

fn decode(batch: &Batch) -> Vec<(String, Vec<Line>)> {
    let body = compress(&encode::push_request(&encode::streams(batch))).expect("small enough");
    let raw = snap::raw::Decoder::new().decompress_vec(&body).expect("snappy");
    let request = PushRequest::decode(&*raw).expect("a PushRequest");
    let streams = request.streams.into_iter().map(|stream| {
        let entries = stream.entries.into_iter().map(|entry| {
            let at = entry.timestamp.expect("always set");
            let metadata = entry.structured_metadata.into_iter().map(|p| format!("{}={}", p.name, p.value));
            (
                at.seconds * 1_000_000_000 + i64::from(at.nanos),
                entry.line,
                metadata.collect::<Vec<_>>().join(" "),
            )
        });
        (stream.labels, entries.collect())
    });
    streams.collect()
}

/// Scenario: two frames whose streams overlap, lines out of order, one line left out.
/// Guarantees: each stream once, its lines in order of time with their metadata, the others as they were.
#[test]
fn streams_stand_once_and_in_order() {
    let mut first = part(&[labels("a"), labels("b")], &[(0, 30, "x"), (1, 10, "y"), (0, 20, "z")]);
    let second = part(&[labels("b"), labels("a")], &[(0, 5, "u"), (1, -1, "v")]);
    first.records = vec![0, 2];
    let batch = Batch { parts: vec![first, second], ..Batch::default() };
    let entry = |at, line: &str, metadata: &str| (at, line.to_owned(), metadata.to_owned());
    assert_eq!(
        decode(&batch),
        [
            (
                "{app=\"a\", node=\"n1\"}".to_owned(),
                vec![entry(-1, "v", "pos=1"), entry(20, "z", "pos=2"), entry(30, "x", "pos=0")]
            ),
            ("{app=\"b\", node=\"n1\"}".to_owned(), vec![entry(5, "u", "pos=0")]),
        ]
    );
    assert_eq!(decode(&batch), decode(&batch.clone()));
}

/// Scenario: streams whose lines have metadata in common, one of them a name that the lines have themselves; two streams
/// that differ in nothing else, and one that has none.
/// Guarantees: each line has it, its own first; the two are one stream.
#[test]
fn what_lines_share_is_on_each() {
    let mut part = part(&[labels("a"), labels("a"), labels("b")], &[(0, 1, "x"), (1, 2, "y"), (2, 3, "z")]);
    let Some(frame) = Arc::get_mut(&mut part.frame) else { unreachable!() };
    let Telemetry::Logs(logs) = &mut frame.telemetry else { unreachable!() };
    logs.shared = vec![
        Labels::from_pairs([("pod_uid", "u1"), ("pos", "hidden")]),
        Labels::from_pairs([("pod_uid", "u2")]),
    ];
    let metadata: Vec<_> = decode(&Batch { parts: vec![part], ..Batch::default() })
        .into_iter()
        .map(|(_, lines)| lines.into_iter().map(|(_, _, metadata)| metadata).collect::<Vec<_>>())
        .collect();
    assert_eq!(metadata, [vec!["pos=0 pod_uid=u1", "pos=1 pod_uid=u2"], vec!["pos=2"]]);
}

/// Scenario: labels with quotes, controls and other scripts; the backlog's lane; labels that Loki refuses.
/// Guarantees: text that Go reads back; the lane stands in its sorted place; refused ones are none.
#[test]
fn selectors() {
    let odd = Labels::from_pairs([("a", "q\" b\\ n\n t\t z\u{200b} \u{fc}")]);
    assert_eq!(
        encode::selector(&odd, Lane::Fresh).expect("valid"),
        "{a=\"q\\\" b\\\\ n\\n t\\u0009 z\u{200b} \u{fc}\"}"
    );
    let backlog = encode::selector(&labels("a"), Lane::Backlog);
    assert_eq!(backlog.as_deref(), Some("{app=\"a\", lane=\"backlog\", node=\"n1\"}"));
    let late = encode::selector(&labels("a"), Lane::Late);
    assert_eq!(late.as_deref(), Some("{app=\"a\", lane=\"late\", node=\"n1\"}"));
    let own = Labels::from_pairs([("lane", "x"), ("z", "1")]);
    assert_eq!(encode::selector(&own, Lane::Backlog).as_deref(), Some("{lane=\"backlog\", z=\"1\"}"));
    assert_eq!(encode::selector(&own, Lane::Fresh).as_deref(), Some("{lane=\"x\", z=\"1\"}"));
    for bad in ["a.b", "9a", "a:b", ""] {
        assert_eq!(encode::selector(&Labels::from_pairs([(bad, "v")]), Lane::Fresh), None, "{bad}");
    }
    assert_eq!(encode::selector(&Labels::default(), Lane::Fresh), None);
}

/// Scenario: a stream was accepted up to a time; later frames of both lanes reach further back.
/// Guarantees: what Loki might drop is named; the backlog's stream has a time of its own.
#[test]
fn never_too_far_behind() {
    let sink = Loki::new(&Config::default()).expect("a client");
    let streams = [labels("a"), Labels::from_pairs([("b-c", "v")])];
    let old = part(&streams, &[(0, HOUR - 1, "x"), (0, HOUR, "y"), (1, HOUR, "z")]);
    assert_eq!(sink.check(&old.frame, Lane::Fresh), [(2, DropReason::Invalid)]);
    let new = Batch {
        parts: vec![part(&[labels("a")], &[(0, 2 * HOUR, "n"), (0, 9 * HOUR, "refused")])],
        ..Batch::default()
    };
    sink.newest.note(&encode::streams(&new), &[(0, 1)]);
    assert_eq!(sink.check(&old.frame, Lane::Fresh), [(0, DropReason::TooOld), (2, DropReason::Invalid)]);
    let behind = part(&[labels("a")], &[(0, 0, "x")]);
    for lane in [Lane::Backlog, Lane::Late] {
        assert_eq!(sink.check(&behind.frame, lane), []);
    }
}

/// Scenario: a stream was accepted up to a time; the process ends; the next one gets a line from two hours before.
/// Guarantees: it is still known to be too far behind; what was not stored before the end is not.
#[test]
fn never_too_far_behind_after_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let open = || {
        let sink = Loki::new(&Config::default()).expect("a client");
        sink.keep_in(dir.path()).expect("a file");
        sink
    };
    let batch = |at| Batch { parts: vec![part(&[labels("a")], &[(0, at, "x")])], ..Batch::default() };
    let too_old = |sink: &Loki, at| sink.check(&batch(at).parts[0].frame, Lane::Fresh).len() == 1;
    let sink = open();
    sink.newest.note(&encode::streams(&batch(3 * HOUR)), &[]);
    sink.keep().expect("written");
    sink.newest.note(&encode::streams(&batch(2 * HOUR)), &[]);
    sink.newest.note(&encode::streams(&batch(9 * HOUR)), &[]);
    assert!(too_old(&sink, 8 * HOUR - 1) && !too_old(&sink, 8 * HOUR));
    let sink = open();
    assert!(too_old(&sink, 2 * HOUR - 1) && !too_old(&sink, 2 * HOUR));
    for hour in 3..50_000 {
        sink.newest.note(&encode::streams(&batch(hour)), &[]);
        sink.newest.note(&encode::streams(&batch(3 * HOUR + hour)), &[]);
        sink.keep().expect("written");
    }
    assert!(std::fs::metadata(dir.path().join("loki.newest")).expect("a file").len() < 1 << 20);
    assert!(too_old(&open(), 2 * HOUR + 49_998));
}

/// Scenario: Loki takes a push but for a line that is too long, then a whole one, then says something unknown.
/// Guarantees: the line alone counts as refused and is not remembered as the stream's newest; the rest is as the status
/// says; what was sent decodes to what was given.
#[tokio::test]
async fn answers_over_the_wire() {
    let long =
        "Max entry size '4' bytes exceeded for stream '{app=\"a\", node=\"n1\"}' while adding an entry";
    let deeds = vec![
        answer("400 Bad Request", "", long),
        answer("204 No Content", "", ""),
        answer("400 Bad Request", "", "couldn't parse labels"),
    ];
    let (address, mut requests) = server(deeds).await;
    let config = Config { url: format!("http://{address}/loki/api/v1/push"), ..Config::default() };
    let sink = Loki::new(&config).expect("a client");
    let batch = Batch {
        parts: vec![part(&[labels("a")], &[(0, HOUR, "ok"), (0, 9 * HOUR, "too long")])],
        ..Batch::default()
    };
    let accepted = sink.send(&batch).await.expect("taken but for one");
    assert_eq!(accepted.refused, [(0, 1)]);
    assert_eq!(sink.newest.floor("{app=\"a\", node=\"n1\"}"), 0);
    assert_eq!(sink.send(&batch).await, Ok(Accepted::default()));
    assert_eq!(sink.newest.floor("{app=\"a\", node=\"n1\"}"), 8 * HOUR);
    assert_eq!(sink.send(&batch).await.expect_err("refused").kind(), "refused");
    let mut bodies = Vec::new();
    for _ in 0..3 {
        let request = requests.recv().await.expect("a request");
        assert!(request.head.contains("content-type: application/x-protobuf"), "{}", request.head);
        bodies.push(request.body);
    }
    assert!(bodies[0] == bodies[1] && bodies[1] == bodies[2]);
    assert_eq!(bodies[0], compress(&encode::push_request(&encode::streams(&batch))).expect("small"));
}
