//! A /proc for the agent whose counter of context switches is a clock: milliseconds since the run began. So each sample
//! in Prometheus tells when it was read, whatever time it was stamped with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ao_agent::collector::COLLECTORS as ALL;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::verdict::now_s;

/// The clock's resolution: two samples that are read within it may well be the same.
pub const EVERY: Duration = Duration::from_millis(50);
/// Its name in Prometheus.
pub const METRIC: &str = "node_context_switches_total";
/// Of the real /proc: they make a few hundred series that stay.
const COPIED: [&str; 5] = ["stat", "meminfo", "loadavg", "diskstats", "net/dev"];
/// What the agent is to collect from it.
pub const COLLECTORS: [&str; 5] = ["stat", "meminfo", "loadavg", "cpu", "netdev"];

/// Above this it was not set in time: a busy disk, or a machine that stood still.
const STALL_S: f64 = 0.2;

/// Goes on until it is dropped: beyond the load, for as long as the agent collects.
pub struct Clock {
    running: JoinHandle<()>,
    stalls: Stalls,
}

type Stalls = Arc<Mutex<Vec<(f64, f64)>>>;

impl Clock {
    /// When it stood still itself: from, to; seconds since 1970.
    pub fn stalls(&self) -> Vec<(f64, f64)> {
        self.stalls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Makes the folder and starts the clock.
///
/// # Panics
/// Where it cannot be made.
pub fn start(folder: &Path, begin: Instant) -> Clock {
    fs::create_dir_all(folder.join("net")).expect("a folder can be made");
    for name in COPIED {
        // A machine may lack one of them.
        if let Ok(text) = fs::read(Path::new("/proc").join(name)) {
            fs::write(folder.join(name), text).expect("a file can be written");
        }
    }
    let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
    set(folder, &stat, 0);
    let stalls = Stalls::default();
    Clock { running: tokio::spawn(run(folder.to_owned(), stat, begin, Arc::clone(&stalls))), stalls }
}

/// Sections of an agent that reads that folder so often, by these collectors, and probes nobody.
pub fn agent(proc: &Path, interval: Duration, collectors: &[&str]) -> String {
    let switch = |name: &str| format!("{name}: {}", collectors.contains(&name));
    let sections: Vec<String> = ALL.iter().map(|entry| switch(entry.name)).collect();
    format!(
        "host: {{proc: {proc:?}}}\nlatency: {{targets: []}}\npath: {{targets: []}}\n\
         collectors: {{interval: {}s, {}}}\n",
        interval.as_secs(),
        sections.join(", ")
    )
}

async fn run(folder: PathBuf, stat: String, begin: Instant, stalls: Stalls) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = now_s();
    loop {
        ticks.tick().await;
        let now = now_s();
        set(&folder, &stat, begin.elapsed().as_millis() as u64);
        // Until it is in the file, the one before is read.
        let set = now_s();
        if set - last > STALL_S {
            stalls.lock().unwrap_or_else(PoisonError::into_inner).push((last, set));
        }
        last = now;
    }
}

/// In one step, so that nobody reads half of it.
fn set(folder: &Path, stat: &str, ms: u64) {
    let lines = stat.lines().filter(|line| !line.starts_with("ctxt "));
    let text: String = lines.map(|line| format!("{line}\n")).chain([format!("ctxt {ms}\n")]).collect();
    let new = folder.join("stat.new");
    fs::write(&new, text).expect("a file can be written");
    fs::rename(new, folder.join("stat")).expect("a file can be renamed");
}
