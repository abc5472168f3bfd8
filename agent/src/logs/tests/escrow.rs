//! Files that lose their names unread, with a source that is slow, dies, and may keep but so much.

use std::fs;

use super::super::identity::{Head, Node};
use super::super::notes;
use super::rig::{Rig, append, cri};
use super::*;

const ASIDE: &str = "pods/shop_cart-7d_1234-ab/app/0.log.20261122-143010";

fn lines(range: std::ops::Range<u32>) -> String {
    range.map(|n| cri(n, "stdout", "F", &format!("{n}"))).collect()
}

/// What the source calls this file.
fn id_of(path: &Path) -> FileId {
    let file = fs::File::open(path).unwrap();
    let head = Head::read(&file).unwrap();
    Node::of(&file.metadata().unwrap()).id(head.first_line(true).unwrap())
}

/// Waits until the source has noted the size of a file that lost its name.
async fn until_noted(rig: &Rig, path: &Path) {
    let (id, size) = (id_of(path), fs::metadata(path).unwrap().len());
    let (file, noted) = (notes::text_of(id), format!("\"size\":{size},"));
    let known = rig.dir.path().join("state/escrow/files");
    let is_noted = |text: String| text.lines().any(|line| line.contains(&file) && line.contains(&noted));
    let is_known = || fs::read_to_string(&known).is_ok_and(is_noted);
    rig.until(|| is_known() || rig.stored.get(&id).is_some_and(|end| *end >= size)).await;
}

/// Files in escrow.
fn kept(rig: &Rig) -> Vec<fs::Metadata> {
    let entries = fs::read_dir(rig.dir.path().join("state/escrow")).unwrap();
    let is_data = |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.len() == 32);
    // One may be deleted at this moment: it is kept no more.
    entries.map(Result::unwrap).filter(is_data).filter_map(|entry| entry.metadata().ok()).collect()
}

fn numbers(rig: &Rig) -> Vec<u32> {
    rig.texts().iter().map(|text| text.parse().unwrap()).collect()
}

/// A rig whose logs lie on another file system than its state, where there is one.
fn rig_of_two_mounts() -> (Rig, Option<tempfile::TempDir>) {
    let mut rig = Rig::new();
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return (rig, None) };
    std::os::unix::fs::symlink(other.path(), rig.dir.path().join("pods")).unwrap();
    rig.room = 1;
    (rig, Some(other))
}

/// Scenario: a log is rotated and deleted while most of it is unread, on the mount of the state folder and on another;
/// a new one goes on; the source dies, and starts again.
/// Guarantees: a link or a copy is kept; every line comes once, in order, under the log's own name; then nothing is kept.
#[tokio::test]
async fn deleted_unread_then_killed() {
    for two_mounts in [false, true] {
        let (mut rig, _other) = if two_mounts { rig_of_two_mounts() } else { (Rig::new(), None) };
        rig.room = 1;
        rig.append(POD, lines(0..60_000));
        rig.start();
        rig.one().await;
        rig.rename(POD, ASIDE);
        until_noted(&rig, &rig.path(ASIDE)).await;
        let size = fs::metadata(rig.path(ASIDE)).unwrap().len();
        rig.until(|| kept(&rig).iter().any(|meta| meta.len() == size)).await;
        fs::remove_file(rig.path(ASIDE)).unwrap();
        rig.append(POD, lines(60_000..60_010));
        rig.one().await;
        rig.kill().await;
        assert_eq!(kept(&rig).len(), 1);
        rig.start();
        rig.lines(60_010).await;
        assert!(numbers(&rig).into_iter().eq(0..60_010), "{two_mounts}");
        let filename = rig.path(POD).display().to_string();
        assert!(rig.entries().iter().all(|(labels, ..)| labels.get("filename") == Some(&*filename)));
        rig.until_forgotten(1).await;
        rig.until(|| kept(&rig).is_empty()).await;
        rig.stop().await;
        assert_eq!((rig.unread, rig.stored.len()), (0, 1));
        let copied = rig.stats.escrow_copied_bytes.load(Relaxed) > 0;
        assert_eq!(copied, two_mounts && _other.is_some());
    }
}

/// Scenario: a pod's log is deleted, not renamed, while most of it is unread; the source dies at once.
/// Guarantees: what had no name any more was copied: every line comes once.
#[tokio::test]
async fn deleted_at_once() {
    let mut rig = Rig::new();
    rig.room = 1;
    rig.append(POD, lines(0..60_000));
    rig.start();
    rig.one().await;
    let size = fs::metadata(rig.path(POD)).unwrap().len();
    fs::remove_file(rig.path(POD)).unwrap();
    rig.until(|| kept(&rig).iter().any(|meta| meta.len() == size)).await;
    rig.kill().await;
    rig.start();
    rig.lines(60_000).await;
    assert!(numbers(&rig).into_iter().eq(0..60_000));
    rig.until_forgotten(1).await;
    rig.stop().await;
}

/// Scenario: the bytes in escrow are gone when the process starts again, another time the file was never opened there.
/// Guarantees: what is missing is counted as abandoned, once, however often the process starts.
#[tokio::test]
async fn lost_from_escrow() {
    let mut rig = Rig::new();
    rig.room = 1;
    rig.append(POD, lines(0..60_000));
    rig.start();
    rig.one().await;
    rig.rename(POD, ASIDE);
    until_noted(&rig, &rig.path(ASIDE)).await;
    let size = fs::metadata(rig.path(ASIDE)).unwrap().len();
    rig.kill().await;
    fs::remove_file(rig.path(ASIDE)).unwrap();
    for entry in fs::read_dir(rig.dir.path().join("state/escrow")).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("files") {
            fs::remove_file(path).unwrap();
        }
    }
    let read: u64 = rig.chunks.iter().map(|chunk| chunk.bytes).sum();
    for _ in 0..3 {
        rig.start();
        while rig.unread == 0 {
            rig.one().await;
        }
        rig.stop().await;
        assert_eq!(read + rig.unread, size);
    }
    rig.start();
    rig.until_forgotten(1).await;
    rig.stop().await;
}

/// Scenario: the source dies right after a log was rotated, of which more is written until the runtime has made a new one;
/// the rotated one is deleted. The next process may keep but little and gives it up, dies before anybody has taken that,
/// and starts again.
/// Guarantees: what was written after the first end is counted as abandoned with the rest.
#[tokio::test]
async fn grown_while_down() {
    let mut rig = Rig::new();
    rig.room = 1;
    rig.append(POD, lines(0..60_000));
    rig.start();
    rig.one().await;
    rig.rename(POD, ASIDE);
    until_noted(&rig, &rig.path(ASIDE)).await;
    rig.until(|| !kept(&rig).is_empty()).await;
    rig.kill().await;
    let read: u64 = rig.chunks.iter().map(|chunk| chunk.bytes).sum();
    rig.append(ASIDE, lines(60_000..60_100));
    let size = fs::metadata(rig.path(ASIDE)).unwrap().len();
    fs::remove_file(rig.path(ASIDE)).unwrap();
    rig.config.escrow = Size(1 << 10);
    rig.start();
    rig.until(|| kept(&rig).is_empty()).await;
    rig.kill().await;
    rig.start();
    while rig.unread == 0 {
        rig.one().await;
    }
    rig.stop().await;
    assert_eq!(read + rig.unread, size);
}

/// Scenario: a log that was read to its end is rotated and stays; of the next one a part is read when it is rotated, too,
/// and deleted, which is more than may be kept; nothing is written any more to the one that has the name then.
/// Guarantees: that one is read all the same, at once.
#[tokio::test]
async fn what_waits_behind_one_that_is_given_up() {
    let mut rig = Rig::new();
    rig.room = 1;
    rig.config.escrow = Size(1 << 10);
    rig.config.linger = Span::secs(60);
    let second = format!("{ASIDE}1");
    rig.append(POD, lines(0..10));
    rig.start();
    rig.lines(10).await;
    rig.rename(POD, ASIDE);
    rig.append(POD, lines(10..200_000));
    while rig.texts().len() == 10 {
        rig.one().await;
    }
    rig.rename(POD, &second);
    rig.append(POD, lines(200_000..200_010));
    rig.until(|| rig.stats.files_found.load(Relaxed) == 3).await;
    // Until that one has had its turn, and was put off.
    for _ in 0..40 {
        rig.one().await;
    }
    assert!(rig.texts().len() < 150_000, "too much was read already");
    fs::remove_file(rig.path(&second)).unwrap();
    while numbers(&rig).last() != Some(&200_009) {
        rig.one().await;
    }
    rig.stop().await;
    assert!(rig.unread > 0);
}

/// Scenario: pods' logs are rotated and deleted faster than they are read, on one mount and on two; much more is unread
/// than may be kept; the source dies and starts again, over and over.
/// Guarantees: no line comes twice; what never comes is what was counted as abandoned, to the byte; no more is kept than
/// may be.
#[tokio::test]
async fn more_than_may_be_kept() {
    use rand::{Rng, SeedableRng};
    for seed in 0..6 {
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        let (mut rig, _other) = if seed % 2 == 0 { (Rig::new(), None) } else { rig_of_two_mounts() };
        rig.room = 1;
        rig.config.escrow = Size(300 << 10);
        let names = ["pods/a_b_1/c/0.log", "pods/a_b_2/c/0.log", "pods/a_b_3/c/0.log"];
        let (mut written, mut bytes, mut turn) = (0_u32, 0, 0);
        let mut old: Vec<Vec<PathBuf>> = vec![Vec::new(); names.len()];
        for round in 0..12 {
            rig.start();
            for _ in 0..4 {
                for (name, old) in names.iter().zip(&mut old) {
                    let text = lines(written..written + random.random_range(1..3_000));
                    written += text.lines().count() as u32;
                    bytes += text.len() as u64;
                    rig.append(name, text);
                    if random.random_range(0..3) == 0 {
                        continue;
                    }
                    turn += 1;
                    let aside = rig.path(&format!("{name}.20261122-{turn:06}"));
                    fs::rename(rig.path(name), &aside).unwrap();
                    old.push(aside);
                    if old.len() > 2 {
                        let oldest = old.remove(0);
                        until_noted(&rig, &oldest).await;
                        fs::remove_file(oldest).unwrap();
                    }
                }
                if random.random_range(0..2) == 0 {
                    rig.one().await;
                }
            }
            let most: u64 = kept(&rig).iter().map(fs::Metadata::len).sum();
            assert!(most < 4 << 20, "{most} bytes are kept");
            if round % 3 == 2 {
                rig.stop().await;
            } else {
                rig.kill().await;
            }
        }
        rig.start();
        let counted = |rig: &Rig| rig.chunks.iter().map(|chunk| chunk.bytes).sum::<u64>() + rig.unread;
        while counted(&rig) < bytes {
            rig.one().await;
        }
        rig.stop().await;
        assert_eq!(counted(&rig), bytes, "seed {seed}");
        assert!(rig.unread > 0, "seed {seed}: too little was written");
        let mut came = numbers(&rig);
        came.sort_unstable();
        assert!(came.windows(2).all(|two| two[0] < two[1]), "seed {seed}: a line came twice");
        let length = |n: u32| cri(n, "stdout", "F", &format!("{n}")).len() as u64;
        let missing: u64 = (0..written).filter(|n| came.binary_search(n).is_err()).map(length).sum();
        assert_eq!(missing, rig.unread, "seed {seed}");
    }
}

/// Names the second run, which is within a mount namespace of its own.
const WITHIN: &str = "AO_ESCROW_MOUNTS";

/// Scenario: as in a pod: logs and state are two bind mounts, the one of the logs read-only; a log is rotated, another
/// deleted at once, while most of them is unread; the source dies, and starts again.
/// Guarantees: what was unread was copied; every line comes once, in order; then nothing is kept.
#[test]
fn two_bind_mounts() {
    let me = std::env::current_exe().unwrap();
    let unshared = std::process::Command::new("unshare")
        .args(["--mount", "--map-root-user"])
        .arg(me)
        .args(["--exact", "logs::tests::escrow::within_mounts", "--nocapture"])
        .env(WITHIN, "1")
        .output()
        .unwrap();
    let said = [unshared.stdout, unshared.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    assert!(unshared.status.success() && said.contains("1 passed"), "{said}");
}

/// The second run of `two_bind_mounts`; nothing by itself.
///
/// Scenario: see there.
/// Guarantees: see there.
#[tokio::test]
async fn within_mounts() {
    if std::env::var_os(WITHIN).is_none() {
        return;
    }
    let mut rig = Rig::new();
    rig.room = 1;
    let [written, seen, state] = ["pods", "seen", "state"].map(|name| rig.dir.path().join(name));
    let mount = |args: &[&std::ffi::OsStr]| {
        assert!(std::process::Command::new("mount").args(args).status().unwrap().success(), "{args:?}");
    };
    for dir in [&written, &seen, &state] {
        fs::create_dir_all(dir).unwrap();
    }
    mount(&["--bind".as_ref(), written.as_ref(), seen.as_ref()]);
    mount(&["-o".as_ref(), "remount,bind,ro".as_ref(), seen.as_ref()]);
    mount(&["--bind".as_ref(), state.as_ref(), state.as_ref()]);
    assert!(fs::write(seen.join("x"), "").is_err(), "it is read-only");
    rig.config.pods = Some(seen.clone());
    let gone = "pods/a_b_2/c/0.log";
    rig.append(POD, lines(0..30_000));
    rig.append(gone, lines(30_000..60_000));
    rig.start();
    rig.one().await;
    rig.rename(POD, ASIDE);
    until_noted(&rig, &rig.path(ASIDE)).await;
    let sizes = [rig.path(ASIDE), rig.path(gone)].map(|path| fs::metadata(path).unwrap().len());
    fs::remove_file(rig.path(gone)).unwrap();
    rig.until(|| kept(&rig).iter().filter(|meta| sizes.contains(&meta.len())).count() == 2).await;
    fs::remove_file(rig.path(ASIDE)).unwrap();
    rig.kill().await;
    assert_eq!(rig.stats.escrow_linked.load(Relaxed), 0);
    rig.start();
    rig.lines(60_000).await;
    let mut came = numbers(&rig);
    for part in [0..30_000, 30_000..60_000] {
        let of_part: Vec<u32> = came.iter().copied().filter(|n| part.contains(n)).collect();
        assert!(of_part.into_iter().eq(part));
    }
    came.sort_unstable();
    assert!(came.into_iter().eq(0..60_000));
    let filename = seen.join("a_b_2/c/0.log").display().to_string();
    assert!(rig.entries().iter().any(|(labels, ..)| labels.get("filename") == Some(&*filename)));
    rig.until_forgotten(2).await;
    rig.until(|| kept(&rig).is_empty()).await;
    rig.stop().await;
    assert_eq!(rig.unread, 0);
}

/// Scenario: the folder for what is kept cannot be made.
/// Guarantees: logs are read as ever.
#[tokio::test]
async fn no_folder() {
    let mut rig = Rig::new();
    rig.append("state", "this is no folder");
    rig.append(POD, lines(0..10));
    rig.start();
    rig.lines(10).await;
    rig.rename(POD, ASIDE);
    append(&rig.path(ASIDE), lines(10..20));
    rig.lines(20).await;
    rig.stop().await;
}
