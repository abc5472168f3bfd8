//! The batcher over a spool of its own.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::*;
use crate::context::Node;
use crate::{enrich, spool};

/// Scenario: frames are closed at an age of minutes; spans come whose sender waits for the disk.
/// Guarantees: the sender hears of it long before.
#[tokio::test]
async fn spans_that_are_waited_for_do_not_wait_for_the_age() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = Arc::<Metrics>::default();
    let opened = spool::open(dir.path(), &spool::Config::default(), Arc::clone(&metrics)).unwrap();
    let enricher = Enricher::new(enrich::Config::default(), Arc::<Node>::default());
    let config = Config { age: Span::secs(600), ..Config::default() };
    let batcher = Batcher::new(config, opened.agent, enricher, opened.spool, metrics);
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
