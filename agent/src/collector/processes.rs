//! Processes and threads: how many there are in which state, and how many there may be.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::device::Device;
use super::file::TextFile;
use super::process::{self, Pids};
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `processes` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Processes::default()))
}

#[derive(Default)]
struct Processes {
    pids: Pids,
    batch: Vec<u32>,
    tasks: Vec<u32>,
    device: Device,
    path: String,
    limit: TextFile,
    most: TextFile,
}

/// How many there are.
#[derive(Default)]
struct Counts {
    processes: u64,
    threads: u64,
    states: BTreeMap<String, u64>,
    thread_states: BTreeMap<String, u64>,
}

impl Collector for Processes {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut limits = [0; 2];
        let files = [(&mut self.limit, "threads-max"), (&mut self.most, "pid_max")];
        for (limit, (file, name)) in limits.iter_mut().zip(files) {
            let path = roots.proc.join("sys/kernel").join(name);
            let text = file.setting(&path)?;
            *limit = text.parse::<u64>().map_err(|_| CollectError::line(&path, 0, text))?;
        }
        let counts = self.count(roots)?;
        out.one("node_processes_threads", Gauge, "Threads there are.", counts.threads as f64);
        out.one("node_processes_max_threads", Gauge, "Threads there may be.", limits[0] as f64);
        let states = out.family("node_processes_state", Gauge, "Processes by state.");
        for (state, count) in &counts.states {
            out.push(states, &[("state", state)], *count as f64);
        }
        let states = out.family("node_processes_threads_state", Gauge, "Threads by state.");
        for (state, count) in &counts.thread_states {
            out.push(states, &[("thread_state", state)], *count as f64);
        }
        out.one("node_processes_pids", Gauge, "Processes there are.", counts.processes as f64);
        out.one(
            "node_processes_max_processes",
            Gauge,
            "The highest number of a process or thread.",
            limits[1] as f64,
        );
        Ok(())
    }
}

impl Processes {
    /// What ends while it is read is not counted.
    fn count(&mut self, roots: &Roots) -> Result<Counts, CollectError> {
        let mut counts = Counts::default();
        self.device.enter(&roots.proc)?;
        loop {
            self.batch.clear();
            let ended = self.pids.next(&roots.proc, &mut self.batch)?;
            for &pid in &self.batch {
                set_path(&mut self.path, format_args!("{pid}/stat"));
                let Some(text) = self.device.text(&self.path) else { continue };
                let stat = process::parse_stat(text)
                    .ok_or_else(|| CollectError::line(&roots.proc.join(&self.path), 0, text))?;
                counts.processes += 1;
                counts.threads += stat.threads;
                add(&mut counts.states, stat.state);
                add(&mut counts.thread_states, stat.state);
                if stat.threads < 2 {
                    continue;
                }
                set_path(&mut self.path, format_args!("{pid}/task"));
                let tasks = roots.proc.join(&self.path);
                self.tasks.clear();
                let mut folder = Pids::default();
                while matches!(folder.next(&tasks, &mut self.tasks), Ok(false)) {}
                for &task in self.tasks.iter().filter(|task| **task != pid) {
                    set_path(&mut self.path, format_args!("{pid}/task/{task}/stat"));
                    if let Some(stat) = self.device.text(&self.path).and_then(process::parse_stat) {
                        add(&mut counts.thread_states, stat.state);
                    }
                }
            }
            if ended {
                return Ok(counts);
            }
        }
    }
}

fn set_path(path: &mut String, text: std::fmt::Arguments<'_>) {
    path.clear();
    // Writing to a String cannot fail.
    let _ok = path.write_fmt(text);
}

fn add(counts: &mut BTreeMap<String, u64>, state: &str) {
    match counts.get_mut(state) {
        Some(count) => *count += 1,
        None => {
            counts.insert(state.to_owned(), 1);
        }
    }
}
