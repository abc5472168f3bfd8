//! The spool as its users see it, killed and opened again.

use std::time::Duration;

use ao_common::journal::Position;
use ao_proto::frame;
use ao_proto::v1::{Class, FileRange, FrameHeader};

use super::*;

mod kill;

/// A frame of log lines of one file.
fn lines(file: u8, start: u64, end: u64) -> Draft {
    let header = FrameHeader {
        agent: vec![7; 16],
        class: Class::Logs.into(),
        source: "logs".to_owned(),
        records: 1,
        bytes: end - start,
        files: vec![FileRange { file: vec![file; 16], start, end }],
        ..FrameHeader::default()
    };
    Draft { header, payload: Vec::new(), keyframe: None, stored: Vec::new(), forget: Vec::new() }
}

/// Appends and waits until it is on disk.
async fn store(spool: &mut Spool, mut draft: Draft) {
    let (stored, told) = tokio::sync::oneshot::channel();
    draft.stored.push(stored);
    spool.append(draft).await;
    told.await.unwrap();
}

/// What lies in a queue behind a position, and its end.
fn read(journal: &Journal, queue: usize, from: Position) -> (Vec<FrameHeader>, Position) {
    let mut reader = journal.reader(queue, from);
    let mut found = Vec::new();
    while let Some(record) = reader.read().unwrap() {
        found.push(frame::open(&record.frame).unwrap().header);
    }
    (found, reader.position())
}

const LOGS: [usize; 2] = [4, 5];

fn config() -> Config {
    Config { fresh_within: Span(Duration::from_millis(200)), ..Config::default() }
}

/// Scenario: nothing is acknowledged while more is read than the fresh queue has room for, then all of it is; the agent
/// is stopped and started in between.
/// Guarantees: frames go to the fresh lane, then to the backlog until there is room again, and each carries its queue's
/// lane, epoch and sequence; the file's checkpoint is the newest of both lanes.
#[tokio::test]
async fn lanes_change_as_acks_come_or_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open(dir.path(), &config(), Arc::default()).unwrap();
    let large = |at| Draft { payload: vec![0; 20_000], ..lines(1, at, at + 10) };
    tokio::time::timeout(Duration::from_secs(20), async {
        let mut at = 0;
        while read(&opened.journal, LOGS[1], Position::default()).0.is_empty() {
            store(&mut opened.spool, large(at)).await;
            at += 10;
        }
    })
    .await
    .unwrap();
    let (fresh, end) = read(&opened.journal, LOGS[0], Position::default());
    let (backlog, _) = read(&opened.journal, LOGS[1], Position::default());
    let all: Vec<_> = fresh.iter().chain(&backlog).flat_map(|f| &f.files).map(|f| (f.start, f.end)).collect();
    assert!(all.windows(2).all(|pair| pair[0].1 == pair[1].0), "{all:?}");
    assert!(fresh.iter().zip(1..).all(|(f, n)| (f.lane, f.sequence) == (0, n)));
    assert_eq!((backlog[0].lane, backlog[0].sequence), (1, 1));
    assert_ne!(fresh[0].epoch, backlog[0].epoch);

    let last = all.last().unwrap().1;
    opened.spool.flush().await;
    opened.acks.close().await;
    opened.journal.close().await;
    let mut opened = open(dir.path(), &config(), Arc::default()).unwrap();
    assert_eq!(opened.checkpoints[&FileId([1; 16])], last);
    assert!(opened.epochs.contains(&fresh[0].epoch) && opened.epochs.contains(&backlog[0].epoch));
    store(&mut opened.spool, large(last)).await;
    assert_eq!(
        read(&opened.journal, LOGS[1], Position::default()).0.len(),
        2,
        "there is no room in the fresh queue"
    );
    // With the mark that a clean end leaves behind the frames.
    let end = read(&opened.journal, LOGS[0], end).1;
    opened.acks.done(LOGS[0], &[], end);
    store(&mut opened.spool, lines(1, last + 10, last + 20)).await;
    assert_eq!(read(&opened.journal, LOGS[0], end).0.len(), 1, "there is room again");
    opened.spool.flush().await;
    opened.acks.close().await;
    opened.journal.close().await;
}

/// Scenario: a file is forgotten with one frame, known anew with the next one.
/// Guarantees: its checkpoint is that of the new beginning, also for the next process.
#[tokio::test]
async fn forgotten_and_known_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open(dir.path(), &config(), Arc::default()).unwrap();
    store(&mut opened.spool, lines(1, 0, 500)).await;
    let mut gone = lines(2, 0, 1);
    gone.forget.push(FileId([1; 16]));
    opened.spool.append(gone).await;
    store(&mut opened.spool, lines(1, 0, 20)).await;
    let mut gone = lines(3, 0, 1);
    gone.forget.push(FileId([2; 16]));
    store(&mut opened.spool, gone).await;
    opened.spool.flush().await;
    opened.acks.close().await;
    opened.journal.close().await;
    let opened = open(dir.path(), &config(), Arc::default()).unwrap();
    assert_eq!(opened.checkpoints[&FileId([1; 16])], 20);
}

/// Scenario: all is acknowledged, and the agent starts again.
/// Guarantees: new data is fresh at once.
#[tokio::test]
async fn nothing_left_is_fresh() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open(dir.path(), &config(), Arc::default()).unwrap();
    store(&mut opened.spool, lines(1, 0, 10)).await;
    let (frames, end) = read(&opened.journal, LOGS[0], Position::default());
    opened.acks.done(LOGS[0], &[Frame::of(&frames[0])], end);
    opened.spool.flush().await;
    opened.acks.close().await;
    opened.journal.close().await;
    let mut opened = open(dir.path(), &config(), Arc::default()).unwrap();
    store(&mut opened.spool, lines(1, 10, 20)).await;
    assert_eq!(read(&opened.journal, LOGS[0], end).0.len(), 1);
    assert_eq!(opened.ledger.figures("logs")["in flight"], 1);
    opened.acks.close().await;
}

/// Scenario: a folder of a build without lanes and without counts of what was delivered; its rest is sent.
/// Guarantees: it is read on; what was delivered before is not taken for damaged.
#[tokio::test]
async fn a_folder_of_an_older_build() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open(dir.path(), &config(), Arc::default()).unwrap();
    for n in 0..4 {
        store(&mut opened.spool, lines(1, n, n + 1)).await;
    }
    let mut reader = opened.journal.reader(LOGS[0], Position::default());
    let first = reader.read().unwrap().unwrap();
    opened.acks.done(LOGS[0], &[], first.end);
    opened.spool.flush().await;
    opened.acks.close().await;
    opened.journal.close().await;
    for queue in QUEUES {
        let folder = dir.path().join("spool").join(queue.name());
        std::fs::remove_file(folder.join("uplink.counts")).unwrap();
        if queue.lane == Lane::Backlog {
            std::fs::remove_dir_all(folder).unwrap();
        }
    }
    let opened = open(dir.path(), &config(), Arc::default()).unwrap();
    assert_eq!(opened.checkpoints[&FileId([1; 16])], 4);
    let newest = opened.acks.newest(LOGS[0]);
    let (frames, end) = read(&opened.journal, LOGS[0], opened.acks.position(LOGS[0]));
    let frames: Vec<Frame> = frames.iter().map(Frame::of).collect();
    assert_eq!(frames.len(), 3);
    opened.acks.done(LOGS[0], &frames, end);
    opened.acks.read_out(LOGS[0], newest, end);
    let figures = opened.ledger.figures("logs");
    assert_eq!((figures["read"], figures["delivered"], figures["damaged"]), (4, 4, 0));
    opened.acks.close().await;
}

/// Scenario: a byte of a frame in the middle of the spool is flipped while nobody reads it; the rest is sent.
/// Guarantees: the frame's records are in the ledger as damaged, once all else is through.
#[tokio::test]
async fn what_is_damaged_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut opened = open(dir.path(), &config(), Arc::default()).unwrap();
    for n in 0..4 {
        let mut draft = lines(1, 10 * n, 10 * n + 10);
        draft.payload = vec![0xab; 500];
        store(&mut opened.spool, draft).await;
    }
    let mut reader = opened.journal.reader(LOGS[0], Position::default());
    reader.read().unwrap();
    let second = reader.read().unwrap().unwrap();
    drop(reader);
    let name = format!("{:016x}.seg", second.position.segment);
    let path = dir.path().join("spool").join("logs").join(name);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[second.end.offset as usize - 100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let newest = opened.acks.newest(LOGS[0]);
    let (frames, end) = read(&opened.journal, LOGS[0], Position::default());
    let frames: Vec<Frame> = frames.iter().map(Frame::of).collect();
    assert_eq!(frames.len(), 3);
    opened.acks.done(LOGS[0], &frames, end);
    opened.acks.read_out(LOGS[0], newest, end);
    let line = opened.ledger.lines()[&("logs", "logs".to_owned())].clone();
    assert_eq!((line.settled.damaged, line.in_flight()), (Count { records: 1, bytes: 10 }, Count::default()));
    opened.acks.close().await;
}
