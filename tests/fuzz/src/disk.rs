//! What lies on disk: damage, another version, another program's file.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ao_agent::context::Roots;
use ao_common::journal::{Class, Fold, Journal, Options, Position};
use tempfile::TempDir;

/// In memory where the system has such a folder: a target opens a journal for each input.
pub(crate) fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a folder can be made")
}

pub(crate) fn write(path: &Path, data: &[u8]) {
    fs::create_dir_all(path.parent().unwrap_or(path)).expect("a folder can be made");
    fs::write(path, data).expect("a file can be written");
}

struct Count(u64);

impl Fold for Count {
    fn restore(&mut self, snapshot: &[u8]) {
        self.0 = snapshot.len() as u64;
    }

    fn apply(&mut self, _frame: &[u8]) {
        self.0 += 1;
    }

    fn shed(&mut self, _frame: &[u8], _unread_by: &[&str]) {}

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }
}

fn open(dir: &Path) -> Option<Journal> {
    let options =
        Options { segment_bytes: 1 << 20, segment_age: Duration::from_secs(60), budget_bytes: 8 << 20 };
    Journal::open(dir, vec![Class { name: "logs", fold: Box::new(Count(0)) }], options).ok()
}

const HEAD: usize = 44;

/// Puts the checksums of all heads and payloads right that stand where a record may begin (journal.rs, "On disk").
fn put_right(data: &[u8], segment: u64) -> Vec<u8> {
    let mut out = data.to_vec();
    let mut at = 0;
    while at + HEAD <= out.len() {
        if out[at..at + 4] != [0xf8, 0x41, 0x4f, 0xf9] {
            at += 1;
            continue;
        }
        let len = u32::from_le_bytes([out[at + 12], out[at + 13], out[at + 14], out[at + 15]]) as usize;
        let end = at.saturating_add(HEAD).saturating_add(len).min(out.len());
        let payload = crc32c::crc32c(&out[at + HEAD..end]);
        out[at + 8..at + 12].copy_from_slice(&payload.to_le_bytes());
        let place = [segment.to_le_bytes(), (at as u64).to_le_bytes()].concat();
        let head = crc32c::crc32c_append(crc32c::crc32c(&place), &out[at + 8..at + HEAD]);
        out[at + 4..at + 8].copy_from_slice(&head.to_le_bytes());
        at = end.max(at + 1);
    }
    out
}

/// A segment file, as it is and with its checksums put right.
pub fn segment(data: &[u8]) {
    for data in [data.to_vec(), put_right(data, 1)] {
        let folder = folder();
        write(&folder.path().join("logs/0000000000000001.seg"), &data);
        let Some(journal) = open(folder.path()) else { continue };
        let mut reader = journal.reader(0, Position::default());
        let mut bytes = 0;
        while let Ok(Some(record)) = reader.read() {
            bytes += record.frame.len();
            let _keyframe = record.key.and_then(|key| reader.keyframe(key));
        }
        assert!(bytes <= data.len(), "what is read lay there");
    }
}

/// A cursor's file.
pub fn cursor(data: &[u8]) {
    let folder = folder();
    write(&folder.path().join("logs/sink.cursor"), data);
    if let Some(journal) = open(folder.path())
        && let Ok(cursor) = journal.cursor(0, "sink")
    {
        let _reader = journal.reader(0, cursor.position()).read();
    }
}

/// The file of a range that a cursor left behind, beside segments.
pub fn range(data: &[u8]) {
    let folder = folder();
    write(&folder.path().join("logs/sink.late.range"), data);
    for number in 1..4 {
        write(&folder.path().join(format!("logs/{number:016x}.seg")), b"");
    }
    if let Some(journal) = open(folder.path())
        && let Ok(range) = journal.cursor(0, "sink.late")
    {
        assert!(range.end().is_none_or(|end| range.position() <= end), "it does not stand behind its end");
        let _reader = journal.reader(0, range.position()).read();
    }
}

/// How far a log was fsynced: the first 20 bytes; the rest is its segment.
pub fn durable(data: &[u8]) {
    let folder = folder();
    let (note, rest) = data.split_at(data.len().min(20));
    write(&folder.path().join("logs/durable"), note);
    write(&folder.path().join("logs/0000000000000001.seg"), rest);
    if let Some(journal) = open(folder.path()) {
        let mut reader = journal.reader(0, Position::default());
        while let Ok(Some(_)) = reader.read() {}
    }
}

/// The names of the nodes that the aggregator keeps.
pub fn nodes(data: &[u8]) {
    let folder = folder();
    write(&folder.path().join("nodes.json"), data);
    let _nodes = ao_aggregator::nodes::Nodes::open(folder.path());
}

/// What the aggregator notes of what it received.
pub fn received(data: &[u8]) {
    let folder = folder();
    write(&folder.path().join("x.counts"), data);
    ao_aggregator::fuzzing::received(&folder.path().join("x.counts"));
}

/// An agent's key, certificate and authorities: all three the same.
pub fn identity(data: &[u8]) {
    let folder = folder();
    for file in ["node.key", "node.crt", "authorities.crt"] {
        write(&folder.path().join("identity").join(file), data);
    }
    ao_agent::fuzzing::kept_identity(folder.path());
}

/// The aggregator's list of nodes, and names to be forgotten.
pub fn registry(data: &[u8]) {
    let folder = folder();
    write(&folder.path().join("nodes.json"), data);
    write(&folder.path().join("forget"), data);
    ao_aggregator::fuzzing::registry(folder.path());
}

/// The newest times of Loki's streams, as they are and with their checksums put right.
pub fn newest(data: &[u8]) {
    let mut right = data.to_vec();
    for note in right.chunks_exact_mut(20) {
        let crc = crc32c::crc32c(&note[..16]);
        note[16..].copy_from_slice(&crc.to_le_bytes());
    }
    for data in [data, &right] {
        let folder = folder();
        write(&folder.path().join("loki.newest"), data);
        ao_aggregator::fuzzing::newest(folder.path());
    }
}

/// The counts of an agent's spool: the slots as they are, then in a slot whose length and checksum are right.
pub fn spool_counts(data: &[u8]) {
    let length = (data.len() as u32).to_le_bytes();
    let slot = [&length, &crc32c::crc32c(data).to_le_bytes(), data].concat();
    for data in [data, &slot] {
        let folder = folder();
        write(&folder.path().join("uplink.counts"), data);
        ao_agent::fuzzing::spool_counts(&folder.path().join("uplink.counts"));
    }
}

/// The clock's anchor of an earlier process, as of this boot. The clock of this process is put back behind it.
pub fn clock(data: &[u8]) {
    let folder = folder();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // A time before all others is followed by nobody.
    let never = format!(" {} - -", i64::MIN);
    for anchor in [data, never.as_bytes()] {
        write(&folder.path().join("clock"), &[boot.trim().as_bytes(), b" ", anchor].concat());
        let mut kept = ao_common::clock::Kept::restore(folder.path());
        let _now = ao_common::clock::now_ns();
        let _kept = kept.save();
    }
}

/// The fan-out's notes: the first line is one file, the rest another.
pub fn notes(data: &[u8]) {
    let folder = folder();
    let mut halves = data.splitn(2, |byte| *byte == b'\n');
    write(&folder.path().join("x.intent"), halves.next().unwrap_or_default());
    write(&folder.path().join("x.counts"), halves.next().unwrap_or_default());
    ao_aggregator::fuzzing::notes(folder.path());
}

/// The directives that an agent keeps.
pub fn directives(data: &[u8]) {
    let folder = folder();
    write(&folder.path().join("directives.pb"), data);
    let _version = ao_agent::fuzzing::kept_directives(folder.path());
}

/// Files of /proc and /sys that the collectors read: all of them with the same content.
pub fn procfs(data: &[u8]) {
    let folder = folder();
    let below = |name: &str| -> PathBuf { folder.path().join(name) };
    for file in [
        "proc/stat",
        "proc/meminfo",
        "proc/loadavg",
        "proc/diskstats",
        "proc/net/dev",
        "proc/1/net/dev",
        "proc/1/mountinfo",
        "proc/self/mountinfo",
        "proc/mdstat",
        "proc/spl/kstat/zfs/arcstats",
        "proc/spl/kstat/zfs/tank/io",
        "proc/spl/kstat/zfs/tank/objset-0x1",
        "proc/spl/kstat/zfs/tank/state",
        "sys/block/md0/md/level",
        "sys/block/md0/md/raid_disks",
        "sys/class/hwmon/hwmon0/name",
        "sys/class/hwmon/hwmon0/temp1_input",
        "sys/class/hwmon/hwmon0/temp1_label",
        "sys/class/nvme/nvme0/nvme0n1/size",
        "sys/class/powercap/a:0/name",
        "sys/class/powercap/a:0/energy_uj",
        "sys/class/power_supply/BAT0/capacity",
        "sys/class/thermal/thermal_zone0/temp",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_available_governors",
        "sys/devices/system/edac/mc/mc0/csrow0/ch0_ce_count",
        "sys/fs/bcache/a-b/bdev0/writeback_rate_debug",
        "sys/fs/bcache/a-b/bdev0/dirty_data",
        "sys/fs/btrfs/a-b/commit_stats",
        "proc/1/net/arp",
        "proc/1/net/ip_vs",
        "proc/1/net/ip_vs_stats",
        "proc/1/net/netstat",
        "proc/1/net/rpc/nfs",
        "proc/1/net/rpc/nfsd",
        "proc/1/net/snmp",
        "proc/1/net/snmp6",
        "proc/1/net/sockstat",
        "proc/1/net/sockstat6",
        "proc/1/net/softnet_stat",
        "proc/1/net/stat/nf_conntrack",
        "proc/1/net/udp",
        "proc/1/net/udp6",
        "proc/cpuinfo",
        "proc/pressure/cpu",
        "proc/pressure/io",
        "proc/schedstat",
        "proc/sys/fs/file-nr",
        "proc/vmstat",
        "sys/devices/system/cpu/isolated",
        "sys/devices/system/cpu/present",
        "sys/devices/system/cpu/online",
        "sys/devices/system/clocksource/clocksource0/available_clocksource",
        "sys/devices/system/clocksource/clocksource0/current_clocksource",
        "sys/block/sda/queue/rotational",
        "root/etc/localtime",
        "root/run/udev/data/b8:0",
        "root/etc/os-release",
        "sys/class/net/eth0/statistics/rx_bytes",
        "sys/class/net/eth0/speed",
        "sys/class/power_supply/BAT0/uevent",
        "sys/devices/system/edac/mc/mc0/ce_count",
        "sys/fs/xfs/sda1/stats/stats",
    ] {
        write(&below(file), data);
    }
    ao_agent::fuzzing::collect(&Roots { proc: below("proc"), sys: below("sys"), root: below("root") });
}
