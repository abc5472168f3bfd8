//! Ranges that a cursor leaves behind for another reader.

use std::fs;

use super::super::*;
use super::kit::*;

/// Scenario: of a log's 60 frames a cursor leaves the first 20 behind, reads on to the end, and the range is read later,
/// over a restart.
/// Guarantees: what lies between range and cursor is deleted, what lies in the range is not, until it is read; position,
/// end and the request that was under way are found again; neither goes beyond its bounds; the name is taken until the
/// range is removed.
#[tokio::test]
async fn a_range_is_kept_until_it_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _) = open(dir.path(), SMALL);
    let mut cursor = journal.cursor(0, "sink").expect("a cursor");
    for n in 0..60 {
        store(&journal, 0, vec![plain(n, 100)]).await;
    }
    let all = read(&journal, 0, Position::default());
    let segments = journal.stats(0).segments;
    cursor.advance(all[4].end).expect("moves");
    cursor.begin(all[7].end).expect("noted");
    let to = all[19].end;
    let range = cursor.leave_behind("sink.late", to).expect("left");
    assert_eq!((range.position(), range.end(), range.pending()), (all[4].end, Some(to), Some(all[7].end)));
    assert_eq!((cursor.position(), cursor.end(), cursor.pending()), (to, None, None));
    let again = cursor.leave_behind("sink.late", all[25].end);
    assert!(matches!(again.err(), Some(JournalError::CursorExists { .. })));
    cursor.advance(all[59].end).expect("moves");
    drop((cursor, range));
    journal.close().await;
    drop(journal);

    let (journal, _) = open(dir.path(), SMALL);
    assert!(journal.stats(0).segments < segments, "what lies between is gone");
    let left = numbers(&read(&journal, 0, Position::default()));
    assert!(
        left.starts_with(&Vec::from_iter(left[0]..20)) && left[0] <= 5 && !left.contains(&40),
        "{left:?}"
    );
    let cursor = journal.cursor(0, "sink").expect("a cursor");
    let mut range = journal.cursor(0, "sink.late").expect("a range");
    assert!((all[4].end..=all[5].position).contains(&range.position()));
    assert_eq!((range.end(), range.pending()), (Some(to), Some(all[7].end)));
    assert_eq!((cursor.position(), cursor.end()), (all[59].end, None));
    range.advance(all[30].end).expect("moves");
    assert_eq!(range.position(), to);
    journal.close().await;
    drop((journal, cursor, range));

    let (journal, _) = open(dir.path(), SMALL);
    assert_eq!(journal.stats(0).segments, 1);
    assert_eq!(journal.cursors(0), ["sink", "sink.late"]);
    journal.remove_cursor(0, "sink.late").expect("removed");
    assert_eq!(journal.cursors(0), ["sink"]);
    journal.close().await;
    drop(journal);
    let (journal, _) = open(dir.path(), SMALL);
    assert_eq!(journal.cursors(0), ["sink"]);
}

/// Scenario: a log with a cursor, a range and a cursor of another reader is shed, frame by frame.
/// Guarantees: each frame is counted for those that owed it: the range for what lies in it, the cursor that left it
/// behind for what lies behind it.
#[tokio::test]
async fn shed_frames_are_counted_for_those_who_owed_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, fold) = open(dir.path(), Options { budget_bytes: 8 << 10, ..SMALL });
    let mut sink = journal.cursor(0, "sink").expect("a cursor");
    let mut other = journal.cursor(0, "other").expect("a cursor");
    for n in 0..30 {
        store(&journal, 0, vec![plain(n, 100)]).await;
    }
    let all = read(&journal, 0, Position::default());
    sink.advance(all[2].end).expect("moves");
    let mut range = sink.leave_behind("range", all[11].end).expect("left");
    other.advance(all[19].end).expect("moves");
    range.advance(all[5].end).expect("moves");
    for n in 30..100 {
        store(&journal, 0, vec![plain(n, 100)]).await;
    }
    let shed = fold.counts().shed;
    assert!(shed.len() > 25);
    for (n, names) in shed {
        let owed = [(n >= 20, "other"), ((6..12).contains(&n), "range"), (n >= 12, "sink")];
        let owed: Vec<_> = owed.iter().filter(|(owed, _)| *owed).map(|(_, name)| *name).collect();
        assert_eq!(names, owed.join(","), "{n}");
    }
    assert_eq!(range.position(), all[11].end, "nothing is left of it");
}

/// Scenario: a machine stops while a range's file is made: the file is empty, or its first slot is torn.
/// Guarantees: there is no range then, its file is gone, and the cursor still owes all. A range's file that was whole
/// once and is damaged in both slots is read from the log's beginning up to where the cursor stands.
#[tokio::test]
async fn half_made_ranges_are_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _) = open(dir.path(), SMALL);
    let mut cursor = journal.cursor(0, "sink").expect("a cursor");
    store(&journal, 0, (0..5).map(|n| plain(n, 60)).collect()).await;
    let all = read(&journal, 0, Position::default());
    let path = dir.path().join("metrics/sink.late.range");
    drop(cursor.leave_behind("sink.late", all[2].end).expect("left"));
    let whole = fs::read(&path).expect("a file");
    journal.remove_cursor(0, "sink.late").expect("removed");
    drop(cursor);
    journal.close().await;
    drop(journal);
    for cut in 0..65 {
        fs::write(&path, &whole[..cut]).expect("written");
        let (journal, _) = open(dir.path(), SMALL);
        assert_eq!(journal.cursors(0), ["sink"]);
        assert!(!path.exists());
        journal.close().await;
    }
    let mut damaged = whole;
    (damaged[0], damaged[4096]) = (!damaged[0], !damaged[4096]);
    fs::write(&path, &damaged).expect("written");
    let (journal, _) = open(dir.path(), SMALL);
    let range = journal.cursor(0, "sink.late").expect("a range");
    assert_eq!((range.position().offset, range.end()), (0, Some(all[2].end)));
}

/// Scenario: a range's file is cut short, in its first slot or to nothing, while segments lie in the range that its
/// cursor has passed.
/// Guarantees: these are kept and the range is drained, up to where the cursor stands; inspection names the file, and
/// a repair makes it whole.
#[tokio::test]
async fn ranges_that_were_cut_short_keep_what_they_owe() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _) = open(dir.path(), SMALL);
    let mut cursor = journal.cursor(0, "sink").expect("a cursor");
    for n in 0..80 {
        store(&journal, 0, vec![plain(n, 100)]).await;
    }
    let all = read(&journal, 0, Position::default());
    let to = all[70].end;
    drop(cursor.leave_behind("sink.late", to).expect("left"));
    drop(cursor);
    journal.close().await;
    drop(journal);
    let path = dir.path().join("metrics/sink.late.range");
    let whole = fs::read(&path).expect("a file");
    for (cut, repaired) in [(0, false), (64, false), (64, true)] {
        fs::write(&path, &whole[..cut]).expect("written");
        let found = || inspect(dir.path(), &["metrics"], |_, _| None).expect("readable").damaged();
        assert_eq!(found(), 1);
        if repaired {
            assert_eq!(repair(dir.path(), &["metrics"], false).expect("repaired").len(), 1);
            assert_eq!(found(), 0);
        }
        let (journal, _) = open(dir.path(), SMALL);
        let range = journal.cursor(0, "sink.late").expect("a range");
        assert_eq!((range.position() <= all[0].position, range.end()), (true, Some(to)));
        assert_eq!(read(&journal, 0, Position::default()).len(), all.len());
        drop(range);
        journal.close().await;
    }
}
