//! What a family of benchmarks gives: rows of figures, some beside a peer's that does the same work in the same run.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// A family: its name for `--only`, and what runs it.
pub(crate) struct Family {
    /// The part of its rows' ids before the dot.
    pub(crate) name: &'static str,
    /// Runs all of it.
    pub(crate) run: fn() -> Result<Vec<Row>, Box<dyn Error>>,
}

/// A figure. CPU is a fraction of one core, shares are from 0 to 1, sizes in bytes or MiB.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// `family.name`; issues and bars name it.
    pub(crate) id: String,
    /// What was measured, for people.
    pub(crate) what: String,
    /// Our figure.
    pub(crate) ours: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Who did the same work.
    pub(crate) peer: Option<&'static str>,
    /// The peer's figure, in the same unit.
    pub(crate) peer_value: Option<f64>,
    /// `ours / peer_value`.
    pub(crate) ratio: Option<f64>,
}

impl Row {
    /// A figure by itself.
    pub(crate) fn new(id: impl Into<String>, what: impl Into<String>, ours: f64, unit: &'static str) -> Self {
        Self { id: id.into(), what: what.into(), ours, unit, peer: None, peer_value: None, ratio: None }
    }

    /// The same work done by `peer` in this run.
    pub(crate) fn beside(self, peer: &'static str, value: f64) -> Self {
        Self { peer: Some(peer), peer_value: Some(value), ratio: Some(self.ours / value), ..self }
    }
}

/// Nanoseconds of CPU that one call of `work` takes on this thread: the best of several rounds. The machine does other
/// things too; time that the thread waited for a core is not ours.
pub(crate) fn best_ns<T>(mut work: impl FnMut() -> T) -> f64 {
    const ROUNDS: u32 = 12;
    const PATIENCE: Duration = Duration::from_secs(3);
    let begin = Instant::now();
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let before = cpu_time();
        black_box(work());
        best = best.min((cpu_time() - before).as_nanos() as f64);
        if begin.elapsed() > PATIENCE {
            break;
        }
    }
    best
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // The clock begins at 0 and counts below a second in nanoseconds.
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// User and system time of a process so far (proc_pid_stat(5), fields 14 and 15, in ticks of 10 ms).
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64, Box<dyn Error>> {
    stat_seconds(&pid.to_string(), 11)
}

/// The same of all children of this process that have ended and were waited for, and theirs (fields 16 and 17).
pub(crate) fn children_seconds() -> Result<f64, Box<dyn Error>> {
    stat_seconds("self", 13)
}

fn stat_seconds(process: &str, behind_name: usize) -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string(Path::new("/proc").join(process).join("stat"))?;
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 =
        rest.split_whitespace().skip(behind_name).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / 100.0)
}

/// A process's largest resident memory so far (proc_pid_status(5), VmHWM).
pub(crate) fn peak_mib(pid: u32) -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
