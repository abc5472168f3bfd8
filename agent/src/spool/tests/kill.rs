//! A spool whose process is killed at random points, and what the next one finds.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ao_common::journal::Position;
use ao_proto::frame;
use ao_proto::v1::DroppedCount;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const FILE: FileId = FileId([1; 16]);
const DIR: &str = "AO_TEST_SPOOL";
/// A file in that folder: the spool is open.
const OPEN: &str = "is-open";

/// Bytes that rules left out beside a frame.
fn dropped(header: &FrameHeader) -> u64 {
    header.dropped.iter().map(|dropped| dropped.bytes).sum()
}

fn small() -> Config {
    Config { segment: Size(16 << 10), fresh_within: Span(Duration::from_millis(3)), ..Config::default() }
}

/// Scenario: the process that the next test kills: reads a file on from its checkpoint, and acknowledges like an
/// aggregator that notes what it has, at times not at all. Does nothing where that test has not begun it.
/// Guarantees: none by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let dir = Path::new(&dir);
    let mut opened = open(dir, &small(), Arc::default()).unwrap();
    std::fs::write(dir.join(OPEN), "").unwrap();
    let mut at = opened.checkpoints.get(&FILE).copied().unwrap_or(0);
    for queue in LOGS {
        let (journal, acks) = (opened.journal.clone(), Arc::clone(&opened.acks));
        let mut had = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("had")).unwrap();
        tokio::spawn(async move {
            let mut random = StdRng::from_rng(&mut rand::rng());
            let mut reader = journal.reader(queue, acks.position(queue));
            loop {
                let pause = if random.random_bool(0.02) { 20 } else { 1 };
                tokio::time::sleep(Duration::from_millis(pause)).await;
                for _ in 0..random.random_range(0..8) {
                    let Ok(Some(record)) = reader.read() else { break };
                    let header = frame::open(&record.frame).unwrap().header;
                    let range = &header.files[0];
                    let line = format!(
                        "{} {} {} {} {}\n",
                        header.epoch,
                        header.sequence,
                        range.start,
                        range.end,
                        dropped(&header)
                    );
                    had.write_all(line.as_bytes()).unwrap();
                    acks.done(queue, &[Frame::of(&header)], record.end);
                }
            }
        });
    }
    let mut random = StdRng::from_rng(&mut rand::rng());
    loop {
        let len = random.random_range(1..2_000);
        let mut draft = lines(1, at, at + len);
        draft.payload = vec![0; random.random_range(0..3_000)];
        if random.random_bool(0.3) {
            let bytes = random.random_range(0..len);
            draft.header.bytes -= bytes;
            draft.header.dropped = vec![DroppedCount { reason: "noise".to_owned(), records: 1, bytes }];
        }
        at += len;
        opened.spool.append(draft).await;
        if random.random_bool(0.2) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Waits until the child has opened its spool, which on a busy machine takes long.
async fn is_open(dir: &Path) {
    let waiting = async {
        while !dir.join(OPEN).exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), waiting)
        .await
        .expect("the child has not opened its spool");
}

/// Scenario: twenty processes in a row are killed while lanes change, segments roll and cursors move, every fifth of them
/// at any time of its start; more where a slow disk has let none come to a backlog, and with more time for it.
/// Guarantees: reading goes on exactly where the spool ends, over both lanes; every byte is with the aggregator, in the
/// spool or left out by rules, none under two identities; the ledger is balanced to the byte, and in flight is what lies behind the cursors.
#[tokio::test]
async fn nothing_is_lost_or_doubled_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = StdRng::from_rng(&mut rand::rng());
    let (mut both_lanes, mut opening) = (false, Duration::from_millis(50));
    for round in 0..60_u64 {
        if round >= 20 && both_lanes {
            break;
        }
        let _not_yet = std::fs::remove_file(dir.path().join(OPEN));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "spool::tests::kill::child", "--test-threads=2"])
            .env(DIR, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if round % 5 == 4 {
            tokio::time::sleep(opening.mul_f64(random.random_range(0.0..1.0))).await;
        } else {
            let begin = Instant::now();
            is_open(dir.path()).await;
            opening = begin.elapsed();
            let most = 400 + 100 * round.saturating_sub(20);
            tokio::time::sleep(Duration::from_millis(random.random_range(0..most))).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let opened = open(dir.path(), &small(), Arc::default()).unwrap();
        let end = opened.checkpoints.get(&FILE).copied().unwrap_or(0);
        let mut all = std::collections::BTreeSet::new();
        let text = std::fs::read_to_string(dir.path().join("had")).unwrap_or_default();
        // A line that was cut by the kill was not acknowledged.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let n: Vec<u64> = line.split_whitespace().map(|n| n.parse().unwrap()).collect();
            all.insert((n[2], n[3], n[0], n[1], n[4]));
        }
        let mut waiting = 0;
        for queue in LOGS {
            let (frames, _) = read(&opened.journal, queue, opened.acks.position(queue));
            both_lanes |= queue == LOGS[1] && !frames.is_empty();
            for header in frames {
                let range = &header.files[0];
                all.insert((range.start, range.end, header.epoch, header.sequence, dropped(&header)));
                waiting += header.bytes;
            }
        }
        let mut reached = 0;
        for (start, end, ..) in &all {
            assert_eq!(*start, reached, "round {round}: a gap, or twice");
            reached = *end;
        }
        assert_eq!(reached, end, "round {round}: the checkpoint");
        if let Some(line) = opened.ledger.lines().get(&("logs", "logs".to_owned())) {
            assert_eq!(line.read.bytes, end, "round {round}: read");
            assert_eq!(line.in_flight().bytes, waiting, "round {round}: in flight");
            let left_out = all.iter().map(|(.., bytes)| bytes).sum::<u64>();
            let noise: u64 = line.left_out.values().map(|count| count.bytes).sum();
            assert_eq!(noise, left_out, "round {round}: what rules left out");
            assert_eq!(line.settled.delivered.bytes + waiting + left_out, end, "round {round}: the balance");
        }
        opened.acks.close().await;
        opened.spool.flush().await;
        opened.journal.close().await;
    }
    assert!(both_lanes, "no backlog was left by any of them");
}

/// Scenario: four classes flood a spool of 8 MiB while no aggregator is there; then the process is killed.
/// Guarantees: the budget holds, the classes of least worth went first, metrics not at all; what was shed is counted to
/// the byte, before and after the kill.
#[tokio::test]
async fn a_full_budget_sheds_in_order_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { budget: Size::mib(8), segment: Size(256 << 10), ..small() };
    let mut opened = open(dir.path(), &config, Arc::default()).unwrap();
    let mut sent = [0; CLASSES.len()];
    for n in 0..4_005_u64 {
        let class = (n % 4) as usize;
        let mut draft = lines(class as u8, n, n + 1);
        draft.header.class = CLASSES[class].into();
        draft.header.bytes = n;
        // Metrics are small; of the others one class is over the budget by itself.
        draft.payload = vec![0; if class == 0 { 100 } else { 9_000 }];
        sent[class] += n;
        if n < 4_000 {
            opened.spool.append(draft).await;
        } else {
            // Where only what is worth more is left, a class goes over the budget, by as many frames as gathered while the
            // disk was busy. So once all are through, one of most worth comes, which takes the room of any other.
            store(&mut opened.spool, draft).await;
        }
    }
    opened.spool.flush().await;
    let size = |journal: &Journal| (0..QUEUES.len()).map(|n| journal.stats(n).bytes).sum::<u64>();
    assert!(size(&opened.journal) <= config.budget.0 + config.segment.0, "{}", size(&opened.journal));
    let check = |opened_ledger: &Ledger, journal: &Journal| {
        let mut shed = [0; CLASSES.len()];
        for (class, sent) in sent.iter().enumerate() {
            let name = class::name(CLASSES[class]);
            let line = opened_ledger.lines()[&(name, "logs".to_owned())].clone();
            let waiting: u64 = [2 * class, 2 * class + 1]
                .map(|queue| read(journal, queue, Position::default()).0.iter().map(|f| f.bytes).sum())
                .iter()
                .sum();
            shed[class] = line.shed.bytes;
            assert_eq!(line.read.bytes, *sent, "{name}: read");
            assert_eq!(line.in_flight().bytes, waiting, "{name}: in flight");
            assert_eq!(line.shed.bytes + waiting, *sent, "{name}: the balance");
        }
        shed
    };
    let shed = check(&opened.ledger, &opened.journal);
    assert_eq!(shed[0], 0, "metrics");
    assert!(shed[1] > 0 && shed[2] > shed[1] && shed[3] > shed[1], "{shed:?}");
    let copy = tempfile::tempdir().unwrap();
    assert!(
        Command::new("cp").arg("-a").arg(dir.path()).arg(copy.path()).status().unwrap().success(),
        "what a killed process leaves"
    );
    let copied = copy.path().join(dir.path().file_name().unwrap());
    let after = open(&copied, &config, Arc::default()).unwrap();
    assert_eq!(check(&after.ledger, &after.journal), shed);
    for opened in [(opened.acks, opened.journal), (after.acks, after.journal)] {
        opened.0.close().await;
        opened.1.close().await;
    }
}
