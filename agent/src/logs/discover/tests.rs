//! What is listed again, and what is told, of real folders.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::{Duration, Instant};

use super::*;

fn discover(patterns: &[PathBuf]) -> (Discover, Arc<Inbox>) {
    let want = |path: &PathBuf| Want { patterns: vec![Pattern::parse(path).unwrap()], exclude: Vec::new() };
    let inbox = Arc::new(Inbox::default());
    let wants = patterns.iter().map(want).collect();
    (Discover::new(wants, Arc::clone(&inbox), Arc::default()).unwrap(), inbox)
}

fn write(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(b"line\n").unwrap();
}

/// What is told until `last` is.
fn told(inbox: &Inbox, last: &Path) -> Vec<PathBuf> {
    let until = Instant::now() + Duration::from_secs(20);
    let mut told = Vec::new();
    while !told.iter().any(|path| path == last) {
        assert!(Instant::now() < until, "{told:?}");
        told.extend(inbox.wait(Instant::now(), until).paths.into_iter().map(|change| change.path));
    }
    told
}

/// Scenario: folders with files; then nothing changes; a file comes, one cannot be read yet, a folder is replaced, all go
/// and come back.
/// Guarantees: what is as it was when it was listed is not listed again; whatever is new in a folder is found.
#[test]
fn only_what_has_changed_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let pods = dir.path().join("pods");
    let path = |name: &str| pods.join(name);
    let (mut discover, _inbox) = discover(&[pods.join("*/*/*.log")]);
    let (a, b, c) = (path("a/app/0.log"), path("b/app/0.log"), path("b/app/1.log"));
    write(&a);
    write(&b);
    assert_eq!(discover.all(), [a.clone(), b.clone()]);
    settle(&mut discover);
    write(&c);
    assert_eq!(discover.changed(), [b, c]);
    settle(&mut discover);
    discover.find_again(&a);
    assert_eq!(discover.changed(), std::slice::from_ref(&a));

    settle(&mut discover);
    write(&path("a/new/0.log"));
    fs::rename(path("a/app"), dir.path().join("old")).unwrap();
    fs::rename(path("a/new"), path("a/app")).unwrap();
    assert_eq!(discover.changed(), std::slice::from_ref(&a));
    fs::rename(&pods, dir.path().join("gone")).unwrap();
    assert!(discover.changed().is_empty());
    write(&a);
    assert_eq!(discover.changed(), [a]);
}

/// Until the folders were changed long enough ago to be as they were listed.
fn settle(discover: &mut Discover) {
    let until = Instant::now() + Duration::from_secs(20);
    while !discover.changed().is_empty() {
        assert!(Instant::now() < until, "they are listed again and again");
        std::thread::yield_now();
    }
}

/// Scenario: a folder is waited for in one in which files are written to, which nobody wants; then it comes.
/// Guarantees: it is told, and no write.
#[test]
fn who_waits_is_told_of_no_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (noise, pods) = (dir.path().join("noise"), dir.path().join("pods"));
    write(&noise);
    let (mut discover, inbox) = discover(&[pods.join("*/*/*.log")]);
    assert!(discover.all().is_empty());
    for _ in 0..100 {
        write(&noise);
    }
    fs::create_dir(&pods).unwrap();
    assert_eq!(told(&inbox, &pods), [pods]);
}

/// Scenario: the same, but files of the folder are wanted too, and it has a second name.
/// Guarantees: writes to them are told, in whichever order the two were looked for.
#[test]
fn waiting_takes_nothing_away() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, link) = (dir.path().join("logs"), dir.path().join("link"));
    let log = logs.join("a.log");
    write(&log);
    std::os::unix::fs::symlink(&logs, &link).unwrap();
    for _ in 0..8 {
        // The order is that of a map with a seed of its own.
        let (mut discover, inbox) =
            discover(&[logs.join("*.log"), logs.join("pods/*/*.log"), link.join("more/*.log")]);
        assert_eq!(discover.all(), std::slice::from_ref(&log));
        write(&log);
        let until = Instant::now() + Duration::from_secs(20);
        let changes = inbox.wait(Instant::now(), until);
        let names: Vec<_> = changes.paths.iter().filter_map(|change| change.path.file_name()).collect();
        assert_eq!(names, ["a.log"]);
    }
}
