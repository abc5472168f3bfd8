//! A disk that is really full: a small tmpfs, in a mount namespace of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::*;
use super::kit::*;

/// Where the tmpfs is, for the process within.
const TMPFS: &str = "AO_TEST_TMPFS";
const SIZE: u64 = 1 << 20;

/// Scenario: the disk has room for a fifth of the budget; a stranger's file fills it up wholly, and goes again. It is
/// done by this test once more, in a process that has a tmpfs of that size.
/// Guarantees: where old segments can go, they go, counted, the less valuable log's first, and every append succeeds;
/// where nothing can go, appends fail with an error that says so and leave no trace; when there is room they succeed
/// again; after a restart each frame is there or counted.
#[test]
fn holds_on() {
    let Ok(dir) = std::env::var(TMPFS) else { return within_tmpfs() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(fill_up(Path::new(&dir)));
    println!("filled up and recovered");
}

fn within_tmpfs() {
    let dir = tempfile::tempdir().expect("a folder");
    let mount = format!("mount -t tmpfs -o size={SIZE} tmpfs \"$0\"");
    let unshare = |script: String| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).arg(dir.path());
        command
    };
    match unshare(mount.clone()).output() {
        Ok(done) if done.status.success() => {}
        Ok(done) => {
            eprintln!("SKIP a full disk: {}", String::from_utf8_lossy(&done.stderr).trim());
            return;
        }
        Err(error) => {
            eprintln!("SKIP a full disk: cannot run unshare: {error}");
            return;
        }
    }
    let this = std::env::current_exe().expect("a test");
    let mut command = unshare(format!("{mount} && exec \"$@\""));
    command.arg(this).args(["--exact", "journal::tests::full_disk::holds_on", "--nocapture"]);
    let done = command.env(TMPFS, dir.path()).output().expect("runs");
    let said = String::from_utf8_lossy(&done.stdout);
    let why = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("filled up and recovered"), "{said}{why}");
}

async fn fill_up(dir: &Path) {
    let options = Options { segment_bytes: 32 << 10, budget_bytes: 5 * SIZE, ..SMALL };
    let folder = dir.join("journal");
    let folds: [Counting; 2] = Default::default();
    let open = |folds: &[Counting; 2]| {
        let classes = ["high", "low"].into_iter().zip(folds);
        let classes = classes.map(|(name, fold)| Class { name, fold: Box::new(fold.clone()) });
        Journal::open(&folder, classes.collect(), options).expect("opens")
    };
    let journal = open(&folds);
    let _cursor = journal.cursor(1, "sink").expect("a cursor");
    for n in 0..200 {
        store(&journal, 1, vec![plain(n, 4_000)]).await;
    }
    let before = journal.stats(1).shed;
    for n in 200..400 {
        store(&journal, 0, vec![plain(n, 4_000)]).await;
    }
    assert!(journal.stats(1).shed > before, "the less valuable goes first");

    // A stranger takes all that is left, more than once, since shedding makes room.
    let stranger = |nth: u64| {
        let mut bytes = vec![7; SIZE as usize];
        let path = dir.join(format!("stranger{nth}"));
        while let Err(error) = fs::write(&path, &bytes) {
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
            let len = fs::metadata(&path).map_or(0, |about| about.len());
            if len == 0 && bytes.len() <= 4096 {
                break;
            }
            bytes.truncate(len as usize);
        }
    };
    let mut refused = 0;
    for n in 400..600 {
        stranger(n);
        // Each is larger than the one before, so that it does not even fit where that one was.
        let grown = plain(n, (n as usize - 398) * 4_096);
        let done = journal.append(0, vec![grown]).await.expect("queued").durable().await;
        if let Err(error) = done {
            assert!(error.is_full(), "{error}");
            refused += 1;
        }
        if refused == 5 {
            break;
        }
    }
    assert_eq!(refused, 5, "nothing was left to shed");
    for nth in 400..600 {
        drop(fs::remove_file(dir.join(format!("stranger{nth}"))));
    }
    for n in 600..650 {
        store(&journal, (n % 2) as usize, vec![plain(n, 4_000)]).await;
    }
    check(&journal, &folds);
    journal.close().await;
    drop((journal, _cursor));
    let again: [Counting; 2] = Default::default();
    let journal = open(&again);
    check(&journal, &again);
    let counts = |folds: &[Counting; 2]| folds.each_ref().map(Counting::counts);
    assert_eq!(counts(&again), counts(&folds));
    journal.close().await;
}

fn check(journal: &Journal, folds: &[Counting; 2]) {
    for (log, fold) in folds.iter().enumerate() {
        let Counts { applied, shed } = fold.counts();
        let mut all: Vec<u64> = shed.into_iter().map(|(number, _)| number).collect();
        all.extend(numbers(&read(journal, log, Position::default())));
        assert_eq!(all, applied, "log {log}: shed and left make all");
    }
}
