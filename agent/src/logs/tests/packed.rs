//! Rotated files that are compressed before they were read.

use std::fs::{self, File};
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::rig::{Rig, append, cri};
use super::*;

/// As the kubelet and logrotate do it: the compressed file appears whole, then the other one goes.
fn compress(path: &Path) -> PathBuf {
    let packed = PathBuf::from(format!("{}.gz", path.display()));
    let fresh = packed.with_extension("tmp");
    let mut encoder = GzEncoder::new(File::create(&fresh).unwrap(), Compression::fast());
    encoder.write_all(&fs::read(path).unwrap()).unwrap();
    encoder.finish().unwrap();
    fs::rename(fresh, &packed).unwrap();
    fs::remove_file(path).unwrap();
    packed
}

fn lines(range: std::ops::Range<u32>) -> String {
    range.map(|n| cri(n, "stdout", "F", &format!("{n}"))).collect()
}

fn in_order(lines: &[String]) -> bool {
    lines.iter().enumerate().all(|(n, line)| *line == n.to_string())
}

/// Scenario: a pod's log is half read when the source dies; it is rotated and compressed, and so is the one after it,
/// which nobody has seen; a third goes on. The source dies again in the midst of them, and starts a few times more.
/// Guarantees: every line once, in order, under the log's own name.
#[tokio::test]
async fn compressed_while_down() {
    let mut rig = Rig::new();
    rig.room = 1;
    rig.append(POD, lines(0..30_000));
    rig.start();
    rig.one().await;
    rig.kill().await;
    for (turn, from) in [(1, 30_000), (2, 40_000)] {
        let aside = format!("{POD}.20261122-14301{turn}");
        rig.rename(POD, &aside);
        compress(&rig.path(&aside));
        rig.append(POD, lines(from..from + 10_000));
    }
    rig.start();
    for _ in 0..3 {
        rig.one().await;
    }
    rig.kill().await;
    for _ in 0..2 {
        rig.start();
        assert!(in_order(&rig.lines(50_000).await));
        rig.stop().await;
    }
    let filename = rig.path(POD).display().to_string();
    assert!(rig.entries().iter().all(|(labels, ..)| labels.get("filename") == Some(&*filename)));
    assert_eq!((rig.unread, rig.stats.damaged_packed.load(Relaxed)), (0, 0));
}

/// Scenario: a pod's log is rotated and compressed, and so is the one after it, before the source has looked at that one; a
/// third goes on. Again and again, with compressed files that lay there at the very first start, and with attributes of
/// compressed files that change later.
/// Guarantees: every line once, in order; what lay there is left alone.
#[tokio::test]
async fn compressed_between_two_looks() {
    let mut rig = Rig::new();
    rig.append("pods/shop_cart-7d_1234-ab/app/0.log.20261122-120000", lines(900..910));
    let old = compress(&rig.path("pods/shop_cart-7d_1234-ab/app/0.log.20261122-120000"));
    rig.append(POD, lines(0..10));
    rig.start();
    let mut written: u32 = 10;
    let mut packed = vec![old];
    for round in 0..12 {
        assert!(in_order(&rig.lines(written as usize).await), "{:?}", rig.texts());
        for turn in 0..2 {
            let aside = format!("{POD}.20261122-14{round:02}{turn:02}");
            rig.rename(POD, &aside);
            packed.push(compress(&rig.path(&aside)));
            rig.append(POD, lines(written..written + 10));
            written += 10;
        }
        for path in &packed {
            let mut mode = fs::metadata(path).unwrap().permissions();
            mode.set_readonly(round % 2 == 0);
            fs::set_permissions(path, mode).unwrap();
        }
    }
    assert!(in_order(&rig.lines(written as usize).await));
    rig.stop().await;
    rig.start();
    rig.append(POD, lines(written..written + 1));
    assert!(in_order(&rig.lines(written as usize + 1).await));
    rig.stop().await;
    assert_eq!(rig.unread, 0);
}

/// Scenario: a plain file is read, rotated and compressed by its number, several times, with the source up and down.
/// Guarantees: what was read is not read again, what was not is, once.
#[tokio::test]
async fn numbered() {
    let mut rig = Rig::new();
    let mut written = 0;
    for round in 0..4 {
        let up = round % 2 == 0;
        if up {
            rig.start();
        }
        for _ in 0..10 {
            append(&rig.path("files/a.log"), format!("{written}\n"));
            written += 1;
        }
        if up {
            rig.lines(written).await;
            rig.stop().await;
        }
        for n in (1..4).rev() {
            let [from, to] = [n, n + 1].map(|n| rig.path(&format!("files/a.log.{n}.gz")));
            if from.exists() {
                fs::rename(from, to).unwrap();
            }
        }
        rig.rename("files/a.log", "files/a.log.1");
        compress(&rig.path("files/a.log.1"));
    }
    rig.append("files/a.log", format!("{written}\n"));
    for _ in 0..2 {
        rig.start();
        assert!(in_order(&rig.lines(written + 1).await), "{:?}", rig.texts());
        rig.stop().await;
    }
}

/// Scenario: a log is rotated and compressed while most of it is unread, and more is unread than may be kept.
/// Guarantees: it is read to its end from the compressed file, and forgotten with that.
#[tokio::test]
async fn more_than_may_be_kept() {
    let mut rig = Rig::new();
    rig.room = 1;
    rig.config.escrow = Size(1 << 10);
    let aside = format!("{POD}.20261122-143010");
    rig.append(POD, lines(0..40_000));
    rig.start();
    rig.one().await;
    rig.rename(POD, &aside);
    let packed = compress(&rig.path(&aside));
    assert!(in_order(&rig.lines(40_000).await));
    fs::remove_file(packed).unwrap();
    rig.until_forgotten(1).await;
    rig.stop().await;
    assert_eq!(rig.unread, 0);
}

/// Scenario: a log is rotated while most of it is unread, the source dies, and the compressed file is cut off.
/// Guarantees: what can be unpacked is read; the rest is counted as abandoned, to the byte.
#[tokio::test]
async fn cut_off() {
    let mut rig = Rig::new();
    rig.room = 1;
    rig.config.escrow = Size(0);
    let text = lines(0..40_000);
    let aside = format!("{POD}.20261122-143010");
    rig.append(POD, &text);
    rig.start();
    rig.one().await;
    rig.rename(POD, &aside);
    let known = rig.dir.path().join("state/escrow/files");
    rig.until(|| fs::read_to_string(&known).is_ok_and(|text| text.contains("size"))).await;
    rig.kill().await;
    let packed = compress(&rig.path(&aside));
    let size = fs::metadata(&packed).unwrap().len();
    File::options().write(true).open(&packed).unwrap().set_len(size / 2).unwrap();
    for entry in fs::read_dir(rig.dir.path().join("state/escrow")).unwrap().map(Result::unwrap) {
        if entry.file_name() != "files" {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    rig.start();
    while rig.unread == 0 {
        rig.one().await;
    }
    rig.stop().await;
    let read: u64 = rig.chunks.iter().map(|chunk| chunk.bytes).sum();
    assert!(read > text.len() as u64 / 4 && in_order(&rig.texts()));
    assert_eq!(read + rig.unread, text.len() as u64);
    assert_eq!(rig.stats.damaged_packed.load(Relaxed), 1);
}

/// Scenario: a log is half read when the source dies; it is rotated and compressed, which the next process finds; that one
/// dies too before it has read it, and then the compressed file is deleted.
/// Guarantees: what nobody has read is counted as abandoned, to the byte.
#[tokio::test]
async fn deleted_while_down() {
    let mut rig = Rig::new();
    rig.room = 1;
    let text = lines(0..60_000);
    rig.append(POD, &text);
    rig.start();
    rig.one().await;
    rig.kill().await;
    let aside = format!("{POD}.20261122-143010");
    rig.rename(POD, &aside);
    let packed = compress(&rig.path(&aside));
    rig.start();
    rig.one().await;
    rig.kill().await;
    fs::remove_file(packed).unwrap();
    rig.start();
    while rig.unread == 0 {
        rig.one().await;
    }
    rig.stop().await;
    let read: u64 = rig.chunks.iter().map(|chunk| chunk.bytes).sum();
    assert!(in_order(&rig.texts()));
    assert_eq!(read + rig.unread, text.len() as u64);
}
