//! What a start makes of what a crash or a bad disk has left.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::super::record::HEAD;
use super::super::*;
use super::kit::*;

/// A closed log of one class, its first segment's path and content, and its records.
async fn log(calls: Vec<Vec<Append>>) -> (TempDir, PathBuf, Vec<u8>, Vec<Record>) {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _) = open(dir.path(), SMALL);
    for call in calls {
        store(&journal, 0, call).await;
    }
    let records = read(&journal, 0, Position::default());
    journal.close().await;
    let path = dir.path().join("metrics/0000000000000001.seg");
    let content = fs::read(&path).expect("a segment");
    (dir, path, content, records)
}

/// Scenario: the last record was written up to any of its bytes, or is followed by noise, when the machine stopped.
/// Guarantees: all before it is there, and the fold agrees; the rest is cut and counted once, as torn where no fsync is
/// known to have come after it, else as damage; appending goes on.
#[tokio::test]
async fn torn_tail_at_every_byte() {
    let (dir, path, content, records) = log((0..3).map(|n| vec![plain(n, 60)]).collect()).await;
    let last = records[2].position.offset as usize..records[2].end.offset as usize;
    let witness = path.with_file_name("durable");
    let durable = fs::read(&witness).expect("a file");
    for cut in last.clone() {
        for (noise, known) in [(&[][..], false), (&[0; 50][..], false), (&[0; 50][..], true), (&[][..], true)]
        {
            fs::write(&path, [&content[..cut], noise].concat()).expect("written");
            fs::write(&witness, if known { &durable[..] } else { &[] }).expect("written");
            let (journal, fold) = open(dir.path(), SMALL);
            assert_eq!(fold.counts().applied, [0, 1]);
            let Stats { torn_tails, corrupt_records, corrupt_bytes, .. } = journal.stats(0);
            let left = (cut - last.start + noise.len()) as u64;
            if known {
                assert!(corrupt_records > 0 && corrupt_bytes >= last.len() as u64, "{cut}");
            } else {
                assert_eq!(
                    (torn_tails, corrupt_records, corrupt_bytes),
                    (u64::from(left > 0), 0, left),
                    "{cut}"
                );
            }
            store(&journal, 0, vec![plain(7, 60)]).await;
            assert_eq!(numbers(&read(&journal, 0, Position::default())), [0, 1, 7]);
            journal.close().await;
            drop(journal);
            let (journal, fold) = open(dir.path(), SMALL);
            assert_eq!(fold.counts().applied, [0, 1, 7]);
            let Stats { torn_tails, corrupt_records, corrupt_bytes, .. } = journal.stats(0);
            assert_eq!((torn_tails, corrupt_records, corrupt_bytes), (0, 0, 0));
            journal.close().await;
            drop(journal);
            fs::remove_file(path.with_file_name("0000000000000002.seg")).expect("removed");
        }
    }
}

/// Scenario: one bit of a record flips, anywhere in it, among others of the same call.
/// Guarantees: that record alone is lost, and counted once however often it is passed.
#[tokio::test]
async fn a_flipped_bit_costs_one_record() {
    let (dir, path, content, records) = log(vec![(0..5).map(|n| plain(n, 60)).collect()]).await;
    let hit = records[2].position.offset as usize..records[2].end.offset as usize;
    for at in hit.clone() {
        let mut damaged = content.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, damaged).expect("written");
        let (journal, fold) = open(dir.path(), SMALL);
        assert_eq!(fold.counts().applied, [0, 1, 3, 4], "byte {at}");
        assert_eq!(numbers(&read(&journal, 0, Position::default())), [0, 1, 3, 4]);
        assert_eq!(numbers(&read(&journal, 0, records[2].position)), [3, 4]);
        let Stats { corrupt_records, corrupt_bytes, torn_tails, .. } = journal.stats(0);
        assert_eq!((corrupt_records, corrupt_bytes, torn_tails), (1, hit.len() as u64, 0));
    }
}

/// Scenario: a frame holds a copy of a whole segment, and its own head is damaged.
/// Guarantees: no record of the copy is taken for one of the log.
#[tokio::test]
async fn copies_of_records_are_not_records() {
    let (_dir, _path, copy, _) = log((0..5).map(|n| vec![plain(n, 60)]).collect()).await;
    let trap = Append { frame: [&frame(6, 8)[..], &copy].concat().into(), keyframe: None };
    let (dir, path, mut content, records) = log(vec![vec![plain(5, 60), trap, plain(7, 60)]]).await;
    content[records[1].position.offset as usize] ^= 1;
    fs::write(&path, content).expect("written");
    let (journal, fold) = open(dir.path(), SMALL);
    assert_eq!(fold.counts().applied, [5, 7]);
    assert_eq!(numbers(&read(&journal, 0, Position::default())), [5, 7]);
    assert_eq!(journal.stats(0).corrupt_bytes, (HEAD + 8 + copy.len()) as u64);
}

/// Scenario: the newest segment's state is damaged, then its older segments are read and deleted.
/// Guarantees: the fold is made of the state before and the frames since, and stored anew before anything goes.
#[tokio::test]
async fn a_damaged_state_is_made_again() {
    let (dir, path, _, _) = log((0..40).map(|n| vec![plain(n, 100)]).collect()).await;
    let newest =
        fs::read_dir(path.parent().expect("a folder")).expect("listed").map(|e| e.expect("an entry").path());
    let newest = newest.filter(|path| path.extension().is_some()).max().expect("a segment");
    let mut content = fs::read(&newest).expect("read");
    content[2 * HEAD + 12] ^= 1;
    fs::write(&newest, content).expect("written");
    for _ in 0..2 {
        let (journal, fold) = open(dir.path(), SMALL);
        assert_eq!(fold.counts().applied, Vec::from_iter(0..40));
        let mut cursor = journal.cursor(0, "all").expect("a cursor");
        cursor.advance(*journal.durable(0).borrow()).expect("moves");
        journal.close().await;
    }
}

/// Scenario: what else may be found: an empty segment, one of a later version, a cursor's file with noise, cursors
/// without their segments.
/// Guarantees: none of them keeps what is good from being used; a later version is not touched.
#[tokio::test]
async fn odd_folders() {
    let (dir, path, content, records) = log(vec![vec![plain(0, 60), plain(1, 60)]]).await;
    fs::write(path.with_file_name("0000000000000002.seg"), b"").expect("written");
    fs::write(path.with_file_name("noise.cursor"), b"noise").expect("written");
    fs::write(path.with_file_name("notes.txt"), b"noise").expect("written");
    let (journal, fold) = open(dir.path(), SMALL);
    assert_eq!(fold.counts().applied, [0, 1]);
    let mut cursor = journal.cursor(0, "noise").expect("a cursor");
    assert_eq!(numbers(&read(&journal, 0, cursor.position())), [0, 1]);
    for n in 2..40 {
        let end = store(&journal, 0, vec![plain(n, 100)]).await;
        cursor.advance(end).expect("moves");
    }
    journal.close().await;
    drop((journal, cursor));

    for entry in fs::read_dir(path.parent().expect("a folder")).expect("listed") {
        let file = entry.expect("an entry").path();
        if file.extension().is_some_and(|end| end == "seg") {
            fs::remove_file(file).expect("removed");
        }
    }
    let (journal, _) = open(dir.path(), SMALL);
    let cursor = journal.cursor(0, "noise").expect("a cursor");
    store(&journal, 0, vec![plain(40, 100)]).await;
    assert_eq!(numbers(&read(&journal, 0, cursor.position())), [40]);
    journal.close().await;
    drop((journal, cursor));

    let mut later = Vec::new();
    let start = Position { segment: 99, offset: 0 };
    record::put(&mut later, start, record::Kind::Segment, 0, 0, b"\x02\x00metrics");
    later.extend_from_slice(&content[records[0].position.offset as usize..]);
    let path = path.with_file_name(format!("{:016x}.seg", 99));
    fs::write(&path, &later).expect("written");
    let refused = Journal::open(dir.path(), one(&Counting::default()), SMALL).err().expect("refused");
    assert!(refused.to_string().contains("version 2"), "{refused}");
    assert_eq!(fs::read(&path).expect("read"), later);
}
