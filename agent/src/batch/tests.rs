//! The batcher over a spool of its own.

use std::time::Duration;

use ao_proto::model::{FileSpan, Labels};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::*;
use crate::context::Node;
use crate::event::{Line, PodRef};
use crate::{enrich, pipeline, rules, spool, streams};

fn steps(enricher: Enricher, pipeline: &pipeline::Config) -> Steps {
    Steps {
        enricher,
        pipeline: Pipeline::new(pipeline, &Arc::default()),
        rules: Rules::new(rules::Config::default(), &Arc::default()),
        streams: Streams::new(streams::Config::default(), Arc::default()),
    }
}

/// Scenario: frames are closed at an age of minutes; spans come whose sender waits for the disk.
/// Guarantees: the sender hears of it long before.
#[tokio::test]
async fn spans_that_are_waited_for_do_not_wait_for_the_age() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Arc::<Metrics>::default();
    let opened = spool::open(dir.path(), &spool::Config::default(), Arc::clone(&metrics)).unwrap();
    let enricher = Enricher::new(enrich::Config::default(), Arc::<Node>::default());
    let config = Config { age: Span::secs(600), ..Config::default() };
    let batcher = Batcher::new(
        config,
        opened.agent,
        steps(enricher, &pipeline::Config::default()),
        opened.spool,
        metrics,
    );
    let (events, arriving) = mpsc::channel(8);
    let (_keep, directives) = watch::channel(Arc::default());
    let running = tokio::spawn(batcher.run(arriving, directives));
    let (stored, told) = oneshot::channel();
    let request = Bytes::from_static(b"\x0a\x00");
    let chunk = SpanChunk { source: "otlp", spans: 1, times_ns: (1, 1), request, stored: Some(stored) };
    events.send(Event::Spans(chunk)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), told).await.unwrap().unwrap();
    drop(events);
    running.await.unwrap();
    opened.journal.close().await;
}

/// Scenario: lines of a pod that is not known yet wait while their file is deleted and forgotten; another file is begun
/// anew under the same identity before its old lines have gone on.
/// Guarantees: the one's checkpoint goes behind its last line, and does not come back; the other's stays.
#[tokio::test]
async fn forgotten_behind_the_last_line() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Arc::<Metrics>::default();
    let opened = spool::open(dir.path(), &spool::Config::default(), Arc::clone(&metrics)).unwrap();
    let config = enrich::Config { wait: Span(Duration::from_millis(50)), ..enrich::Config::default() };
    let enricher = Enricher::new(config, Arc::<Node>::default());
    let config = Config { age: Span(Duration::from_millis(5)), ..Config::default() };
    let batcher = Batcher::new(
        config,
        opened.agent,
        steps(enricher, &pipeline::Config::default()),
        opened.spool,
        metrics,
    );
    let (events, arriving) = mpsc::channel(8);
    let (_keep, directives) = watch::channel(Arc::default());
    let running = tokio::spawn(batcher.run(arriving, directives));
    let (gone, anew) = (FileId([1; 16]), FileId([2; 16]));
    let chunk = |file, start, end| {
        let pod = PodRef { uid: "u".into(), namespace: "n".into(), name: "p".into(), container: "c".into() };
        Event::Logs(LogChunk {
            source: "logs",
            labels: Labels::default(),
            shared: Labels::default(),
            pod: Some(pod),
            file: Some(FileSpan { file, start, end }),
            bytes: end - start,
            lines: vec![Line { len: 1, ..Line::default() }],
            text: "x".to_owned(),
            dropped: Vec::new(),
        })
    };
    for event in
        [chunk(gone, 0, 10), chunk(anew, 0, 20), Event::Forget(gone), Event::Forget(anew), chunk(anew, 0, 5)]
    {
        events.send(event).await.unwrap();
    }
    drop(events);
    running.await.unwrap();
    opened.acks.close().await;
    opened.journal.close().await;
    let opened = spool::open(dir.path(), &spool::Config::default(), Arc::default()).unwrap();
    assert_eq!(opened.checkpoints.get(&anew), Some(&5));
    opened.acks.close().await;
}

/// Scenario: two streams of a file; a stage drops lines of both, one of them joined from two; then the agent starts anew.
/// Guarantees: what was read is delivered, in flight or dropped by its reason, to the byte, before and after; the file's
/// checkpoint lies behind the dropped lines.
#[tokio::test]
async fn what_stages_drop_is_in_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Arc::<Metrics>::default();
    let opened = spool::open(dir.path(), &spool::Config::default(), Arc::clone(&metrics)).unwrap();
    let stages = "stages: [{multiline: {firstline: '^[a-z]'}}, {drop: {expression: debug, drop_counter_reason: noise}}]";
    let enricher = Enricher::new(enrich::Config::default(), Arc::<Node>::default());
    let steps = steps(enricher, &serde_yaml_ng::from_str(stages).unwrap());
    let batcher = Batcher::new(Config::default(), opened.agent, steps, opened.spool, metrics);
    let (events, arriving) = mpsc::channel(8);
    let (_keep, directives) = watch::channel(Arc::default());
    let running = tokio::spawn(batcher.run(arriving, directives));
    let file = FileId([1; 16]);
    // Places in the file: the lines of the two streams stand in turns, each with a head of ten bytes.
    let chunk = |stream: &str, start, lines: &[(&str, u32)]| {
        let line = |(text, end): &(&str, u32)| Line {
            len: text.len() as u32,
            end: *end,
            raw: text.len() as u32 + 11,
            ..Line::default()
        };
        Event::Logs(LogChunk {
            source: "logs",
            labels: Labels::from_pairs([("stream", stream)]),
            shared: Labels::default(),
            pod: None,
            file: Some(FileSpan { file, start, end: 100 }),
            bytes: 100 - start,
            lines: lines.iter().map(line).collect(),
            text: lines.iter().map(|(text, _)| *text).collect(),
            dropped: Vec::new(),
        })
    };
    let err = match chunk("stderr", 0, &[("debug", 16), ("good", 47)]) {
        Event::Logs(chunk) => LogChunk { file: Some(FileSpan { file, start: 0, end: 0 }), bytes: 0, ..chunk },
        _ => unreachable!(),
    };
    events.send(Event::Logs(err)).await.unwrap();
    // 16 to 32, 47 to 63, 63 to 78; the rest of the file up to 100 is one good line.
    let lines = [("debug", 32), (" more", 63), ("fine", 78), ("fine longer", 100)];
    events.send(chunk("stdout", 0, &lines)).await.unwrap();
    drop(events);
    running.await.unwrap();
    let check = |ledger: &spool::Ledger| {
        let line = ledger.lines()[&("logs", "logs".to_owned())].clone();
        let dropped: Vec<_> = line.dropped().filter(|(_, count)| count.records > 0).collect();
        assert_eq!(dropped.len(), 1);
        let (reason, noise) = dropped[0];
        assert_eq!((reason, noise.records, noise.bytes), ("noise", 2, 16 + 32));
        assert_eq!((line.read.records, line.read.bytes), (5, 100));
        assert_eq!((line.in_flight().records, line.in_flight().bytes), (3, 52));
    };
    check(&opened.ledger);
    assert_eq!(opened.ledger.figures("logs")["noise"], 2);
    opened.acks.close().await;
    opened.journal.close().await;
    let opened = spool::open(dir.path(), &spool::Config::default(), Arc::default()).unwrap();
    check(&opened.ledger);
    assert_eq!(opened.checkpoints.get(&file), Some(&100));
    opened.acks.close().await;
}
