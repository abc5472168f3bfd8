//! Bytes that are found again beside the file that held them.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::Ordering::Relaxed;

use super::rig::{Rig, append, cri};
use super::*;

/// As logrotate does it.
fn copytruncate(rig: &Rig, from: &str, to: &str) {
    fs::copy(rig.path(from), rig.path(to)).unwrap();
    fs::File::options().write(true).open(rig.path(from)).unwrap().set_len(0).unwrap();
}

fn numbered(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("{n}\n")).collect()
}

fn in_order(lines: &[String]) -> bool {
    lines.iter().enumerate().all(|(n, line)| *line == n.to_string())
}

/// Scenario: a file is copied and emptied while most of it is unread, and goes on; then its copy is deleted.
/// Guarantees: the rest is read from the copy, before the new lines; the old content is forgotten with its copy.
#[tokio::test]
async fn copied_unread() {
    let mut rig = Rig::new();
    rig.room = 1;
    rig.append("files/a.log", numbered(0..200_000));
    rig.start();
    rig.one().await;
    copytruncate(&rig, "files/a.log", "files/a.log.1");
    rig.append("files/a.log", numbered(200_000..200_010));
    assert!(in_order(&rig.lines(200_010).await));
    assert_eq!(rig.stats.adopted.load(Relaxed), 1);
    assert!(rig.forgotten.is_empty() && rig.stored.len() == 2);
    fs::remove_file(rig.path("files/a.log.1")).unwrap();
    rig.until_forgotten(1).await;
    assert_eq!(rig.stored.len(), 1);
    rig.stop().await;
}

/// Scenario: a file is copied and emptied, then renamed twice, while the source is down; all files match a pattern.
/// Guarantees: every line once, in order, and none again when it starts the next time.
#[tokio::test]
async fn rotated_while_down() {
    let mut rig = Rig::new();
    rig.config.files[0].path = rig.dir.path().join("files/a.log*");
    rig.append("files/a.log", numbered(0..10));
    rig.start();
    rig.lines(10).await;
    rig.stop().await;

    rig.append("files/a.log", numbered(10..20));
    copytruncate(&rig, "files/a.log", "files/a.log.1");
    rig.append("files/a.log", numbered(20..30));
    rig.start();
    assert!(in_order(&rig.lines(30).await));
    rig.stop().await;

    for to in 30..32 {
        rig.append("files/a.log", numbered(to..to + 1));
        rig.rename("files/a.log", &format!("files/a.log.{to}"));
    }
    rig.append("files/a.log", numbered(32..40));
    for _ in 0..2 {
        rig.start();
        assert!(in_order(&rig.lines(40).await), "{:?}", rig.texts());
        rig.stop().await;
    }
}

/// Scenario: the copy matches a pattern itself and is written while the source watches.
/// Guarantees: no line of it comes twice.
#[tokio::test]
async fn copy_is_wanted_too() {
    let mut rig = Rig::new();
    rig.config.files[0].path = rig.dir.path().join("files/*");
    rig.append("files/a.log", numbered(0..10));
    rig.start();
    rig.lines(10).await;
    for n in 1..5 {
        copytruncate(&rig, "files/a.log", &format!("files/a.log.{n}"));
        rig.append("files/a.log", numbered(n * 10..n * 10 + 10));
        assert!(in_order(&rig.lines(n as usize * 10 + 10).await));
    }
    rig.stop().await;
    rig.append("files/a.log", "50\n");
    rig.start();
    assert!(in_order(&rig.lines(51).await));
    rig.stop().await;
}

/// Scenario: a file is emptied under a writer that does not append, so that it gets a hole.
/// Guarantees: the hole is no line.
#[tokio::test]
async fn hole() {
    let mut rig = Rig::new();
    let path = rig.path("files/a.log");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all("x".repeat(100_000).as_bytes()).unwrap();
    file.write_all(b"\none\n").unwrap();
    rig.start();
    rig.lines(2).await;
    file.set_len(0).unwrap();
    rig.until_forgotten(1).await;
    file.write_all(b"two\n").unwrap();
    assert_eq!(rig.lines(3).await[2], "two");
    file.seek(SeekFrom::Start(100_008)).unwrap();
    rig.stop().await;
    rig.append("files/a.log", "three\n");
    rig.start();
    assert_eq!(rig.lines(4).await[3], "three");
    rig.stop().await;
}

/// Scenario: a file with less than a line is deleted, another one renamed.
/// Guarantees: what they hold is a line after a while.
#[tokio::test]
async fn less_than_a_line() {
    let mut rig = Rig::new();
    rig.append("files/a.log", "half");
    rig.append("files/b.log", "whole\nhalf");
    rig.append("files/c.log", "");
    rig.start();
    rig.lines(1).await;
    fs::remove_file(rig.path("files/a.log")).unwrap();
    fs::remove_file(rig.path("files/c.log")).unwrap();
    rig.rename("files/b.log", "files/b.old");
    assert_eq!(rig.lines(3).await, ["whole", "half", "half"]);
    rig.until_forgotten(1).await;
    rig.stop().await;
}

/// Scenario: three files, a pod's and two plain ones, are written, renamed, copied and emptied at random, while the
/// source, which may hold but a few of them open, stops, dies and starts again at random.
/// Guarantees: every line exactly once, for any seed.
#[tokio::test]
async fn random() {
    use rand::{Rng, SeedableRng};
    for seed in 0..6 {
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        let mut rig = Rig::new();
        rig.room = 2;
        rig.config.open_files = random.random_range(1..5);
        let names = [POD, "files/a.log", "files/b.log"];
        let (mut written, mut up) = (0, false);
        for step in 0..150 {
            let name = names[random.random_range(0..names.len())];
            let path = rig.path(name);
            let op = random.random_range(0..20);
            // What is rotated before it was ever known, by a name that nobody wants, cannot be found.
            let first = fs::read_to_string(&path).unwrap_or_default().lines().next().map(str::to_owned);
            if name != POD && (10..13).contains(&op) && !rig.texts().iter().any(|t| Some(t) == first.as_ref())
            {
                continue;
            }
            match op {
                0..10 => {
                    for _ in 0..random.random_range(1..200) {
                        let text = format!("{seed}/{step}/{written}");
                        let line = if name == POD { cri(written, "stdout", "F", &text) } else { text + "\n" };
                        append(&path, line);
                        written += 1;
                    }
                }
                10..12 if path.exists() => rig.rename(name, &format!("{name}.20261122-{step:06}")),
                12 if name != POD && path.exists() && fs::metadata(&path).unwrap().len() > 0 => {
                    copytruncate(&rig, name, &format!("{name}.20261122-{step:06}"));
                    // As logrotate does it: once in a while. What comes and goes between two looks is lost.
                    if up {
                        rig.lines(written as usize).await;
                    }
                }
                13..16 if !up => {
                    rig.start();
                    up = true;
                }
                16 if up => {
                    rig.kill().await;
                    up = false;
                }
                17 if up => {
                    rig.stop().await;
                    up = false;
                }
                _ if up && rig.texts().len() < written as usize => rig.one().await,
                _ => {}
            }
        }
        if !up {
            rig.start();
        }
        let mut lines = rig.lines(written as usize).await;
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), written as usize, "seed {seed}");
        rig.stop().await;
    }
}
