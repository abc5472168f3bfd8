//! A disk that is really full: a small tmpfs, in a mount namespace of its own.

use std::path::Path;
use std::process::Command;

use super::super::*;
use super::kit::*;

/// Where the tmpfs is, for the process within.
const TMPFS: &str = "AO_TEST_TMPFS";
const SIZE: u64 = 1 << 20;

/// Scenario: the disk has room for a fifth of the budget and is filled up; then a reader goes on. It is done by this test
/// once more, in a process that has a tmpfs of that size.
/// Guarantees: what does not fit is refused with an error that says so, leaves no trace and costs nothing that is there;
/// cursors move all the same, what they have passed goes, and appends succeed again; so it is after a restart.
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
    let open = |folds: &[Counting; 2]| {
        let classes = ["high", "low"].into_iter().zip(folds);
        let classes = classes.map(|(name, fold)| Class { name, fold: Box::new(fold.clone()) });
        Journal::open(&folder, classes.collect(), options).expect("opens")
    };
    let folds: [Counting; 2] = Default::default();
    let journal = open(&folds);
    let mut cursor = journal.cursor(1, "sink").expect("a cursor");
    let mut taken = [Vec::new(), Vec::new()];
    let mut refused = 0;
    for n in 0..600 {
        let log = usize::from(n % 3 > 0);
        match journal.append(log, vec![plain(n, 4_000)]).await.expect("queued").durable().await {
            Ok(_) => taken[log].push(n),
            Err(error) => {
                assert!(error.is_full(), "{error}");
                refused += 1;
            }
        }
    }
    let all = |journal: &Journal| [0, 1].map(|log| numbers(&read(journal, log, Position::default())));
    assert!(refused > 300 && taken[1].len() > 100, "{refused} refused");
    assert_eq!(all(&journal), taken);

    let records = read(&journal, 1, Position::default());
    cursor.advance(records[80].end).expect("moves on a full disk");
    for n in 600..620 {
        // The first may come before the room that the cursor makes.
        for _ in 0..10 {
            if journal.append(0, vec![plain(n, 4_000)]).await.expect("queued").durable().await.is_ok() {
                taken[0].push(n);
                break;
            }
        }
        assert_eq!(taken[0].last(), Some(&n));
    }
    let check = |journal: &Journal, folds: &[Counting; 2]| {
        let [high, low] = all(journal);
        assert_eq!(high, taken[0]);
        assert!(low.len() < taken[1].len() && low.ends_with(&taken[1][81..]));
        assert!(folds.iter().all(|fold| fold.counts().shed.is_empty()));
        assert_eq!([0, 1].map(|log: usize| folds[log].counts().applied), taken);
    };
    check(&journal, &folds);
    journal.close().await;
    drop((journal, cursor));
    let again: [Counting; 2] = Default::default();
    let journal = open(&again);
    check(&journal, &again);
    journal.close().await;
}
