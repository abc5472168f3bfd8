//! Files that are renamed, emptied, deleted and replaced while they are read.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::Ordering::Relaxed;

use super::rig::{Rig, append, cri};
use super::*;

/// Scenario: the kubelet renames a log while the runtime goes on writing to it for a while, then the runtime opens
/// a new one; several times.
/// Guarantees: every line once, in order.
#[tokio::test]
async fn renamed() {
    let mut rig = Rig::new();
    rig.start();
    let mut n = 0;
    let mut line = || {
        n += 1;
        cri(n, "stdout", "F", &format!("{n}"))
    };
    for turn in 0..5 {
        let mut old = rig.append(POD, line());
        rig.rename(POD, &format!("{POD}.20261122-14301{turn}"));
        for _ in 0..3 {
            old.write_all(line().as_bytes()).unwrap();
        }
        rig.append(POD, line());
    }
    let lines = rig.lines(25).await;
    let expect: Vec<_> = (1..=25).map(|n| n.to_string()).collect();
    assert_eq!(lines, expect);
    rig.stop().await;
}

/// Scenario: a log is rotated while the source is down, with bytes unread; a new one has begun.
/// Guarantees: the rest of the old one is read first, then the new one.
#[tokio::test]
async fn renamed_while_down() {
    let mut rig = Rig::new();
    rig.append(POD, cri(1, "stdout", "F", "1"));
    rig.start();
    rig.lines(1).await;
    rig.stop().await;
    rig.append(POD, cri(2, "stdout", "F", "2"));
    rig.rename(POD, &format!("{POD}.20261122-143010"));
    rig.append(POD, cri(3, "stdout", "F", "3"));
    rig.start();
    assert_eq!(rig.lines(3).await, ["1", "2", "3"]);
    rig.stop().await;
}

/// Scenario: a file is emptied in place and written anew, with another and with the same first line, while the
/// source runs and while it is down.
/// Guarantees: the new content is read from its beginning.
#[tokio::test]
async fn emptied() {
    let mut rig = Rig::new();
    let mut file = rig.append("files/a.log", "head\none\n");
    rig.start();
    rig.lines(2).await;
    for (n, text) in ["other\n", "other\n", "x\nlonger than what was there\n"].into_iter().enumerate() {
        let before = rig.texts().len();
        file.set_len(0).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        // As logrotate does it: emptied for a while. Without this, the second turn would be no change to see.
        rig.until_forgotten(n + 1).await;
        file.write_all(text.as_bytes()).unwrap();
        rig.lines(before + text.lines().count()).await;
    }
    rig.stop().await;
    file.set_len(0).unwrap();
    file.write_all(b"down\n").unwrap();
    rig.start();
    assert_eq!(rig.lines(7).await[6], "down");
    rig.stop().await;
}

/// Scenario: a file with more unread bytes than may be on their way is deleted, the last line without an end.
/// Guarantees: it is read to its end, then forgotten.
#[tokio::test]
async fn deleted_unread() {
    let mut rig = Rig::new();
    rig.room = 1;
    let text: String = (0..100_000).map(|n| format!("line {n}\n")).collect();
    rig.append("files/a.log", text + "the end");
    rig.start();
    rig.one().await;
    fs::remove_file(rig.path("files/a.log")).unwrap();
    let lines = rig.lines(100_001).await;
    assert_eq!((&*lines[99_999], &*lines[100_000]), ("line 99999", "the end"));
    rig.until_forgotten(1).await;
    assert!(rig.stored.is_empty());
    rig.stop().await;
    assert_eq!(rig.stats.finished.load(Relaxed), 1);
}

/// Scenario: more files than may be held open wait to be read while the batcher is behind; those that are not open are
/// deleted.
/// Guarantees: the bytes that nobody will read are said; with those that were read they are all.
#[tokio::test]
async fn deleted_unopened() {
    let mut rig = Rig::new();
    rig.room = 1;
    rig.config.open_files = 1;
    let text: String = (0..100_000).map(|n| format!("line {n}\n")).collect();
    for n in 0..4 {
        rig.append(&format!("files/{n}.log"), &text);
    }
    rig.start();
    rig.one().await;
    for n in 0..4 {
        fs::remove_file(rig.path(&format!("files/{n}.log"))).unwrap();
    }
    while rig.stats.finished.load(Relaxed) + rig.stats.abandoned.load(Relaxed) < 4 {
        rig.one().await;
    }
    rig.stop().await;
    let read: u64 = rig.chunks.iter().map(|chunk| chunk.bytes).sum();
    assert!(rig.unread > 0 && rig.stats.abandoned.load(Relaxed) > 0);
    assert_eq!(read + rig.unread, 4 * text.len() as u64);
}

/// Scenario: a file is deleted and made anew by the same name again and again; the file system gives the same inode.
/// Guarantees: each one's line is read once.
#[tokio::test]
async fn inode_reuse() {
    let mut rig = Rig::new();
    rig.start();
    for n in 0..20 {
        rig.append("files/a.log", format!("life {n}\n"));
        rig.lines(n + 1).await;
        fs::remove_file(rig.path("files/a.log")).unwrap();
        // While it is held open, its inode cannot be given away.
        if n % 2 == 0 {
            rig.until_forgotten(n / 2 + 1).await;
        }
    }
    rig.stop().await;
}

/// Scenario: a partial line's pieces on both sides of a rotation, with lines of the other stream between them.
/// Guarantees: one joined line; the spans of both files are whole.
#[tokio::test]
async fn partial_across_rotation() {
    let mut rig = Rig::new();
    rig.config.linger = Span::secs(60);
    rig.append(POD, cri(1, "stdout", "F", "first") + &cri(2, "stdout", "P", "be"));
    rig.append(POD, cri(3, "stderr", "F", "error"));
    rig.start();
    rig.lines(1).await;
    let size = fs::metadata(rig.path(POD)).unwrap().len();
    assert!(rig.stored.values().all(|end| *end < size));
    rig.rename(POD, &format!("{POD}.20261122-143010"));
    rig.append(POD, cri(4, "stdout", "P", "gin") + &cri(5, "stdout", "F", "ning"));
    assert_eq!(rig.lines(3).await, ["first", "beginning", "error"]);
    assert!(rig.stored.values().any(|end| *end == size) && rig.stored.len() == 2);
    // Dies now and comes back: nothing is read again.
    rig.kill().await;
    rig.append(POD, cri(6, "stdout", "F", "last"));
    rig.start();
    assert_eq!(rig.lines(4).await[3], "last");
    rig.stop().await;
}

/// Scenario: the rest of a partial line never comes.
/// Guarantees: after a while it is a line of its own, counted.
#[tokio::test]
async fn partial_without_rest() {
    let mut rig = Rig::new();
    rig.append(POD, cri(1, "stdout", "P", "prompt> "));
    rig.start();
    assert_eq!(rig.lines(1).await, ["prompt> "]);
    rig.stop().await;
    assert_eq!(rig.stats.partials_split.load(Relaxed), 1);
}

/// Scenario: a writer's 20,000 numbered lines over some fifteen rotations by rename, the oldest file deleted each
/// time, while the source dies and starts again from what was stored, over and over.
/// Guarantees: each number exactly once.
#[tokio::test]
async fn verifier() {
    const LINES: u32 = 20_000;
    let mut rig = Rig::new();
    rig.room = 4;
    rig.config.linger = Span::secs(60);
    let path = rig.path(POD);
    let (progress, stored) = std::sync::mpsc::sync_channel(LINES as usize);
    let writer = std::thread::spawn(move || {
        let (mut old, mut known) = (Vec::new(), 0);
        for n in 0..LINES {
            let stream = if n % 7 == 0 { "stderr" } else { "stdout" };
            append(&path, cri(n, stream, "F", &format!("{n}")));
            if n % 1_300 == 1_299 {
                let aside = path.with_file_name(format!("0.log.20261122-{n:06}"));
                fs::rename(&path, &aside).unwrap();
                old.push((n, aside));
                // The kubelet keeps a few, which is as long as the source may be down.
                if old.len() > 3 {
                    let (last, aside) = old.remove(0);
                    while known <= last {
                        known = stored.recv().unwrap();
                    }
                    fs::remove_file(aside).unwrap();
                }
            }
        }
    });
    let mut seen = vec![0_u8; LINES as usize];
    let (mut counted, mut deaths) = (0, 0);
    while counted < LINES {
        rig.start();
        for _ in 0..7 {
            rig.one().await;
            for text in rig.texts() {
                let n: usize = text.parse().unwrap();
                seen[n] += 1;
                assert_eq!(seen[n], 1, "line {n} came twice");
                counted += 1;
            }
            rig.chunks.clear();
            // Up to where none is missing: what the writer may delete.
            let whole = seen.iter().position(|n| *n == 0).unwrap_or(seen.len());
            progress.send(whole as u32).ok();
            if counted == LINES {
                break;
            }
        }
        rig.kill().await;
        deaths += 1;
    }
    writer.join().unwrap();
    assert!(deaths > 1, "{deaths}");
    assert!(seen.iter().all(|n| *n == 1));
}
