//! A /proc for the agent whose counter of context switches is a clock: milliseconds since the run began. So each sample
//! in Prometheus tells when it was read, whatever time it was stamped with.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ao_agent::collector::COLLECTORS as ALL;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// The clock's resolution: two samples that are read within it may well be the same.
pub const EVERY: Duration = Duration::from_millis(50);
/// Its name in Prometheus.
pub const METRIC: &str = "node_context_switches_total";
/// Of the real /proc: they make a few hundred series that stay.
const COPIED: [&str; 5] = ["stat", "meminfo", "loadavg", "diskstats", "net/dev"];
/// What the agent is to collect from it.
pub const COLLECTORS: [&str; 5] = ["stat", "meminfo", "loadavg", "cpu", "netdev"];

/// Goes on until it is dropped: beyond the load, for as long as the agent collects.
pub struct Clock(JoinHandle<()>);

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.abort();
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
    Clock(tokio::spawn(run(folder.to_owned(), stat, begin)))
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

async fn run(folder: PathBuf, stat: String, begin: Instant) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        set(&folder, &stat, begin.elapsed().as_millis() as u64);
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
