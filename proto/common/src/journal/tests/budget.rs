//! Who goes first when the disk is full, and that nobody goes uncounted.

use super::super::*;
use super::kit::*;

const TIGHT: Options = Options { budget_bytes: 8 << 10, ..SMALL };

fn three(folds: &[Counting; 3]) -> Vec<Class> {
    let names = ["metrics", "spans", "logs"];
    names.into_iter().zip(folds).map(|(name, fold)| Class { name, fold: Box::new(fold.clone()) }).collect()
}

fn total(journal: &Journal) -> u64 {
    (0..3).map(|class| journal.stats(class).bytes).sum()
}

/// Scenario: three classes share a budget that the first alone would fill; the last goes on appending then.
/// Guarantees: the least valuable class is shed first, then the next; a class is never shed for one of less worth; the
/// budget holds but for what is being written; each frame is read or counted, also after a restart.
#[tokio::test]
async fn the_lowest_class_goes_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let folds: [Counting; 3] = Default::default();
    let journal = Journal::open(dir.path(), three(&folds), TIGHT).expect("opens");
    for n in 0..60 {
        store(&journal, (n % 3) as usize, vec![plain(n, 80)]).await;
    }
    assert!(journal.stats(2).shed > 0 && journal.stats(0).shed == 0 && journal.stats(1).shed == 0);
    let logs = read(&journal, 2, Position::default());
    assert!(logs.is_sorted_by_key(|record| record.position) && !logs.is_empty(), "its oldest goes first");

    for n in 60..200 {
        store(&journal, 0, vec![plain(n, 80)]).await;
        assert!(total(&journal) <= TIGHT.budget_bytes + (2 << 10));
    }
    assert!(read(&journal, 2, Position::default()).is_empty());
    assert!(read(&journal, 1, Position::default()).is_empty());
    let metrics = numbers(&read(&journal, 0, Position::default()));
    assert!(journal.stats(0).shed > 0 && metrics.len() > 20);
    for n in 200..220 {
        store(&journal, 2, vec![plain(n, 80)]).await;
        assert!(total(&journal) <= TIGHT.budget_bytes + (2 << 10));
    }
    assert_eq!(numbers(&read(&journal, 0, Position::default())), metrics, "logs never cost metrics");

    let check = |journal: &Journal, folds: &[Counting; 3]| {
        for (class, fold) in folds.iter().enumerate() {
            let Counts { applied, shed } = fold.counts();
            let mut all: Vec<u64> = shed.into_iter().map(|(number, _)| number).collect();
            all.extend(numbers(&read(journal, class, Position::default())));
            assert_eq!(all, applied, "class {class}: shed and left make all");
        }
    };
    check(&journal, &folds);
    journal.close().await;
    let again: [Counting; 3] = Default::default();
    let journal = Journal::open(dir.path(), three(&again), TIGHT).expect("opens");
    check(&journal, &again);
    assert_eq!(again.map(|fold| fold.counts()), folds.map(|fold| fold.counts()));
}

/// Scenario: of two cursors one has read on and one stands still while the log is shed; a reader stands in it too.
/// Guarantees: each frame is counted for those alone that had not passed it; the cursor and the reader go on at the
/// oldest frame there is; a request that was under way in what is gone is forgotten.
#[tokio::test]
async fn counted_for_those_who_missed_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, fold) = open(dir.path(), TIGHT);
    let mut quick = journal.cursor(0, "quick").expect("a cursor");
    let mut stuck = journal.cursor(0, "stuck").expect("a cursor");
    let mut reader = journal.reader(0, Position::default());
    let mut ends = Vec::new();
    for n in 0..100 {
        ends.push(store(&journal, 0, vec![plain(n, 100)]).await);
        match n {
            3 => stuck.begin(ends[3]).expect("noted"),
            20 => drop(quick.advance(ends[20]).expect("moves")),
            30 => assert_eq!(number(&reader.read().expect("readable").expect("a frame").frame), 0),
            _ => {}
        }
    }
    let shed = fold.counts().shed;
    assert!(shed.len() > 21);
    assert!(shed.iter().map(|(n, _)| *n).eq(0..shed.len() as u64));
    for (n, names) in &shed {
        assert_eq!(names, if *n <= 20 { "stuck" } else { "quick,stuck" }, "{n}");
    }
    let oldest = shed.len() as u64;
    assert_eq!(number(&reader.read().expect("readable").expect("a frame").frame), oldest);
    assert_eq!(number(&read(&journal, 0, stuck.position())[0].frame), oldest);
    assert_eq!(stuck.pending(), None);
    stuck.advance(ends[5]).expect("is no error");
    assert_eq!(number(&read(&journal, 0, stuck.position())[0].frame), oldest);
}
