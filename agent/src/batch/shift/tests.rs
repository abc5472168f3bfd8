//! Clocks that are right, stepped, and off, and what becomes of the times of records.

use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::ScopeSpans;
use opentelemetry_proto::tonic::trace::v1::span;

use super::*;
use crate::event::Line;

/// What, the step, the correction, the times, and what becomes of them.
type LineCase = (&'static str, i64, i64, &'static [i64], &'static [i64]);
/// The step; the application, start and end of each span; start and end that they come to.
type SpanCase = (i64, &'static [(&'static str, i64, i64)], &'static [(i64, i64)]);

const S: i64 = 1_000_000_000;
const H: i64 = 3_600;
/// Now, in seconds.
const NOW: i64 = 1_795_363_200;

/// The system's clock was set by `step` a minute ago, after ten minutes of being right.
fn view(step: i64, correction: i64) -> View {
    let stretch = |from: i64, until: i64, ahead: i64| Stretch {
        from_ns: (NOW + from + ahead) * S,
        until_ns: (NOW + until + ahead) * S,
        ahead_ns: ahead * S,
    };
    let stretches = if step == 0 { Vec::new() } else { vec![stretch(-60, 0, step), stretch(-660, -60, 0)] };
    View { now: (NOW + correction) * S, correction: correction * S, stretches }
}

fn chunk(at: impl IntoIterator<Item = i64>) -> LogChunk {
    let lines: Vec<_> =
        at.into_iter().map(|at| Line { at_ns: (NOW + at) * S, len: 1, ..Line::default() }).collect();
    LogChunk {
        source: "logs",
        labels: Labels::default(),
        shared: <_>::default(),
        pod: None,
        file: None,
        bytes: 0,
        text: "x".repeat(lines.len()),
        lines,
        dropped: Vec::new(),
    }
}

fn shifter() -> Shifter {
    Shifter::new(Arc::default())
}

/// Scenario: lines from around now, long ago and the future (seconds from now), under a clock that is right, was set
/// by an hour, is wrong as a whole; and lines of a program whose own clock is ahead.
/// Guarantees: each line of a clock that is known comes to the time it was written; what is merely old stays; nothing
/// stays in the future, and what one clock stamped keeps its order and distances.
#[test]
fn lines_come_to_our_clock() {
    let cases: &[LineCase] = &[
        ("right", 0, 0, &[-9 * H, -H, -1, 0, 60], &[-9 * H, -H, -1, 0, 60]),
        ("ahead", H, 0, &[-90, -61, H - 60, H - 1, H], &[-90, -61, -60, -1, 0]),
        ("ahead, and lines of ours", H, 0, &[-1, H - 1, 0, H], &[-1, -1, 0, 0]),
        ("behind", -H, 0, &[-90, -61, -H - 60, -H - 1, -H], &[-90, -61, -60, -1, 0]),
        ("behind, and a file of the day before", -H, 0, &[-24 * H, -2 * H], &[-24 * H, -2 * H]),
        ("our own is ahead", 0, -H, &[-2 * H, -9, 0], &[-3 * H, -H - 9, -H]),
        ("our own is ahead and the system's further", H, -H, &[-61, H - 59, H], &[-H - 61, -H - 59, -H]),
        ("another's is ahead", 0, 0, &[-5, 2 * H, 2 * H + 7, -4], &[-5, -7, 0, -4]),
        ("and one far from it", 0, 0, &[9_999 * H, 2 * H, 2 * H + 1], &[0, 0, 1]),
    ];
    for (what, step, correction, at, expect) in cases {
        let mut chunk = chunk(at.iter().copied());
        let moved = shifter().lines(&view(*step, *correction), &mut chunk);
        // Lines that would be the same were told apart by a nanosecond.
        let found: Vec<i64> = chunk.lines.iter().map(|line| line.at_ns.div_euclid(S) - NOW).collect();
        assert_eq!(found, *expect, "{what}");
        assert_eq!(moved, at.iter().zip(*expect).filter(|(a, b)| a != b).count() as u64, "{what}");
        assert!(chunk.lines.windows(2).all(|w| w[0].at_ns != w[1].at_ns), "{what}: two lines became one");
    }
}

/// Scenario: a program whose clock is an hour ahead writes a chunk every ten seconds; then it is set right.
/// Guarantees: the offset found first holds for the stream: distances stay across chunks; lines that are right stay.
#[test]
fn a_stream_keeps_its_offset() {
    let mut shifter = shifter();
    let mut found = Vec::new();
    for n in 0..6 {
        let mut clocks = view(0, 0);
        clocks.now += n * 10 * S;
        let late = if n == 2 { 3 } else { 0 };
        let mut chunk = chunk([H + n * 10 - 9 - late, H + n * 10 - late]);
        shifter.lines(&clocks, &mut chunk);
        found.extend(chunk.lines.iter().map(|line| line.at_ns / S - NOW));
    }
    assert_eq!(found, [-9, 0, 1, 10, 8, 17, 21, 30, 31, 40, 41, 50]);
    let mut right = chunk([60]);
    assert_eq!(shifter.lines(&view(0, 0), &mut right), 0);
}

fn request(spans: &[(&str, i64, i64)]) -> SpanChunk {
    let resource = |(name, start, end): &(&str, i64, i64)| {
        let time = |at: i64| ((NOW + at) * S) as u64;
        let event = span::Event { time_unix_nano: time(*end), ..span::Event::default() };
        let span = Span {
            start_time_unix_nano: time(*start),
            end_time_unix_nano: time(*end),
            events: vec![event, span::Event::default()],
            ..Span::default()
        };
        let scope = ScopeSpans { spans: vec![span], schema_url: (*name).to_owned(), ..ScopeSpans::default() };
        let resource = Resource { dropped_attributes_count: name.len() as u32, ..Resource::default() };
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope], ..ResourceSpans::default() }
    };
    let request = ExportTraceServiceRequest { resource_spans: spans.iter().map(resource).collect() };
    let times = spans.iter().fold((i64::MAX, i64::MIN), |(a, b), s| (a.min(s.1), b.max(s.2)));
    SpanChunk {
        source: "otlp",
        spans: spans.len() as u64,
        times_ns: ((NOW + times.0) * S, (NOW + times.1) * S),
        request: Bytes::from(request.encode_to_vec()),
        stored: None,
    }
}

/// Scenario: spans of one, of two applications, under clocks that are right, set, and ahead.
/// Guarantees: a span is moved as a whole, its events with it, by the clock that its end was stamped with; two
/// applications do not share an offset; a request of right times stays the bytes that it was.
#[test]
fn spans_come_to_our_clock() {
    let cases: &[SpanCase] = &[
        (0, &[("a", -5 * H, -1), ("b", -1, 0)], &[(-5 * H, -1), (-1, 0)]),
        (H, &[("a", -70, -65), ("b", H - 3, H - 1)], &[(-70, -65), (-3, -1)]),
        (-H, &[("a", -H - 3, -H - 1), ("b", -9 * H, -8 * H)], &[(-3, -1), (-9 * H, -8 * H)]),
        (0, &[("a", H, H + 2), ("bb", 9 * H, 9 * H + 5)], &[(-2, 0), (-5, 0)]),
    ];
    for (step, spans, expect) in cases {
        let mut chunk = request(spans);
        let before = chunk.request.clone();
        let moved = shifter().spans(&view(*step, 0), &mut chunk);
        let after = ExportTraceServiceRequest::decode(chunk.request.clone()).unwrap();
        let found: Vec<_> = after.resource_spans.iter().map(|r| &r.scope_spans[0].spans[0]).collect();
        let seconds = |time: u64| time as i64 / S - NOW;
        let times: Vec<_> =
            found.iter().map(|s| (seconds(s.start_time_unix_nano), seconds(s.end_time_unix_nano))).collect();
        assert_eq!(times, *expect, "{step}");
        for (span, (_, end)) in found.iter().zip(*expect) {
            let events: Vec<_> = span.events.iter().map(|e| e.time_unix_nano).collect();
            assert_eq!(events, [((NOW + end) * S) as u64, 0]);
        }
        assert_eq!(moved == 0, chunk.request == before, "{step}");
        let oldest = expect.iter().map(|times| times.0).min().unwrap();
        assert_eq!(chunk.times_ns.0 / S - NOW, oldest);
    }
}

/// Scenario: our clock's offset to the aggregator's grows, wanders, and goes.
/// Guarantees: nothing is corrected below a minute; beyond it the correction is steady, and follows what is more.
#[test]
fn the_correction_is_steady() {
    let mut now = 0;
    let steps = [(59, 0), (61, -61), (63, -61), (60, 0), (H, -H), (H + 4, -H), (H + 6, -H - 6), (-H, 0)];
    for (offset, expect) in steps {
        now = correction(now, offset * S);
        assert_eq!(now, expect * S, "{offset}");
    }
}

/// Scenario: a set of samples from a clock that was ours a moment ago and is an hour ahead now.
/// Guarantees: it is moved as a whole and counted by its samples.
#[test]
fn a_set_comes_to_our_clock() {
    let mut set = MetricSet::new("latency", "smokeping", (NOW + H) * 1_000);
    set.one("a", ao_proto::model::MetricType::Gauge, "", 1.0);
    assert_eq!(shifter().set(&view(0, 0), &mut set), 1);
    assert_eq!(set.at_ms, NOW * 1_000);
    assert_eq!(shifter().set(&view(0, -H), &mut set), 1);
    assert_eq!(set.at_ms, (NOW - H) * 1_000);
}
