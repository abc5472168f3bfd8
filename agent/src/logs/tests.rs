//! The source on real files.

mod chunking;
mod escrow;
mod formats;
mod hostile;
mod packed;
mod rescue;
mod rig;
mod rotation;

use std::fs;
use std::sync::atomic::Ordering::Relaxed;

use self::rig::{Rig, append, cri};
use super::*;

const POD: &str = "pods/shop_cart-7d_1234-ab/app/0.log";

/// Scenario: a pod's log with both streams that is there at the start, and grows.
/// Guarantees: every line once, in order, with Promtail's labels, the runtime's times and the pod for enrichment.
#[tokio::test]
async fn pod_log() {
    let mut rig = Rig::new();
    rig.append(POD, cri(1, "stdout", "F", "one") + &cri(2, "stdout", "F", "two"));
    rig.start();
    rig.lines(2).await;
    rig.append(POD, cri(3, "stderr", "F", "three"));
    rig.append(POD, cri(4, "stdout", "F", ""));
    let mut lines = rig.lines(4).await;
    lines.sort();
    assert_eq!(lines, ["", "one", "three", "two"]);
    let entries = rig.entries();
    let filename = rig.path(POD).display().to_string();
    let labels = |stream: &str| {
        Labels::from_pairs([
            ("namespace", "shop"),
            ("pod", "cart-7d"),
            ("container", "app"),
            ("job", "shop/app"),
            ("filename", &*filename),
            ("stream", stream),
        ])
    };
    let three = entries.iter().find(|(_, _, text)| text == "three").unwrap();
    assert_eq!(entries[0].0, labels("stdout"));
    assert_eq!((&three.0, three.1), (&labels("stderr"), 1_795_357_815_000_000_003));
    assert_eq!(rig.chunks[0].pod.as_ref().unwrap().uid, "1234-ab");
    rig.stop().await;
    assert_eq!(rig.stats.lines.load(Relaxed), 4);
}

/// Scenario: the folders do not exist at the start; pods, containers and files appear one after the other, an empty
/// file among them; one pod's folder goes and comes again.
/// Guarantees: the first line of each is read.
#[tokio::test]
async fn folders_appear() {
    let mut rig = Rig::new();
    rig.start();
    for n in 0..20 {
        rig.append(&format!("pods/ns_pod{n}_uid/app/0.log"), cri(n, "stdout", "F", &format!("{n}")));
        rig.append(&format!("files/{n}.log"), "");
        rig.append(&format!("files/{n}.log"), format!("plain {n}\n"));
        rig.append(&format!("files/not{n}.log"), "excluded\n");
        rig.append(&format!("files/{n}.txt"), "another name\n");
    }
    let mut lines = rig.lines(40).await;
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 40);
    fs::remove_dir_all(rig.path("pods/ns_pod0_uid/app")).unwrap();
    rig.append("pods/ns_pod0_uid/app/1.log", cri(1, "stdout", "F", "again"));
    rig.lines(41).await;
    rig.stop().await;
}

/// Scenario: plain files with CRLF, bytes that are not UTF-8, escape codes, a line of 1 MiB, and longer ones.
/// Guarantees: line ends go, bad bytes become U+FFFD, all else stays; too long ones are cut, no byte is lost; times
/// go up; the configured labels are there.
#[tokio::test]
async fn plain_lines() {
    let mut rig = Rig::new();
    let mib = "x".repeat(1 << 20);
    rig.append("files/a.log", format!("crlf\r\n\u{1b}[31mred\u{1b}[0m\n{mib}\n"));
    rig.append("files/a.log", b"bad \xff\xfe\n");
    rig.append("files/a.log", format!("{mib}{mib}y\n"));
    rig.start();
    let lines = rig.lines(7).await;
    assert_eq!(lines[..2], ["crlf", "\u{1b}[31mred\u{1b}[0m"]);
    assert_eq!(lines[3], "bad \u{fffd}\u{fffd}");
    assert!(lines[2] == mib && lines[4] == mib && lines[5] == mib && lines[6] == "y");
    let entries = rig.entries();
    assert!(entries.windows(2).all(|w| w[0].1 < w[1].1));
    assert_eq!((entries[0].0.get("site"), entries[0].0.get("job")), (Some("here"), Some("files")));
    assert_eq!(rig.stats.invalid_utf8.load(Relaxed), 1);
    assert_eq!(rig.stats.cuts.load(Relaxed), 2);
    rig.stop().await;
}

/// Scenario: the source is stopped in the middle of a file, and killed with chunks on their way; the file grows.
/// Guarantees: it goes on exactly where the spool stands.
#[tokio::test]
async fn resume() {
    let mut rig = Rig::new();
    rig.room = 1;
    for n in 0..20_000 {
        rig.append(POD, cri(n, if n % 1000 == 0 { "stderr" } else { "stdout" }, "F", &format!("line {n}")));
    }
    for _ in 0..3 {
        rig.start();
        rig.one().await;
        rig.one().await;
        rig.kill().await;
    }
    rig.start();
    rig.one().await;
    rig.stop().await;
    rig.append(POD, cri(1, "stdout", "F", "line 20000"));
    rig.start();
    let mut lines = rig.lines(20_001).await;
    lines.sort_by_key(|line| line[5..].parse::<usize>().unwrap());
    assert!(lines.iter().enumerate().all(|(n, line)| *line == format!("line {n}")));
    rig.stop().await;
}

/// Scenario: files that are there at the first start, of which only what is new is wanted.
/// Guarantees: old lines are left out, new ones and new files are read whole, also after a restart.
#[tokio::test]
async fn from_the_end() {
    let mut rig = Rig::new();
    rig.config.from = Begin::End;
    rig.append("files/a.log", "old\nhalf");
    rig.start();
    while rig.chunks.is_empty() {
        rig.one().await;
    }
    assert!(rig.texts().is_empty());
    rig.append("files/a.log", " done\n");
    rig.lines(1).await;
    rig.stop().await;
    rig.append("files/a.log", "new\n");
    rig.append("files/b.log", "first\n");
    rig.start();
    let lines = rig.lines(3).await;
    assert_eq!(lines[0], "half done");
    rig.stop().await;
}

/// Scenario: far more files than may be open, written to in turns.
/// Guarantees: every line once; the limit holds.
#[tokio::test]
async fn more_files_than_may_be_open() {
    let mut rig = Rig::new();
    rig.config.open_files = 3;
    rig.start();
    for round in 0..5 {
        for n in 0..30 {
            rig.append(&format!("files/{n}.log"), format!("{n} in {round}\n"));
        }
        rig.lines(30 * (round + 1)).await;
        assert!(rig.stats.files_open.load(Relaxed) <= 3);
    }
    let mut lines = rig.texts();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 150);
    rig.stop().await;
}

/// Scenario: a container's log that is a link to the runtime's own file in another folder, which is rotated there.
/// Guarantees: lines written behind the link are read at once, under the link's name.
#[tokio::test]
async fn symlinks() {
    let mut rig = Rig::new();
    let (target, link) = (rig.path("runtime/c1/c1.log"), rig.path(POD));
    append(&target, cri(1, "stdout", "F", "one"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    rig.start();
    rig.lines(1).await;
    append(&target, cri(2, "stdout", "F", "two"));
    rig.lines(2).await;
    fs::rename(&target, rig.path("runtime/c1/c1.log.1")).unwrap();
    append(&rig.path("runtime/c1/c1.log.1"), cri(3, "stdout", "F", "three"));
    append(&target, cri(4, "stdout", "F", "four"));
    assert_eq!(rig.lines(4).await, ["one", "two", "three", "four"]);
    assert_eq!(rig.entries()[3].0.get("filename"), Some(&*link.display().to_string()));
    rig.stop().await;
}

/// Scenario: lines of the same stream, time and text; and not quite.
/// Guarantees: each double is a nanosecond later than the one before it, across reads too.
#[tokio::test]
async fn doubles() {
    let mut rig = Rig::new();
    rig.append(POD, cri(1, "stdout", "F", "x").repeat(3) + &cri(1, "stderr", "F", "x"));
    rig.start();
    rig.lines(4).await;
    rig.append(POD, cri(1, "stdout", "F", "x") + &cri(1, "stdout", "F", "y") + &cri(5, "stdout", "F", "x"));
    rig.lines(7).await;
    let nanos: Vec<_> = rig.entries().iter().map(|(_, at, _)| at % 1_000).collect();
    assert_eq!(nanos, [1, 2, 3, 1, 4, 1, 5]);
    rig.stop().await;
}

/// Scenario: configurations as people write them, and ones that cannot work.
/// Guarantees: defaults fill in; a mistake is named.
#[tokio::test]
async fn configuration() {
    let text =
        "pods: null\nfiles: [{path: /var/log/*.log, labels: {job: sys}}]\nfrom: end\nmax_line: 64KiB\n";
    let config: Config = serde_yaml_ng::from_str(text).unwrap();
    assert_eq!((config.pods, config.from, config.max_line), (None, Begin::End, Size(64 << 10)));
    assert_eq!(config.linger, Config::default().linger);
    assert!(serde_yaml_ng::from_str::<Config>("filez: []").is_err());

    let mut rig = Rig::new();
    rig.config.files[0].path = "logs/*.log".into();
    let refused = wants(&rig.config).map(|_| ()).unwrap_err().to_string();
    assert_eq!(refused, "cannot use logs/*.log as a pattern of log files: it is not an absolute path");
}
