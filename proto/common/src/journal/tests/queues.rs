//! Eight logs in one journal, as both ends have: what idle ones cost, and who goes first when the disk is full.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::storage::Storage;
use super::super::*;
use super::disk::Disk;
use super::kit::*;

const NAMES: [&str; 8] = ["a", "a_backlog", "b", "b_backlog", "c", "c_backlog", "d", "d_backlog"];

fn classes(folds: &[Counting]) -> Vec<Class> {
    let named = NAMES.iter().zip(folds);
    named.map(|(name, fold)| Class { name, fold: Box::new(fold.clone()) }).collect()
}

/// Scenario: of eight logs, each of which holds a frame, one is written to, three hundred times, while segments are due
/// for their age at once; the same is done with that log alone.
/// Guarantees: the idle logs' files stay as they are, and the disk has as much to do as with the one log.
#[tokio::test]
async fn idle_logs_cost_nothing() {
    let mut operations = Vec::new();
    for logs in [8, 1] {
        let disk = Disk::new(1);
        let folds: [Counting; 8] = Default::default();
        let options = Options { segment_age: Duration::ZERO, ..SMALL };
        let dir = Path::new("/data");
        let journal =
            Journal::open_with(Arc::new(disk.clone()), dir, classes(&folds[..logs]), options).expect("opens");
        let mut cursors = Vec::new();
        for log in 0..logs {
            store(&journal, log, vec![plain(log as u64, 50)]).await;
            cursors.push(journal.cursor(log, "sink").expect("a cursor"));
        }
        let idle = || Vec::from_iter((1..logs).map(|log| disk.list(&dir.join(NAMES[log])).expect("listed")));
        // The last one's mark comes behind its answer, once nothing is queued.
        while idle().iter().flatten().any(|(_, size)| *size == 0) {
            store(&journal, 0, vec![plain(9, 50)]).await;
        }
        let (before, started) = (idle(), disk.operations());
        for n in 10..310 {
            let end = store(&journal, 0, vec![plain(n, 50)]).await;
            cursors[0].advance(end).expect("moves");
        }
        operations.push(disk.operations() - started);
        assert_eq!(idle(), before);
        assert!(journal.stats(0).segments < 4);
        journal.close().await;
    }
    // Whether the writer meets one more request in a round, and so marks its end, is a matter of time.
    assert!(operations[0] <= 2 * operations[1], "{operations:?}");
}

/// Scenario: eight queues share a budget, then the most valuable one alone goes on until it has lost some itself.
/// Guarantees: no queue loses a frame before all queues behind it are empty; of each its oldest go first; of every queue
/// what is left and what was shed make all that was appended, in frames and in bytes; the budget holds.
#[tokio::test]
async fn the_last_queue_goes_first() {
    let size = |n: u64| 40 + (n % 90) as usize;
    let dir = tempfile::tempdir().expect("a folder");
    let folds: [Counting; 8] = Default::default();
    let options = Options { budget_bytes: 24 << 10, ..SMALL };
    let journal = Journal::open(dir.path(), classes(&folds), options).expect("opens");
    let check = || {
        let mut emptied = true;
        for log in (0..8).rev() {
            let Counts { applied, shed } = folds[log].counts();
            let shed: Vec<u64> = shed.into_iter().map(|(number, _)| number).collect();
            let left = numbers(&read(&journal, log, Position::default()));
            assert!(shed.is_empty() || emptied, "{} before what is worth less", NAMES[log]);
            emptied &= left.is_empty();
            let bytes = |frames: &[u64]| frames.iter().map(|n| size(*n)).sum::<usize>();
            assert_eq!(bytes(&applied), bytes(&shed) + bytes(&left));
            assert_eq!(applied, [shed, left].concat());
        }
        let bytes: u64 = (0..8).map(|log| journal.stats(log).bytes).sum();
        assert!(bytes <= options.budget_bytes + (2 << 10), "{bytes}");
    };
    let mut n = 0;
    for _ in 0..15 {
        for log in 0..8 {
            store(&journal, log, vec![plain(n, size(n))]).await;
            n += 1;
        }
        check();
    }
    while journal.stats(0).shed == 0 {
        store(&journal, 0, vec![plain(n, size(n))]).await;
        n += 1;
        if n % 7 == 0 {
            check();
        }
    }
    check();
    assert!((1..8).all(|log| journal.stats(log).shed == folds[log].counts().applied.len() as u64));
}
