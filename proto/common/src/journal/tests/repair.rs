//! What `inspect` says of a folder, and what `repair` makes of a damaged one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tokio::sync::OnceCell;

use super::super::*;
use super::kit::*;

const NAMES: [&str; 2] = ["metrics", "logs"];

fn folds() -> [Counting; 2] {
    Default::default()
}

fn two(dir: &Path, folds: &[Counting; 2]) -> Journal {
    let classes = NAMES.iter().zip(folds).map(|(name, fold)| Class { name, fold: Box::new(fold.clone()) });
    Journal::open(dir, classes.collect(), SMALL).expect("opens")
}

fn about(log: usize, frame: &bytes::Bytes) -> Option<About> {
    let number = number(frame) as i64;
    let source = NAMES[log].to_owned();
    Some(About { source, records: 2, bytes: 10, first_ms: number, last_ms: number + 5, ..About::default() })
}

fn look(dir: &Path) -> Report {
    inspect(dir, &NAMES, about).expect("readable")
}

/// A closed journal of two logs with frames of three keyframes and plain ones, cursors and a range; its segments.
async fn filled(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let journal = two(dir, &folds());
    let mut cursor = journal.cursor(0, "sink").expect("a cursor");
    let _other = journal.cursor(1, "sink").expect("a cursor");
    for n in 0..60 {
        let frame = if n % 4 == 0 { plain(n, 90) } else { keyed(n, u128::from(n / 20)) };
        store(&journal, usize::from(n % 3 == 0), vec![frame]).await;
        if n == 30 {
            let to = *journal.durable(0).borrow();
            drop(cursor.leave_behind("sink.late", to).expect("left"));
        }
    }
    journal.close().await;
    drop((cursor, journal));
    let mut segments = BTreeMap::new();
    for name in NAMES {
        for entry in fs::read_dir(dir.join(name)).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|end| end == "seg") {
                segments.insert(path.clone(), fs::read(path).expect("read"));
            }
        }
    }
    segments
}

/// Scenario: a healthy journal is looked at, closed and in use.
/// Guarantees: counts, ages and what each cursor owes are right; nothing is damaged; nothing has changed; a repair does
/// nothing, and is refused while the journal is open.
#[tokio::test]
async fn a_healthy_journal() {
    let dir = tempfile::tempdir().expect("a folder");
    let segments = filled(dir.path()).await;
    let report = look(dir.path());
    assert_eq!((report.damaged(), report.in_use), (0, false));
    let [metrics, logs] = &report.logs[..] else { panic!("two logs") };
    assert_eq!((metrics.frames, metrics.records, logs.frames), (40, 80, 20));
    assert_eq!((logs.oldest_ms, logs.newest_ms), (Some(0), Some(62)));
    assert_eq!(metrics.segments + logs.segments, segments.len() as u64);
    let owed = |log: &LogReport| {
        let cursors = log.cursors.iter();
        cursors.map(|c| (c.name.clone(), c.frames, c.end.is_some())).collect::<Vec<_>>()
    };
    let mut cursors = owed(metrics);
    cursors.sort();
    assert_eq!(cursors, [("sink".to_owned(), 20, false), ("sink.late".to_owned(), 20, true)]);
    assert_eq!(owed(logs), [("sink".to_owned(), 20, false)]);
    assert_eq!(repair(dir.path(), &NAMES, false).expect("fine"), []);
    for (path, content) in &segments {
        assert_eq!(&fs::read(path).expect("read"), content);
    }
    assert!(!dir.path().join("damaged").exists());

    let journal = two(dir.path(), &folds());
    assert!(look(dir.path()).in_use);
    let refused = repair(dir.path(), &NAMES, true).expect_err("in use").to_string();
    assert!(refused.contains("stop that first"), "{refused}");
    drop(journal);
    assert!(inspect(&dir.path().join("nowhere"), &NAMES, about).is_err());
}

/// Scenario: in one segment a frame's payload and a keyframe's head are hit; the next segment repeats that keyframe.
/// Guarantees: the report names both, with what they cost; the repair gives the keyframe back and fences in the frame;
/// its bytes are kept; what was lost is counted by whoever reads.
#[tokio::test]
async fn a_keyframe_comes_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _) = open(dir.path(), SMALL);
    for n in 0..40 {
        store(&journal, 0, vec![keyed(n, 7)]).await;
    }
    let records = read(&journal, 0, Position::default());
    journal.close().await;
    drop(journal);
    let path = dir.path().join("metrics/0000000000000001.seg");
    let mut content = fs::read(&path).expect("read");
    let first = records.iter().filter(|record| record.position.segment == 1).count() as u64;
    let keyframe = records[0].position.offset as usize - 1;
    let head = (0..keyframe).rev().find(|at| content[*at..].starts_with(&record::MAGIC)).expect("a keyframe");
    content[head] ^= 1;
    let hit = records[3].position.offset..records[3].end.offset;
    content[hit.end as usize - 1] ^= 1;
    fs::write(&path, &content).expect("written");

    let report = look(dir.path());
    let found: Vec<_> =
        report.logs[0].damage.iter().map(|d| (d.offset, d.what, d.undecodable_frames)).collect();
    assert_eq!(found, [(head as u64, What::Unknown, first - 1), (hit.start, What::Frame, 0)]);
    let text = Text(&report, 100).to_string();
    assert!(text.contains("healthy frames") && text.contains("2 damaged places"), "{text}");
    let planned = repair(dir.path(), &NAMES, true).expect("planned");
    assert_eq!(fs::read(&path).expect("read"), content, "a dry run changes nothing");
    let done = repair(dir.path(), &NAMES, false).expect("repaired");
    assert_eq!(done, planned);
    assert_eq!(Vec::from_iter(done.iter().map(|mend| mend.act)), [Act::Restored, Act::Fenced]);
    assert_eq!(fs::read_dir(dir.path().join("damaged")).expect("a folder").count(), 2);
    assert_eq!(look(dir.path()).damaged(), 0);

    let (journal, _) = open(dir.path(), SMALL);
    let mut reader = journal.reader(0, Position::default());
    let mut left = Vec::new();
    while let Some(record) = reader.read().expect("readable") {
        left.push(number(&record.frame));
        assert_eq!(reader.keyframe(7).expect("decodable"), "keyframe 7");
    }
    assert_eq!(left, (0..40).filter(|n| *n != 3).collect::<Vec<_>>());
    assert_eq!(journal.stats(0).corrupt_records, 1);
}

/// A filled journal that is made once: its files, frames, and where a cursor stands.
struct Template {
    files: BTreeMap<PathBuf, Vec<u8>>,
    frames: [Vec<Record>; 2],
    sink: Position,
}

async fn template() -> Template {
    let dir = tempfile::tempdir().expect("a folder");
    filled(dir.path()).await;
    let journal = two(dir.path(), &folds());
    let frames = [0, 1].map(|log| read(&journal, log, Position::default()));
    let sink = journal.cursor(0, "sink").expect("a cursor").position();
    journal.close().await;
    let mut files = BTreeMap::new();
    for name in NAMES {
        for entry in fs::read_dir(dir.path().join(name)).expect("listed") {
            let entry = entry.expect("an entry");
            let content = fs::read(entry.path()).expect("read");
            files.insert(Path::new(name).join(entry.file_name()), content);
        }
    }
    Template { files, frames, sink }
}

#[derive(Clone, Debug)]
enum Harm {
    Flip(usize, u8),
    Noise(usize, Vec<u8>),
    Cut(usize),
}

fn harm() -> impl Strategy<Value = (usize, Harm)> {
    let harm = prop_oneof![
        4 => (any::<usize>(), 0..8_u8).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        3 => (any::<usize>(), proptest::collection::vec(any::<u8>(), 1..300)).prop_map(|(at, n)| Harm::Noise(at, n)),
        1 => any::<usize>().prop_map(Harm::Cut),
    ];
    (any::<usize>(), harm)
}

fn damage(content: &mut Vec<u8>, harm: &Harm) {
    match harm {
        Harm::Flip(at, bit) => {
            let at = at % content.len().max(1);
            content.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
        }
        Harm::Noise(at, noise) => {
            let at = at % content.len().max(1);
            content.iter_mut().skip(at).zip(noise).for_each(|(byte, new)| *byte = *new);
        }
        Harm::Cut(at) => content.truncate(at % (content.len() + 1)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Scenario: bits flip, noise is written and ends are cut off, anywhere in the segments and cursors of a journal.
    /// Guarantees: the repair does what its dry run says; then nothing is damaged; every frame that was not hit is read,
    /// in order and at its place; whole cursors stand where they stood, or where the log begins now if nothing is left
    /// there and before; a second repair finds nothing to do.
    #[test]
    fn every_healthy_frame_survives(harms in proptest::collection::vec(harm(), 1..12), cursor in proptest::option::of(harm())) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            static TEMPLATE: OnceCell<Template> = OnceCell::const_new();
            let template = TEMPLATE.get_or_init(template).await;
            let folder = tempfile::tempdir().expect("a folder");
            let dir = folder.path();
            for name in NAMES {
                fs::create_dir(dir.join(name)).expect("made");
            }
            for (path, content) in &template.files {
                fs::write(dir.join(path), content).expect("written");
            }
            let segments = template.files.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "seg"));
            let segments: BTreeMap<_, _> = segments.map(|(path, content)| (dir.join(path), content.clone())).collect();
            let before = &template.frames;
            let mut now = segments.clone();
            for (which, harm) in &harms {
                let path = segments.keys().nth(which % segments.len()).expect("one");
                damage(now.get_mut(path).expect("one"), harm);
            }
            for (path, content) in &now {
                fs::write(path, content).expect("written");
            }
            if let Some((which, harm)) = &cursor {
                let path = dir.join(["metrics/sink.cursor", "metrics/sink.late.range", "logs/sink.cursor"][which % 3]);
                let mut content = fs::read(&path).expect("read");
                damage(&mut content, harm);
                fs::write(&path, content).expect("written");
            }
            let planned = repair(dir, &NAMES, true).expect("planned");
            assert_eq!(repair(dir, &NAMES, false).expect("repaired"), planned);
            let report = look(dir);
            assert_eq!(report.damaged(), 0, "{}", Text(&report, 0));
            assert_eq!(report.logs.iter().map(|log| log.unfinished_bytes).sum::<u64>(), 0);
            assert_eq!(repair(dir, &NAMES, false).expect("repaired"), []);

            let journal = two(dir, &folds());
            for (log, before) in before.iter().enumerate() {
                let healthy = before.iter().filter(|record| {
                    let path = dir.join(NAMES[log]).join(format!("{:016x}.seg", record.position.segment));
                    let place = record.position.offset as usize..record.end.offset as usize;
                    now[&path].get(place.clone()) == segments[&path].get(place)
                });
                let healthy: Vec<_> = healthy.map(|record| (record.position, number(&record.frame))).collect();
                let left = read(&journal, log, Position::default());
                let left: Vec<_> = left.iter().map(|record| (record.position, number(&record.frame))).collect();
                assert_eq!(left, healthy, "log {log}");
            }
            let sink = journal.cursor(0, "sink").expect("a cursor");
            if cursor.is_none() {
                let left = fs::read_dir(dir.join(NAMES[0])).expect("listed").filter_map(|entry| {
                    catalog::number(&entry.expect("an entry").file_name().to_string_lossy())
                });
                let beginning = Position { segment: left.min().unwrap_or(0), offset: 0 };
                assert_eq!(sink.position(), template.sink.max(beginning));
                let range = journal.cursor(0, "sink.late").expect("a range");
                assert_eq!(range.end(), Some(template.sink));
            }
        });
    }

    /// Scenario: a segment of noise.
    /// Guarantees: it is set aside, without a panic.
    #[test]
    fn noise(noise: Vec<u8>) {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("metrics");
        fs::create_dir(&log).expect("made");
        fs::write(log.join("0000000000000009.seg"), &noise).expect("written");
        look(folder.path());
        let done = repair(folder.path(), &NAMES, false).expect("repaired");
        assert_eq!(done.len(), usize::from(!noise.is_empty()));
        assert_eq!(look(folder.path()).damaged(), 0);
    }
}
