//! Hosts that are broken, in motion, or beyond measure.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;

/// Scenario: each machine of the fixtures with every file of /proc, /sys and /run replaced by noise.
/// Guarantees: no collector panics or stalls.
#[test]
fn noise_in_every_file() {
    let noises: [&[u8]; 4] =
        [b"", b"\xff\xfe:: 1 2\n 8 0\n\0\0\n", b"-1\n", b"99999999999999999999 99999999999999999999 x:\n"];
    for (machine, from) in machines() {
        for noise in noises {
            let (_dir, noisy) = copy_machine(&from, &|path| fs::write(path, noise).unwrap());
            let mut collectors = parse(OPTIONS).unwrap().collectors(None).unwrap();
            drop(collectors.round(&Arc::new(noisy), 0));
            assert_eq!(collectors.panicked(), Vec::<&str>::new(), "{machine} with {noise:?}");
        }
    }
}

/// The same folders and symbolic links; each file is made by `make`.
fn copy(from: &Path, to: &Path, make: &dyn Fn(&Path)) {
    let Ok(entries) = fs::read_dir(from) else { return };
    fs::create_dir_all(to).unwrap();
    for entry in entries.map(Result::unwrap) {
        let (kind, to) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to, make);
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), to).unwrap();
        } else {
            make(&to);
        }
    }
}

/// A machine in a folder of its own.
fn copy_machine(from: &Roots, make: &dyn Fn(&Path)) -> (tempfile::TempDir, Roots) {
    let dir = tempfile::tempdir().unwrap();
    let to = roots(dir.path());
    for (from, to) in [(&from.proc, &to.proc), (&from.sys, &to.sys), (&from.root, &to.root)] {
        copy(from, to, make);
    }
    (dir, to)
}

/// Scenario: a host of which nothing can be read, and one whose every file is noise.
/// Guarantees: each collector that every host has tells its failure, none panics, and the others go on.
#[test]
fn nothing_and_noise() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots { proc: dir.path().into(), sys: dir.path().into(), root: dir.path().into() };
    let failed = |roots: &Roots| {
        let set = collect_once(&Config::default(), roots, None, 0).unwrap();
        let text = set.exposition();
        let lines =
            text.lines().filter(|l| l.starts_with("node_scrape_collector_success") && l.ends_with(" 0"));
        lines.map(|l| l.split('"').nth(1).unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let always = ["cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev", "stat", "time"];
    let all_failed = |roots: &Roots| {
        let failed = failed(roots);
        always.iter().all(|name| failed.iter().any(|other| other == name))
    };
    assert!(all_failed(&roots));
    let noise = b"cpu0 x\nintr\n\xff\xfe:: 1 2\n 8 0\n\0\0\n";
    fs::create_dir_all(dir.path().join("net")).unwrap();
    fs::create_dir_all(dir.path().join("self")).unwrap();
    for file in ["stat", "meminfo", "loadavg", "diskstats", "net/dev", "self/mountinfo"] {
        fs::write(dir.path().join(file), noise).unwrap();
    }
    assert!(all_failed(&roots));
}

/// Those that read devices which come and go.
const HARDWARE: [&str; 14] = [
    "bcache",
    "bcachefs",
    "btrfs",
    "cpufreq",
    "dmmultipath",
    "edac",
    "hwmon",
    "nvme",
    "powersupplyclass",
    "rapl",
    "tapestats",
    "thermal_zone",
    "watchdog",
    "zfs",
];

fn succeeded(set: &MetricSet) -> Vec<(String, bool)> {
    let text = set.exposition();
    let lines = text.lines().filter(|line| line.starts_with("node_scrape_collector_success{"));
    lines.map(|line| (line.split('"').nth(1).unwrap().to_owned(), line.ends_with(" 1"))).collect()
}

/// Scenario: on each machine every file is gone by the time that it is read, though its folder still shows its name.
/// Guarantees: no collector panics or is late; those of hardware succeed as before: a device that was taken out is no
/// fault.
#[test]
fn files_that_vanish() {
    for (machine, from) in machines() {
        let (_dir, gone) = copy_machine(&from, &|path| symlink("/nowhere/at/all", path).unwrap());
        let mut collectors = parse(OPTIONS).unwrap().collectors(None).unwrap();
        let before = succeeded(&collectors.round(&Arc::new(from), 0));
        let after = succeeded(&collectors.round(&Arc::new(gone), 0));
        assert_eq!(collectors.panicked(), Vec::<&str>::new(), "{machine}");
        for (before, after) in before.iter().zip(&after).filter(|(b, _)| HARDWARE.contains(&&*b.0)) {
            assert_eq!(before, after, "{machine}");
        }
    }
}

/// Scenario: the files and folders of a machine are removed while it is read again and again.
/// Guarantees: no panic.
#[test]
fn a_host_in_motion() {
    for (machine, from) in machines() {
        let (dir, moving) = copy_machine(&from, &|path| fs::write(path, "1\n").unwrap());
        let gone = Arc::new(AtomicBool::new(false));
        let removing = Arc::clone(&gone);
        let remover = thread::spawn(move || {
            fs::remove_dir_all(dir.path()).unwrap();
            removing.store(true, Ordering::Release);
        });
        let mut collectors = parse(OPTIONS).unwrap().collectors(None).unwrap();
        let moving = Arc::new(moving);
        loop {
            let last = gone.load(Ordering::Acquire);
            drop(collectors.round(&moving, 0));
            if last {
                break;
            }
        }
        remover.join().unwrap();
        assert_eq!(collectors.panicked(), Vec::<&str>::new(), "{machine}");
    }
}

/// Scenario: 10,000 mounts, of which a few hundred are there.
/// Guarantees: all are told in one round, each once; no stall, and the round's other collectors are not held up.
#[test]
fn ten_thousand_mounts() {
    let dir = tempfile::tempdir().unwrap();
    let roots = roots(dir.path());
    let (mounts, there) = (10_000, 300);
    let line = |i: usize| format!("{i} 1 0:{i} / /data/{i} rw,relatime shared:{i} - ext4 /dev/vd{i} rw\n");
    fs::create_dir_all(roots.proc.join("1")).unwrap();
    fs::write(roots.proc.join("1/mountinfo"), (0..mounts).map(line).collect::<String>()).unwrap();
    fs::write(roots.proc.join("loadavg"), "1 2 3 1/1 1\n").unwrap();
    for i in 0..there {
        fs::create_dir_all(roots.root.join(format!("data/{i}"))).unwrap();
    }
    let mut collectors = Config::default().collectors(None).unwrap();
    let roots = Arc::new(roots);
    for _round in 0..2 {
        let set = collectors.round(&roots, 0);
        let good = succeeded(&set);
        assert!(
            good.contains(&("filesystem".to_owned(), true)) && good.contains(&("loadavg".to_owned(), true))
        );
        let text = set.exposition();
        assert_eq!(text.matches("\nnode_filesystem_device_error{").count(), mounts);
        assert_eq!(text.matches("\nnode_filesystem_size_bytes{").count(), there);
    }
}

/// Scenario: every counter of a host is lower than in the round before: an interface that was made anew, a disk that
/// was changed.
/// Guarantees: what the kernel says, which stores know to be a counter that began again; no failure.
#[test]
fn counters_that_go_back() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Arc::new(roots(dir.path()));
    fs::create_dir_all(roots.proc.join("net")).unwrap();
    let mut collectors = parse("diskstats: true").unwrap().collectors(None).unwrap();
    for value in [9, 1, 2] {
        let columns = format!("{value} ").repeat(17);
        fs::write(roots.proc.join("diskstats"), format!("8 0 sda {columns}\n")).unwrap();
        fs::write(roots.proc.join("net/dev"), format!("a\nb\neth0: {columns}\n")).unwrap();
        fs::write(roots.proc.join("vmstat"), format!("pgfault {value}\n")).unwrap();
        fs::write(roots.proc.join("stat"), format!("intr {value}\nctxt {value}\n")).unwrap();
        let set = collectors.round(&roots, 0);
        let text = set.exposition();
        for series in [
            "node_disk_reads_completed_total{device=\"sda\"}",
            "node_network_receive_packets_total{device=\"eth0\"}",
            "node_vmstat_pgfault",
            "node_context_switches_total",
        ] {
            assert!(text.contains(&format!("\n{series} {value}\n")), "{series} {value}: {text}");
        }
        let good = succeeded(&set);
        for name in ["diskstats", "netdev", "vmstat"] {
            assert!(good.contains(&(name.to_owned(), true)), "{good:?}");
        }
    }
}
