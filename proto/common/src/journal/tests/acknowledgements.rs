//! What is acknowledged stays, and cursors keep their place.

use super::super::*;
use super::kit::*;

/// Scenario: frames are appended in several calls, over several segments, read, and read again after a restart.
/// Guarantees: each once, in order, its positions joined end to end; the fold is the same before and after.
#[tokio::test]
async fn come_back_in_order() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, fold) = open(dir.path(), SMALL);
    let mut ends = Vec::new();
    for call in 0..20 {
        ends.push(store(&journal, 0, (0..5).map(|n| plain(call * 5 + n, 100)).collect()).await);
    }
    assert!(ends.is_sorted());
    let records = read(&journal, 0, Position::default());
    assert_eq!(numbers(&records), Vec::from_iter(0..100));
    assert!(records.windows(2).all(|pair| pair[0].end <= pair[1].position));
    assert_eq!(records[99].end, ends[19]);
    assert_eq!(*journal.durable(0).borrow(), ends[19]);
    assert!(journal.stats(0).segments > 5);
    assert_eq!(journal.stats(0).appended, 100);

    journal.close().await;
    assert!(matches!(journal.append(0, vec![]).await, Err(JournalError::Closed { .. })));
    let (journal, again) = open(dir.path(), SMALL);
    assert_eq!(again.counts(), fold.counts());
    assert_eq!(numbers(&read(&journal, 0, records[49].end)), Vec::from_iter(50..100));
    let end = store(&journal, 0, vec![plain(100, 100)]).await;
    assert!(end > ends[19]);
    assert_eq!(numbers(&read(&journal, 0, ends[19])), [100]);
    assert_eq!(journal.stats(0).corrupt_bytes, 0);
}

/// Scenario: two cursors move on at their own pace; one has a request under way when the process ends.
/// Guarantees: segments go when both have passed them; positions and the request's end are found again.
#[tokio::test]
async fn cursors_keep_their_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _) = open(dir.path(), SMALL);
    let mut fast = journal.cursor(0, "fast").expect("a cursor");
    let mut slow = journal.cursor(0, "slow").expect("a cursor");
    assert!(matches!(journal.cursor(0, "slow"), Err(JournalError::CursorInUse { .. })));
    assert!(matches!(journal.cursor(0, "../slow"), Err(JournalError::CursorName { .. })));
    for n in 0..50 {
        store(&journal, 0, vec![plain(n, 100)]).await;
    }
    let records = read(&journal, 0, fast.position());
    fast.advance(records[49].end).expect("moves");
    slow.advance(records[19].end).expect("moves");
    slow.advance(records[9].end).expect("is no error");
    assert_eq!(slow.position(), records[19].end);
    slow.begin(records[24].end).expect("noted");
    assert_eq!(slow.pending(), Some(records[24].end));
    journal.close().await;
    assert!(slow.advance(records[30].end).is_err(), "somebody else may have the folder");
    drop((fast, slow));

    let (journal, _) = open(dir.path(), SMALL);
    let left = read(&journal, 0, Position::default());
    assert_eq!(left[0].position.segment, records[20].position.segment, "what both have read is gone");
    assert_eq!(journal.cursors(0), ["fast", "slow"]);
    let slow = journal.cursor(0, "slow").expect("a cursor");
    assert!((records[19].end..=records[20].position).contains(&slow.position()));
    assert_eq!(slow.pending(), Some(records[24].end));
    assert_eq!(number(&read(&journal, 0, slow.position())[0].frame), 20);
    drop(slow);
    journal.remove_cursor(0, "slow").expect("removed");
    journal.close().await;
    let (journal, _) = open(dir.path(), SMALL);
    assert_eq!(journal.cursors(0), ["fast"]);
    assert_eq!(journal.stats(0).segments, 1);
}

/// Scenario: a second journal is opened in the same folder.
/// Guarantees: it is refused until the first has ended.
#[tokio::test]
async fn one_at_a_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _) = open(dir.path(), SMALL);
    let second = Journal::open(dir.path(), vec![], SMALL);
    assert!(matches!(second.err(), Some(JournalError::Locked { .. })));
    drop(journal);
    open(dir.path(), SMALL);
}
