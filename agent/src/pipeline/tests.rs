//! Stages over chunks, as the batcher gives them.

use ao_common::units::Span;
use ao_proto::model::{FileId, FileSpan, Labels};
use proptest::prelude::*;

mod documented;
mod stages;

use super::*;
use crate::event::Line;

/// A chunk of these lines, each read with a line end, from byte `start` of file `file` on.
fn chunk(file: u8, start: u64, lines: &[&str]) -> LogChunk {
    let mut end = 0;
    let line = |text: &&str| {
        end += text.len() as u32 + 1;
        Line {
            at_ns: i64::from(end),
            len: text.len() as u32,
            end,
            raw: text.len() as u32 + 1,
            ..Line::default()
        }
    };
    let entries: Vec<Line> = lines.iter().map(line).collect();
    let span = FileSpan { file: FileId([file; 16]), start, end: start + u64::from(end) };
    LogChunk {
        source: "logs",
        labels: Labels::from_pairs([("job", "test")]),
        shared: Labels::default(),
        pod: None,
        file: Some(span),
        bytes: span.end - span.start,
        lines: entries,
        text: lines.concat(),
        dropped: Vec::new(),
    }
}

fn pipeline(yaml: &str) -> Pipeline {
    Pipeline::new(&serde_yaml_ng::from_str(yaml).unwrap(), &Arc::default())
}

/// Every line with its labels.
fn lines(chunks: &[LogChunk]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for chunk in chunks {
        let mut from = 0;
        for line in &chunk.lines {
            let text = &chunk.text[from..from + line.len as usize];
            from += line.len as usize;
            all.push((chunk.labels.to_string(), text.to_owned()));
        }
    }
    all
}

/// Up to where each file is covered, and all bytes that were counted.
fn covered(chunks: &[LogChunk]) -> (u64, u64) {
    let spans = chunks.iter().filter_map(|chunk| chunk.file).filter(|span| span.start < span.end);
    let dropped = chunks.iter().flat_map(|chunk| &chunk.dropped).map(|dropped| dropped.bytes);
    let bytes = chunks.iter().map(|chunk| chunk.bytes).chain(dropped).sum();
    (spans.map(|span| span.end).max().unwrap_or_default(), bytes)
}

/// Scenario: lists of stages as people write them wrong.
/// Guarantees: each is refused with the place, the stage and what is wrong.
#[test]
fn refused() {
    for (yaml, message) in [
        ("stages: [{ rgex: {} }]", "stages[0].rgex: there is no such stage; there are "),
        (
            "stages: [{ output: { source: a } }, { regex: { expression: '(' } }]",
            "stages[1].regex: expression: \"(\"",
        ),
        ("stages: [{ regex: { expression: 'a' } }]", "no named group"),
        (
            "stages: [{ match: { selector: '{}', stages: [{ drop: {} }] } }]",
            "stages[0].match: stages[0].drop: give at least one of",
        ),
        ("stages: [{ match: { selector: '{}' } }]", "to leave lines out, say action: drop"),
        ("stages: [{ match: { selector: '{' , action: drop } }]", "a label's name is wanted at byte 1"),
        ("stages: [{ drop: { source: a, value: b, expression: c } }]", "not both"),
        ("stages: [{ drop: { longer_than: big } }]", "no size such as 8192"),
        ("stages: [{ drop: { source: a, drop_counter_reason: shed } }]", "the ledger itself uses shed"),
        ("stages: [{ json: { expressions: { a: 'length(b)' } } }]", "something else at byte 6"),
        ("stages: [{ labels: { 'a-b': } }]", "a label's name has letters"),
        ("stages: [{ limit: { rate: 0, burst: 1 } }]", "rate and burst must be above 0"),
        ("stages: [{ limit: { rate: 1, burst: 1, by_label_name: a } }]", "only with drop: true"),
        ("stages: [{ sampling: { rate: 2 } }]", "from 0 to 1"),
        ("stages: [{ tenant: { value: a } }]", "an agent has no tenants"),
        ("stages: [{ geoip: { db: a } }]", "there is no such stage; there are cri, "),
        ("stages: [{ template: { source: a, template: '{{ range }}' } }]", "there is no {{range}}"),
        ("stages: [{ replace: { expression: 'a', replace: b } }]", "it has no group"),
        ("stages: [{ metrics: { a: { type: summary } } }]", "counter, gauge or histogram"),
        ("stages: [{ metrics: { a: { type: counter } } }]", "a counter's action is inc or add"),
        ("stages: [{ metrics: { a-b: { type: counter, config: { action: inc } } } }]", "a label's name has"),
        ("stages: [{ timestamp: { source: a, format: soon } }]", "neither a name such as RFC3339"),
        ("stages: [{ timestamp: { source: a, format: Unix, location: Nowhere/Else } }]", "zoneinfo"),
        ("stages: [{ output: { sorce: a } }]", "stages[0].output: unknown field `sorce`"),
        ("stages: [{ output: { source: a }, labels: { a: } }]", "stages[0]: a stage is one name"),
        ("stages: [3]", "stages[0]: a stage is one name"),
    ] {
        let error = serde_yaml_ng::from_str::<Config>(yaml).unwrap_err().to_string();
        assert!(error.contains(message), "{yaml}: {error}");
    }
    assert_eq!(serde_yaml_ng::from_str::<Config>("stages:").unwrap().stages, Stages::default());
}

/// Scenario: values of an expression become labels and the line.
/// Guarantees: streams by label, order within each, the whole span covered once.
#[test]
fn values() {
    let mut pipeline = pipeline(
        r"stages:
            - regex: { expression: 'level=(?P<level>\w+) msg=(?P<msg>.*)' }
            - labels: { level: }
            - output: { source: msg }",
    );
    let out = pipeline.take(
        chunk(1, 100, &["level=info msg=a", "plain", "level=warn msg=b", "level=info msg=c"]),
        Instant::now(),
    );
    let found = lines(&out);
    let found: Vec<_> = found.iter().map(|(labels, text)| (&**labels, &**text)).collect();
    let job = r#"{job="test"}"#;
    let info = r#"{job="test", level="info"}"#;
    let warn = r#"{job="test", level="warn"}"#;
    assert_eq!(found, [(info, "a"), (info, "c"), (job, "plain"), (warn, "b")]);
    assert_eq!(covered(&out), (157, 57));
}

/// Scenario: stack traces over several chunks, then silence.
/// Guarantees: a block is one line; what it holds is not covered until it leaves, nor what was read behind it; the
/// wait ends it.
#[test]
fn blocks() {
    let mut pipeline = pipeline("stages: [{ multiline: { firstline: '^\\S', max_wait_time: 3s } }]");
    let now = Instant::now();
    let out = pipeline.take(chunk(1, 0, &["a", " b", "c"]), now);
    assert_eq!(lines(&out).iter().map(|(_, text)| &**text).collect::<Vec<_>>(), ["a\n b"]);
    assert_eq!(covered(&out), (5, 5));
    assert!(pipeline.holds(FileId([1; 16])));
    assert!(pipeline.take(chunk(1, 7, &[" d"]), now).iter().all(|chunk| chunk.lines.is_empty()));
    assert_eq!(pipeline.next_due(), Some(now + Span::secs(3).0));
    assert!(pipeline.due(Some(now)).is_empty());
    let out = pipeline.due(Some(now + Span::secs(3).0));
    assert_eq!(lines(&out).iter().map(|(_, text)| &**text).collect::<Vec<_>>(), ["c\n d"]);
    assert_eq!(covered(&out), (10, 5));
    assert!(!pipeline.holds(FileId([1; 16])) && pipeline.next_due().is_none());
}

/// Scenario: a block goes on in the file behind a rotation, while a third file is read; then silence.
/// Guarantees: what is handed on of a file stands together, lines before the span that covers them; the file that the
/// block began in comes first.
#[test]
fn files_by_themselves() {
    let mut pipeline = pipeline("stages: [{ multiline: { firstline: '^\\S' } }]");
    let now = Instant::now();
    let other = |chunk: LogChunk| LogChunk { labels: Labels::from_pairs([("job", "other")]), ..chunk };
    for chunk in [chunk(1, 0, &["a", " b"]), other(chunk(3, 0, &["x", " y"])), chunk(2, 0, &[" c"])] {
        assert!(pipeline.take(chunk, now).iter().all(|chunk| chunk.lines.is_empty()));
    }
    let out = pipeline.due(None);
    let texts: Vec<_> = out.iter().map(|chunk| (chunk.file.unwrap().file.0[0], &*chunk.text)).collect();
    assert_eq!(texts, [(1, "a\n b\n c"), (1, ""), (3, "x\n y"), (3, ""), (2, "")]);
    assert!(out.iter().all(|chunk| chunk.lines.is_empty() == (chunk.bytes > 0)));
}

/// Every stage that there is, and none that drops what others could still work on.
const ALL: &str = r#"stages: [
    cri, docker, decolorize, {multiline: {firstline: '^[a-b]', max_lines: 3}},
    {regex: {expression: '^(?P<r>.)(?P<s>.)?.*$', labels_from_groups: true}},
    {json: {expressions: {a: , b: 'b[0].c || a', c: }}}, {json: {source: a, expressions: {b: }}},
    {logfmt: {mapping: {a: , b: c}}}, {logfmt: {source: r, mapping: {c: }}},
    {template: {source: t, template: '{{ .Value }}{{ if .a }}{{ ToUpper .a | trunc 3 }}{{ else }}{{ Hash "x" .Entry }}{{ end }}'}},
    {timestamp: {source: a, format: RFC3339, fallback_formats: [Unix, '2006-01-02 15:04:05', 'Jan _2 3PM MST']}},
    {replace: {expression: '([0-9]+)[a-c](.)', replace: '{{ .Value | Sha2Hash "y" }}'}}, {replace: {source: a, expression: '(?P<x>.)'}},
    {labels: {a: , t: , x: }}, {static_labels: {z: 1}}, {labeldrop: [t]}, {structured_metadata: {b: , c: , x: }},
    severity, {severity: {source: b, target: other}}, trace_id, {trace_id: {source: a, target: id}},
    {metrics: {n: {type: Counter, config: {match_all: true, count_entry_bytes: true, action: add}}, g: {type: Gauge, source: a, config: {action: set}}, h: {type: Histogram, source: b}}},
    {match: {selector: '{a=~".+"} |~ "[0-9]"', stages: [{output: {source: a}}, {pack: {labels: [a, job]}}]}},
    {labelallow: [job, a, z]}, {drop: {expression: '^b'}}, {drop: {source: [a, b], value: '1;2'}},
    {sampling: {rate: 0.9}}, {limit: {rate: 1000, burst: 2}}, {limit: {rate: 1, burst: 5, drop: true, by_label_name: a}},
]"#;

proptest! {
    /// Scenario: any text through all stages, one behind the other.
    /// Guarantees: no panic; every line comes out, or is dropped for a reason, and all bytes are counted.
    #[test]
    fn any_text(lines in prop::collection::vec(r#"[{}",:=a-c\[\] 0-9TZ.-]{0,40}|\PC{0,40}"#, 1..6)) {
        let mut pipeline = pipeline(ALL);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let whole = chunk(1, 7, &lines);
        let end = whole.file.unwrap().end;
        let mut out = pipeline.take(whole, Instant::now());
        out.extend(pipeline.due(None));
        prop_assert_eq!(covered(&out), (end, end - 7));
    }

    /// Scenario: any lines in any chunks through blocks of any size.
    /// Guarantees: no text is lost or twice, spans are gapless and in order, and in the end all bytes are counted.
    #[test]
    fn nothing_is_lost(chunks in prop::collection::vec(prop::collection::vec("[ a][ab]{0,3}", 0..6), 0..8), most in 1_usize..5) {
        let mut pipeline = pipeline(&format!("stages: [{{ multiline: {{ firstline: '^a', max_lines: {most} }} }}]"));
        let (mut at, mut text, mut end) = (0, String::new(), 0);
        let mut bytes = 0;
        let mut see = |out: Vec<LogChunk>| {
            for chunk in out {
                text.push_str(&chunk.text.replace('\n', ""));
                bytes += chunk.bytes;
                if let Some(span) = chunk.file.filter(|span| span.start < span.end) {
                    assert_eq!(span.start, end);
                    end = span.end;
                }
            }
        };
        let mut whole = String::new();
        for lines in &chunks {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let next = chunk(1, at, &lines);
            at += next.bytes;
            whole += &next.text;
            see(pipeline.take(next, Instant::now()));
        }
        see(pipeline.due(None));
        prop_assert_eq!(text, whole);
        prop_assert_eq!((end, bytes), (at, at));
    }
}
