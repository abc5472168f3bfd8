//! The processes that use most processor time, memory and, if asked for, I/O.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Instant;

use ao_proto::model::MetricType::{Counter, Gauge};
use rustix::param::{clock_ticks_per_second, page_size};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::device::Device;
use super::file::TextFile;
use super::process::{self, Pids};
use crate::context::Roots;
use crate::event::MetricSet;

/// Processes of each ranking at most, so that series stay few.
const MAX_COUNT: usize = 100;

/// Options of the collector `process_top`, which is off by default: a number of a process never means the same again,
/// so that its series are many and short-lived, which costs the store more than it costs the host.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How many processes of each ranking; 100 at most.
    pub count: usize,
    /// Whether I/O is read too: the kernel shows other users' only to those who may trace them (CAP_SYS_PTRACE).
    pub io: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { count: 10, io: false }
    }
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let mut config: Config = api::section(section)?;
    config.count = config.count.min(MAX_COUNT);
    Ok(Box::new(ProcessTop::new(config)))
}

/// Processes that are remembered at most.
const MAX_KNOWN: usize = 1 << 16;
/// How long a process must go on to change its place for good, in seconds: else the list would flicker.
const SMOOTH_SECONDS: f64 = 60.0;
/// A rate over less time than this is noise.
const MIN_SECONDS: f64 = 0.5;

/// A round reads one batch of the processes, and those at the top; the next round goes on with the next batch. So a
/// round costs the same on hosts of any size, and no time is lost: what a process used since it was last read is known
/// when it is read again.
struct ProcessTop {
    config: Config,
    pids: Pids,
    batch: Vec<u32>,
    device: Device,
    path: String,
    uptime: TextFile,
    known: HashMap<u32, Process>,
    /// How often all batches were read.
    sweep: u64,
    round: u64,
}

struct Process {
    start: u64,
    comm: String,
    ticks: u64,
    resident: u64,
    /// Bytes read and written.
    io: [u64; 2],
    /// What it is ranked by: processors, pages, bytes per second.
    ranks: [f64; 3],
    read_at: Instant,
    sweep: u64,
    round: u64,
}

impl Collector for ProcessTop {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        self.round += 1;
        self.device.enter(&roots.proc)?;
        let now = Instant::now();
        let uptime = self.uptime.word(&roots.proc.join("uptime"));
        let uptime = uptime.and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0.0);
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        let ended = self.pids.next(&roots.proc, &mut batch);
        for &pid in &batch {
            self.read(pid, now, uptime);
        }
        self.batch = batch;
        if ended? {
            let sweep = self.sweep;
            self.known.retain(|_, process| process.sweep == sweep);
            self.sweep += 1;
        }
        // Those at the top may have ended, which lets others up; so once more.
        for _ in 0..2 {
            for pid in self.top() {
                if self.known.get(&pid).is_some_and(|process| process.round < self.round) {
                    self.read(pid, now, uptime);
                }
            }
        }
        let mut top = self.top();
        top.retain(|pid| self.known.get(pid).is_some_and(|process| process.round == self.round));
        if !top.is_empty() {
            self.emit(&top, out);
        }
        Ok(())
    }
}

impl ProcessTop {
    fn new(config: Config) -> Self {
        Self {
            config,
            pids: Pids::default(),
            batch: Vec::new(),
            device: Device::default(),
            path: String::new(),
            uptime: TextFile::default(),
            known: HashMap::new(),
            sweep: 0,
            round: 0,
        }
    }

    /// Takes over what the process has used since it was last read; forgets it where it has ended.
    fn read(&mut self, pid: u32, now: Instant, uptime: f64) {
        let io = if self.config.io { self.read_io(pid) } else { [0; 2] };
        self.path.clear();
        let _ok = write!(self.path, "{pid}/stat");
        let Some(stat) = self.device.text(&self.path).and_then(process::parse_stat) else {
            self.known.remove(&pid);
            return;
        };
        let hertz = clock_ticks_per_second() as f64;
        let (sweep, round, full) = (self.sweep, self.round, self.known.len() >= MAX_KNOWN);
        match self.known.get_mut(&pid).filter(|process| process.start == stat.start) {
            Some(process) => {
                let seconds = now.duration_since(process.read_at).as_secs_f64();
                if seconds >= MIN_SECONDS {
                    let used = stat.ticks.saturating_sub(process.ticks) as f64 / hertz;
                    let moved = sum(io).saturating_sub(sum(process.io)) as f64;
                    let weight = (seconds / SMOOTH_SECONDS).min(1.0);
                    process.ranks[0] += (used / seconds - process.ranks[0]) * weight;
                    process.ranks[2] += (moved / seconds - process.ranks[2]) * weight;
                    process.read_at = now;
                    (process.ticks, process.io) = (stat.ticks, io);
                }
                (process.resident, process.ranks[1]) = (stat.resident, stat.resident as f64);
                (process.sweep, process.round) = (sweep, round);
                if process.comm != stat.comm {
                    stat.comm.clone_into(&mut process.comm);
                }
            }
            None if full => {}
            None => {
                // What it used on average until now is the first guess.
                let age = (uptime - stat.start as f64 / hertz).max(1.0);
                let ranks = [stat.ticks as f64 / hertz / age, stat.resident as f64, sum(io) as f64 / age];
                let comm = stat.comm.to_owned();
                let (start, ticks, resident) = (stat.start, stat.ticks, stat.resident);
                let process = Process { start, comm, ticks, resident, io, ranks, read_at: now, sweep, round };
                self.known.insert(pid, process);
            }
        }
    }

    fn read_io(&mut self, pid: u32) -> [u64; 2] {
        self.path.clear();
        let _ok = write!(self.path, "{pid}/io");
        let text = self.device.text(&self.path).unwrap_or_default();
        let value = |key| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
        ["read_bytes:", "write_bytes:"].map(|key| value(key).unwrap_or(0))
    }

    /// The first processes of each ranking, by number; those that use nothing are in none.
    fn top(&self) -> Vec<u32> {
        let mut top = Vec::new();
        for rank in 0..3 {
            let used = self.known.iter().filter(|(_, process)| process.ranks[rank] > 0.0);
            let mut order: Vec<_> = used.map(|(pid, process)| (process.ranks[rank], *pid)).collect();
            order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            top.extend(order.iter().take(self.config.count).map(|(_, pid)| *pid));
        }
        top.sort_unstable();
        top.dedup();
        top
    }

    fn emit(&self, top: &[u32], out: &mut MetricSet) {
        let cpu = "node_process_top_cpu_seconds_total";
        let cpu = out.family(cpu, Counter, "Processor time of the processes that use most of something.");
        let memory = "node_process_top_resident_bytes";
        let memory = out.family(memory, Gauge, "Memory of the processes that use most of something.");
        let io = self.config.io.then(|| {
            let read = "Bytes that the processes which use most of something read from disks.";
            let written = "Bytes that the processes which use most of something wrote to disks.";
            [("node_process_top_read_bytes_total", read), ("node_process_top_written_bytes_total", written)]
                .map(|(name, help)| out.family(name, Counter, help))
        });
        for (pid, process) in top.iter().filter_map(|pid| Some((pid, self.known.get(pid)?))) {
            let labels = [("pid", &*pid.to_string()), ("comm", &process.comm)];
            out.push(cpu, &labels, process.ticks as f64 / clock_ticks_per_second() as f64);
            out.push(memory, &labels, process.resident as f64 * page_size() as f64);
            for (family, bytes) in io.into_iter().flatten().zip(process.io) {
                out.push(family, &labels, bytes as f64);
            }
        }
    }
}

fn sum(io: [u64; 2]) -> u64 {
    io[0].saturating_add(io[1])
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn put(proc: &Path, pid: u32, comm: &str, ticks: u64, start: u64, resident: u64) {
        fs::create_dir_all(proc.join(pid.to_string())).unwrap();
        let stat =
            format!("{pid} ({comm}) S 1 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {start} 1000 {resident} 0");
        fs::write(proc.join(format!("{pid}/stat")), stat).unwrap();
    }

    fn round(top: &mut ProcessTop, proc: &Path) -> String {
        let roots = Roots { proc: proc.to_owned(), ..Roots::default() };
        let mut out = MetricSet::new("collector", "node-exporter", 0);
        top.collect(&roots, &mut out).unwrap();
        out.exposition()
    }

    /// Scenario: more processes than a batch holds, of which two use the processor and one has memory; then the first
    /// of them ends, and its number goes to another.
    /// Guarantees: within the sweep all of them are found, and no others; the new one is not taken for the old.
    #[test]
    fn finds_the_top() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("uptime"), "1000.00 1.0\n").unwrap();
        (1..1_500).for_each(|pid| put(dir.path(), pid, "idle", 0, 10, 0));
        put(dir.path(), 700, "busy", 5_000, 10, 1);
        put(dir.path(), 1_400, "less", 500, 10, 1);
        put(dir.path(), 30, "big", 0, 10, 9_000);
        let mut top = ProcessTop::new(Config { count: 2, io: false });
        // How many a batch holds hangs on the file system.
        let sweep = |top: &mut ProcessTop| {
            let (end, mut text) = (top.sweep + 2, String::new());
            while top.sweep < end {
                text = round(top, dir.path());
            }
            text
        };
        let text = sweep(&mut top);
        for line in [
            "cpu_seconds_total{pid=\"700\",comm=\"busy\"} 50\n",
            "{pid=\"1400\",comm=\"less\"} 5\n",
            "{pid=\"30\",comm=\"big\"}",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("idle"));
        put(dir.path(), 700, "new", 0, 9_000, 0);
        fs::remove_dir_all(dir.path().join("30")).unwrap();
        let text = sweep(&mut top);
        assert!(!text.contains("busy") && !text.contains("new") && !text.contains("big"), "{text}");
        assert_eq!(top.known.len(), 1_498);
    }
}
