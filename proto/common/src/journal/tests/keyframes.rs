//! Every segment can be read by itself.

use super::super::*;
use super::kit::*;

/// Scenario: frames of five keyframes over many segments; then any one segment's file is deleted.
/// Guarantees: all frames of the others are still read, each with its keyframe, from wherever reading begins.
#[tokio::test]
async fn any_segment_can_be_lost() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _) = open(dir.path(), SMALL);
    for n in 0..300 {
        store(&journal, 0, vec![keyed(n, u128::from(n % 5) << 100)]).await;
    }
    let all = read(&journal, 0, Position::default());
    let segments: Vec<u64> = (1..=journal.stats(0).segments).collect();
    assert!(segments.len() > 5);
    journal.close().await;
    drop(journal);

    for lost in segments {
        let path = dir.path().join(format!("metrics/{lost:016x}.seg"));
        let content = std::fs::read(&path).expect("a segment");
        std::fs::remove_file(&path).expect("deleted");
        let (journal, _) = open(dir.path(), SMALL);
        let left: Vec<&Record> = all.iter().filter(|record| record.position.segment != lost).collect();
        for from in left.iter().step_by(17) {
            let mut reader = journal.reader(0, from.position);
            for expected in left.iter().filter(|record| record.position >= from.position) {
                let record = reader.read().expect("readable").expect("a frame");
                assert_eq!((record.position, &record.frame), (expected.position, &expected.frame));
                let key = record.key.expect("a key");
                assert_eq!(reader.keyframe(key), Some(format!("keyframe {key}").into()));
            }
            assert!(reader.read().expect("readable").is_none());
        }
        drop(journal);
        std::fs::write(&path, content).expect("put back");
    }
}

/// Scenario: keyframes so large that a few fill a segment.
/// Guarantees: a segment grows to eight times its keyframes before the next one repeats them.
#[tokio::test]
async fn stay_a_small_share() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _) = open(dir.path(), SMALL);
    let keyframe = bytes::Bytes::from(vec![7; 10_000]);
    for n in 0..1_000 {
        let append = Append { frame: frame(n, 200), keyframe: Some((1, keyframe.clone())) };
        store(&journal, 0, vec![append]).await;
    }
    let Stats { segments, bytes, .. } = journal.stats(0);
    assert!(segments > 2 && segments * 10_000 * 8 <= bytes + 80_000, "{segments} segments, {bytes} bytes");
}
