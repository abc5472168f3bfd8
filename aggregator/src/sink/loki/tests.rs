//! Loki: what is sent, and what is not.

use std::sync::Arc;

use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::loki::PushRequest;
use ao_proto::model::Labels;
use ao_proto::v1::FrameHeader;
use prost::Message;

use super::*;
use crate::sink::api::Part;
use crate::sink::http::double::{answer, server};

const HOUR: i64 = 3_600_000_000_000;

/// A part of lines (stream, time, text), with a pair of metadata on each.
fn part(streams: &[Labels], lane: u32, lines: &[(u32, i64, &str)]) -> Part {
    let mut frame = LogFrame { streams: streams.to_vec(), ..<_>::default() };
    for (stream, at_ns, text) in lines {
        frame.entries.push(LogEntry { stream: *stream, at_ns: *at_ns, len: text.len() as u32, metadata: 1 });
        frame.text.push_str(text);
        frame.metadata.push(("pos".into(), frame.metadata.len().to_string().into()));
    }
    let telemetry = Telemetry::Logs(frame);
    let records = telemetry.records();
    let header = FrameHeader { lane, ..<_>::default() };
    Part { frame: Arc::new(Decoded { header, end: <_>::default(), telemetry }), records }
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
            (at.seconds * 1_000_000_000 + i64::from(at.nanos), entry.line, metadata.collect())
        });
        (stream.labels, entries.collect())
    });
    streams.collect()
}

/// Scenario: two frames whose streams overlap, lines out of order, one line left out.
/// Guarantees: each stream once, its lines in order of time with their metadata, the others as they were.
#[test]
fn streams_stand_once_and_in_order() {
    let mut first = part(&[labels("a"), labels("b")], 0, &[(0, 30, "x"), (1, 10, "y"), (0, 20, "z")]);
    let second = part(&[labels("b"), labels("a")], 0, &[(0, 5, "u"), (1, -1, "v")]);
    first.records = vec![0, 2];
    let batch = Batch { parts: vec![first, second] };
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

/// Scenario: labels with quotes, controls and other scripts; the backlog's lane; labels that Loki refuses.
/// Guarantees: text that Go reads back; the lane stands in its sorted place; refused ones are none.
#[test]
fn selectors() {
    let odd = Labels::from_pairs([("a", "q\" b\\ n\n t\t z\u{200b} \u{fc}")]);
    assert_eq!(
        encode::selector(&odd, 0).expect("valid"),
        "{a=\"q\\\" b\\\\ n\\n t\\u0009 z\u{200b} \u{fc}\"}"
    );
    let backlog = encode::selector(&labels("a"), 1);
    assert_eq!(backlog.as_deref(), Some("{app=\"a\", lane=\"backlog\", node=\"n1\"}"));
    let own = Labels::from_pairs([("lane", "x"), ("z", "1")]);
    assert_eq!(encode::selector(&own, 1).as_deref(), Some("{lane=\"backlog\", z=\"1\"}"));
    assert_eq!(encode::selector(&own, 0).as_deref(), Some("{lane=\"x\", z=\"1\"}"));
    for bad in ["a.b", "9a", "a:b", ""] {
        assert_eq!(encode::selector(&Labels::from_pairs([(bad, "v")]), 0), None, "{bad}");
    }
    assert_eq!(encode::selector(&Labels::default(), 0), None);
}

/// Scenario: a stream was accepted up to a time; later frames of both lanes reach further back.
/// Guarantees: what Loki might drop is named; the backlog's stream has a time of its own.
#[test]
fn never_too_far_behind() {
    let sink = Loki::new(&Config::default()).expect("a client");
    let streams = [labels("a"), Labels::from_pairs([("b-c", "v")])];
    let old = part(&streams, 0, &[(0, HOUR - 1, "x"), (0, HOUR, "y"), (1, HOUR, "z")]);
    assert_eq!(sink.check(&old.frame), [(2, DropReason::Invalid)]);
    let new = Batch { parts: vec![part(&[labels("a")], 0, &[(0, 2 * HOUR, "n"), (0, 9 * HOUR, "refused")])] };
    sink.newest.note(&encode::streams(&new), &[(0, 1)]);
    assert_eq!(sink.check(&old.frame), [(0, DropReason::TooOld), (2, DropReason::Invalid)]);
    let backlog = part(&[labels("a")], 1, &[(0, 0, "x")]);
    assert_eq!(sink.check(&backlog.frame), []);
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
    let batch = Batch { parts: vec![part(&[labels("a")], 0, &[(0, HOUR, "ok"), (0, 9 * HOUR, "too long")])] };
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
