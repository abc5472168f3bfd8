//! What holds whatever the load: bounded reading at the start, readers that outlive what they read, and speed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::*;
use super::disk::Disk;
use super::kit::*;

/// Counts only; its state does not grow with the log.
struct Small(u64);

impl Fold for Small {
    fn restore(&mut self, snapshot: &[u8]) {
        self.0 = number(snapshot);
    }

    fn apply(&mut self, _: &[u8]) {
        self.0 += 1;
    }

    fn shed(&mut self, _: &[u8], _: &[&str]) {}

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }
}

fn small() -> Vec<Class> {
    vec![Class { name: "metrics", fold: Box::new(Small(0)) }]
}

/// Scenario: a log of a hundred segments is opened again.
/// Guarantees: what is read for that is the newest segment (twice: to check it, and for the fold), not the log.
#[tokio::test]
async fn opening_reads_the_newest_segment_only() {
    let disk = Disk::new(1);
    let options = Options { segment_bytes: 64 << 10, ..SMALL };
    let open = || Journal::open_with(Arc::new(disk.clone()), Path::new("/data"), small(), options);
    let journal = open().expect("opens");
    for n in 0..600 {
        store(&journal, 0, vec![plain(n, 10_000)]).await;
    }
    assert!(journal.stats(0).segments >= 100);
    journal.close().await;
    let before = disk.bytes_read();
    let journal = open().expect("opens");
    let read = disk.bytes_read() - before;
    assert!(read < 3 * options.segment_bytes, "{read} bytes were read");
    journal.close().await;
}

/// Scenario: a reader without a cursor stands in a segment that all cursors have passed and that is deleted.
/// Guarantees: it reads on to the segment's end, keyframes too, and then in the next one.
#[tokio::test]
async fn readers_outlive_their_segment() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _) = open(dir.path(), SMALL);
    let mut cursor = journal.cursor(0, "only").expect("a cursor");
    store(&journal, 0, vec![keyed(0, 5)]).await;
    let mut reader = journal.reader(0, Position::default());
    assert!(reader.read().expect("readable").is_some());
    let mut expected = 1;
    for n in 1..50 {
        let end = store(&journal, 0, vec![keyed(n, 5)]).await;
        cursor.advance(end).expect("moves");
    }
    while journal.stats(0).segments > 1 {
        store(&journal, 0, vec![]).await;
    }
    let deleted_at =
        journal.reader(0, Position::default()).read().expect("readable").expect("a frame").position;
    assert!(deleted_at.segment > 2);
    while let Some(record) = reader.read().expect("readable") {
        assert!(number(&record.frame) >= expected);
        expected = number(&record.frame) + 1;
        assert!(reader.keyframe(5).is_some());
        if record.position.segment == 1 {
            assert!(record.position < deleted_at);
        }
    }
    assert_eq!(expected, 50);
}

/// Scenario: many tasks append at once.
/// Guarantees: one fsync serves many of them; the rate is printed for whoever tunes this.
#[tokio::test]
async fn group_commit() {
    let dir = tempfile::tempdir().expect("a folder");
    let options =
        Options { segment_bytes: 4 << 20, segment_age: Duration::from_secs(3600), budget_bytes: 1 << 30 };
    let journal = Journal::open(dir.path(), small(), options).expect("opens");
    let (calls, size) = (2_000, 10_000);
    let started = Instant::now();
    let mut waiting = Vec::new();
    for n in 0..calls {
        waiting.push(journal.append(0, vec![plain(n, size)]).await.expect("queued"));
    }
    for pending in waiting {
        pending.durable().await.expect("durable");
    }
    let took = started.elapsed();
    let mib = (calls * size as u64) as f64 / f64::from(1 << 20);
    println!(
        "append + fsync: {calls} calls, {mib:.1} MiB in {took:.2?}: {:.0} MiB/s",
        mib / took.as_secs_f64()
    );
    let started = Instant::now();
    assert_eq!(read(&journal, 0, Position::default()).len() as u64, calls);
    println!("read back: {:.0} MiB/s", mib / started.elapsed().as_secs_f64());
}
