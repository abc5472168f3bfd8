//! What is no log, under a name that is wanted.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::sync::atomic::Ordering::Relaxed;

use super::rig::{Rig, append};

/// Scenario: a file of 1 GiB without a line's end, sparse behind its first byte, beside one of a few lines.
/// Guarantees: it comes in lines of `max_line`, with every byte covered, a few at a time; what is cut is counted, and
/// the other file does not wait for its end.
#[tokio::test]
async fn a_file_without_lines() {
    const SIZE: u64 = 1 << 30;
    let mut rig = Rig::new();
    rig.room = 1;
    rig.append("files/a.log", "x").set_len(SIZE).unwrap();
    rig.append("files/b.log", "one\ntwo\n");
    rig.start();
    let (mut bytes, mut behind) = (0, None);
    while bytes + rig.config.max_line.0 < SIZE {
        let chunk = rig.pass().await;
        assert!(chunk.text.len() as u64 <= rig.config.max_line.0 + (512 << 10), "{} bytes", chunk.text.len());
        if chunk.text == "onetwo" {
            behind = Some(bytes);
        } else {
            bytes += chunk.bytes;
        }
    }
    assert!(behind.is_some_and(|bytes| bytes < SIZE / 2), "the other file came after {behind:?}");
    let lines = SIZE / rig.config.max_line.0;
    assert!((lines - 1..=lines).contains(&rig.stats.cuts.load(Relaxed)), "{:?}", rig.stats.cuts);
    rig.stop().await;
}

/// Scenario: a file that is nothing but a hole of 1 TiB, another one that begins with such a hole; bytes of all kinds,
/// zeros among them.
/// Guarantees: the holes are left out, and counted; the rest is read, line by line.
#[tokio::test]
async fn holes_and_noise() {
    const HOLE: u64 = 1 << 40;
    let mut rig = Rig::new();
    rig.append("files/a.log", "").set_len(HOLE).unwrap();
    let file = OpenOptions::new().create(true).append(true).open(rig.path("files/b.log")).unwrap();
    file.set_len(HOLE).unwrap();
    drop(file);
    append(&rig.path("files/b.log"), "behind\n");
    let noise: Vec<u8> = (1..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    rig.append("files/c.log", [&*noise, b"\nthe end\n"].concat());
    rig.start();
    let ends = noise.iter().filter(|byte| **byte == b'\n').count();
    let lines = rig.lines(ends + 3).await;
    assert!(lines.contains(&"behind".to_owned()) && lines.contains(&"the end".to_owned()));
    assert_eq!(rig.stats.zero_bytes.load(Relaxed), 2 * HOLE);
    assert!(rig.stats.invalid_utf8.load(Relaxed) > 0);
    rig.stop().await;
}

/// Scenario: a pipe that nobody writes to, a device, a folder, a link to itself and one that goes round, all named as
/// logs are; a log among them.
/// Guarantees: nothing blocks, the log is read and goes on; pipe and device are counted, once each.
#[tokio::test]
async fn no_files() {
    let mut rig = Rig::new();
    rig.config.rescan = super::Span(std::time::Duration::from_millis(50));
    rustix::fs::mknodat(
        rustix::fs::CWD,
        rig.path("files/pipe.log"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    std::os::unix::fs::symlink("/dev/zero", rig.path("files/device.log")).unwrap();
    fs::create_dir_all(rig.path("files/folder.log")).unwrap();
    std::os::unix::fs::symlink("self.log", rig.path("files/self.log")).unwrap();
    std::os::unix::fs::symlink("..", rig.path("files/round.log")).unwrap();
    rig.append("files/z.log", "one\n");
    rig.start();
    rig.lines(1).await;
    for n in 2..6 {
        rig.append("files/z.log", "more\n");
        rig.lines(n).await;
    }
    assert_eq!(rig.stats.left_out.load(Relaxed), 2);
    rig.stop().await;
}

/// Scenario: 20,000 files in one folder.
/// Guarantees: each is read once, with no more open than may be.
#[tokio::test]
async fn a_crowd_of_files() {
    const FILES: usize = 20_000;
    let mut rig = Rig::new();
    for n in 0..FILES {
        rig.append(&format!("files/{n}.log"), format!("line {n}\n"));
    }
    rig.start();
    let mut texts = HashSet::new();
    while texts.len() < FILES {
        let chunk = rig.pass().await;
        assert!(texts.insert(chunk.text), "a line came twice");
        assert!(rig.stats.files_open.load(Relaxed) <= rig.config.open_files as u64);
    }
    rig.stop().await;
}
