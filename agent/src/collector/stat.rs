//! Interrupts, context switches, forks, boot time and process counts from /proc/stat.

use ao_proto::model::MetricType::{self, Counter, Gauge};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use crate::context::Roots;
use crate::event::MetricSet;

/// Options of the collector `stat`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether `node_softirqs_total` is read; off by default, as in node_exporter.
    pub softirq: bool,
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    Ok(Box::new(Stat { config: api::section(section)?, file: TextFile::default() }))
}

struct Stat {
    config: Config,
    file: TextFile,
}

/// The line's first word, and the metric that its second word is.
const LINES: [(&str, &str, MetricType, &str); 6] = [
    ("intr", "node_intr_total", Counter, "Interrupts served."),
    ("ctxt", "node_context_switches_total", Counter, "Context switches."),
    ("processes", "node_forks_total", Counter, "Processes and threads created."),
    ("btime", "node_boot_time_seconds", Gauge, "When the host was started, in seconds since 1970."),
    ("procs_running", "node_procs_running", Gauge, "Processes that run or could run."),
    ("procs_blocked", "node_procs_blocked", Gauge, "Processes that wait for I/O to end."),
];

/// The kernel's softirq vectors in its order (kernel/softirq.c, `softirq_to_name`), under node_exporter's names.
const VECTORS: [&str; 10] =
    ["hi", "timer", "net_tx", "net_rx", "block", "block_iopoll", "tasklet", "sched", "hrtimer", "rcu"];

impl Collector for Stat {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let path = roots.proc.join("stat");
        let mut bad = None;
        for (i, line) in self.file.text(&path)?.lines().enumerate() {
            if !emit_line(line, self.config.softirq, out) {
                bad = bad.or(Some(CollectError::line(&path, i, line)));
            }
        }
        bad.map_or(Ok(()), Err)
    }
}

/// `false` where a line that is known goes on in an unknown way; other lines are not ours.
fn emit_line(line: &str, softirq: bool, out: &mut MetricSet) -> bool {
    let mut fields = line.split_ascii_whitespace();
    let Some(key) = fields.next() else { return true };
    let mut number = || fields.next()?.parse::<u64>().ok().map(|n| n as f64);
    if let Some((_, name, kind, help)) = LINES.iter().find(|(first, ..)| *first == key) {
        let Some(value) = number() else { return false };
        out.one(name, *kind, help, value);
    }
    if softirq && key == "softirq" {
        // The first number is the sum.
        let Some(_sum) = number() else { return false };
        let family = out.family("node_softirqs_total", Counter, "Softirqs run, by vector.");
        for vector in VECTORS {
            let Some(value) = number() else { return false };
            out.push(family, &[("vector", vector)], value);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, softirq: bool) -> (Vec<bool>, String) {
        let mut out = MetricSet::new("collector", "node-exporter", 0);
        let good = text.lines().map(|line| emit_line(line, softirq, &mut out)).collect();
        (good, out.exposition())
    }

    /// Scenario: known, unknown, short and broken lines.
    /// Guarantees: unknown lines are passed over; short and broken ones are told.
    #[test]
    fn odd_lines() {
        let (good, text) = lines("ctxt 7\npage 1 2\n\nintr\nbtime x\nprocesses 18446744073709551615", false);
        assert_eq!(good, [true, true, true, false, false, true]);
        assert!(text.contains("node_context_switches_total 7\n") && text.contains("node_forks_total 1844"));
    }

    /// Scenario: the softirq line with the option on and off.
    /// Guarantees: ten vectors without the sum; nothing where it is off.
    #[test]
    fn softirqs() {
        let line = "softirq 55 1 2 3 4 5 6 7 8 9 10";
        assert!(lines(line, true).1.contains("node_softirqs_total{vector=\"rcu\"} 10\n"));
        assert_eq!(lines(line, false), (vec![true], String::new()));
        assert_eq!(lines("softirq 55 1 2", true).0, [false]);
    }
}
