//! Trees that are damaged, in motion, or beyond measure.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ao_common::units::Span;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::rounds::Said;

/// Scenario: each machine with every file of its cgroups and of /proc replaced by noise.
/// Guarantees: no panic; what cannot be understood is counted.
#[test]
fn noise_in_every_file() {
    let noises: [&[u8]; 4] =
        [b"", b"\xff\xfe:: 1 2\n 8:0\n\0\n", b"-1\n", b"99999999999999999999999 x:\n0\n"];
    for name in MACHINES {
        for noise in noises {
            let dir = tempfile::tempdir().unwrap();
            copy_as_noise(&machine(name), dir.path(), noise);
            let mut containers = one_set(dir.path());
            for round in 0..3 {
                let sets = containers.round(&Arc::default(), round);
                assert!(lines(&sets).iter().any(|line| line.starts_with("container_last_seen")), "{name}");
            }
        }
    }
}

fn copy_as_noise(from: &Path, to: &Path, noise: &[u8]) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (kind, to) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_as_noise(&entry.path(), &to, noise);
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else {
            fs::write(to, noise).unwrap();
        }
    }
}

/// Leaves a busy machine the time.
fn patient() -> Config {
    Config { deadline: Span::secs(60), ..Config::default() }
}

/// Scenario: more cgroups than are to be reported, thousands of them; a host without any.
/// Guarantees: as many as may be, the others counted; nothing, and it is said.
#[test]
fn many_and_none() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("sys/fs/cgroup");
    write(&base.join("cgroup.controllers"), "");
    for n in 0..5_000 {
        fs::create_dir_all(base.join(format!("s.slice/u{n}.service"))).unwrap();
    }
    let config = Config { most: 3_000, ..patient() };
    let mut containers = Containers::new(config, roots(dir.path())).in_one_group();
    let own = own_figures(&containers);
    let sets = containers.round(&Arc::default(), 1);
    assert_eq!(lines(&sets).iter().filter(|line| line.starts_with("container_last_seen")).count(), 3_000);
    let text = own();
    assert!(
        text.contains("ao_container_left_out 2002\n") && text.contains("ao_container_cgroups 3000\n"),
        "{text}"
    );
    let nothing = tempfile::tempdir().unwrap();
    assert!(one_set(nothing.path()).round(&Arc::default(), 1).is_empty());
}

/// Scenario: 5,000 services, each with its files, in two rounds.
/// Guarantees: all are reported in both, in time.
#[test]
fn five_thousand() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..5_000).map(|n| format!("s.slice/u{n}.service")).collect();
    tree(dir.path(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut containers = Containers::new(patient(), roots(dir.path()));
    let own = own_figures(&containers);
    for round in 1..3 {
        assert_eq!(cpu(&containers.round(&Arc::default(), round)).len(), names.len());
    }
    let text = own();
    assert!(
        text.contains("ao_container_missed_total{kind=\"late\"} 0\n")
            && text.contains("ao_container_left_out 0\n"),
        "{text}"
    );
}

/// Scenario: cgroups are made and removed all the time, while they are read again and again.
/// Guarantees: no panic; one that stays is in every round.
#[test]
fn a_tree_in_motion() {
    let dir = tempfile::tempdir().unwrap();
    let pod = format!("kubepods/podu-1/{ID}");
    tree(dir.path(), &["stays.service"]);
    let done = Arc::new(AtomicBool::new(false));
    let (root, stop) = (dir.path().to_owned(), Arc::clone(&done));
    let mover = thread::spawn(move || {
        while !stop.load(Ordering::Acquire) {
            tree(&root, &["a.service", "x.slice/b.service", &pod]);
            for gone in ["a.service", "x.slice", "kubepods"] {
                fs::remove_dir_all(root.join("sys/fs/cgroup").join(gone)).unwrap();
            }
        }
    });
    let mut containers = Containers::new(Config::default(), roots(dir.path()));
    let own = own_figures(&containers);
    for round in 1..200 {
        let there = cpu(&containers.round(&Arc::default(), round));
        assert!(there.iter().any(|id| id == "/stays.service"), "{there:?}");
    }
    done.store(true, Ordering::Release);
    mover.join().unwrap();
    let text = own();
    assert!(text.contains("ao_container_missed_total{kind=\"panic\"} 0\n"), "{text}");
}

/// Scenario: a counter that is lower than in the round before, since its cgroup was made anew.
/// Guarantees: what the kernel says, which stores know to be a counter that began again.
#[test]
fn counters_that_go_back() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &["a.service"]);
    let mut containers = one_set(dir.path());
    for (usec, seconds) in [("9000000", "9"), ("1000000", "1"), ("2000000", "2")] {
        write(&dir.path().join("sys/fs/cgroup/a.service/cpu.stat"), &format!("usage_usec {usec}\n"));
        let line = format!("container_cpu_usage_seconds_total{{id=\"/a.service\",cpu=\"total\"}} {seconds}");
        let lines = lines(&containers.round(&Arc::default(), 1));
        assert!(lines.contains(&line), "{lines:#?}");
    }
}

/// Scenario: a file that cannot be read, since there is a folder in its place.
/// Guarantees: counted under its part; the others of that cgroup and all other cgroups are read.
#[test]
fn unreadable() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &["a.service", "b.service"]);
    fs::create_dir(dir.path().join("sys/fs/cgroup/a.service/memory.stat")).unwrap();
    let mut containers = one_set(dir.path());
    let own = own_figures(&containers);
    assert_eq!(cpu(&containers.round(&Arc::default(), 1)).len(), 2);
    let text = own();
    assert!(text.contains("ao_container_unread_total{part=\"memory\"} 1\n"), "{text}");
}

/// Scenario: a pod of which one file hangs (a pipe that nobody writes to) beside a service, in two rounds; then it
/// answers.
/// Guarantees: the service is in every round; the pod's absence is counted in each and said once; it is back once it
/// answers, and that is said.
#[test]
fn a_cgroup_that_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let pod = format!("kubepods/podu-1/{ID}");
    tree(dir.path(), &["a.service", &pod]);
    let file = dir.path().join("sys/fs/cgroup").join(&pod).join("memory.current");
    fs::remove_file(&file).unwrap();
    mknodat(CWD, &file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let config = Config { deadline: Span::secs(3), ..Config::default() };
    let mut containers = Containers::new(config, roots(dir.path()));
    let own = own_figures(&containers);
    let missed = || {
        let text = own();
        let line =
            text.lines().find_map(|line| line.strip_prefix("ao_container_missed_total{kind=\"late\"} "));
        line.unwrap().parse::<u64>().unwrap()
    };
    let is_there = |there: &[String]| there.iter().any(|id| id.ends_with(ID));
    let said = Said::default();
    tracing::subscriber::with_default(said.clone(), || {
        let mut round = |at| cpu(&containers.round(&Arc::default(), at));
        // Nobody knows its names: it waits for a round.
        assert_eq!((round(1), missed(), said.count()), (vec!["/a.service".to_owned()], 0, 0));
        for (late, at) in (1..).zip(2..4) {
            let there = round(at);
            assert!(there.contains(&"/a.service".to_owned()) && !is_there(&there), "{there:?}");
            assert!(missed() >= late && said.count() == 1, "{late}: {}", own());
        }
        let answer = fs::OpenOptions::new().write(true).open(&file).unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, "7\n").unwrap();
        drop(answer);
        let begin = Instant::now();
        while !is_there(&round(6)) {
            assert!(begin.elapsed() < Duration::from_secs(20), "the pod never came back");
        }
        // Its empty answer is told as well, and that all is well again.
        assert!((2..=4).contains(&said.count()), "{}", said.count());
    });
}
