//! How long each processor ran tasks and let them wait, from /proc/schedstat.

use ao_proto::model::MetricType::Counter;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `schedstat` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Schedstat::default()))
}

#[derive(Default)]
struct Schedstat {
    file: TextFile,
}

const PER_SECOND: f64 = 1e9;

impl Collector for Schedstat {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let path = roots.proc.join("schedstat");
        let text = self.file.text(&path).map_err(|e| e.absent_means_no("scheduler statistics"))?;
        let mut family = |name, help| out.family(name, Counter, help);
        let running = family("node_schedstat_running_seconds_total", "Time that a processor ran tasks.");
        let help = "Time that tasks which could run waited for this processor.";
        let waiting = family("node_schedstat_waiting_seconds_total", help);
        let slices = family("node_schedstat_timeslices_total", "Times that a processor began to run a task.");
        let mut bad = None;
        for (i, line) in text.lines().enumerate() {
            let Some(rest) = line.strip_prefix("cpu") else { continue };
            let Some((cpu, values)) = parse_cpu(rest) else {
                bad = bad.or(Some(CollectError::line(&path, i, line)));
                continue;
            };
            out.push(running, &[("cpu", cpu)], values[0] as f64 / PER_SECOND);
            out.push(waiting, &[("cpu", cpu)], values[1] as f64 / PER_SECOND);
            out.push(slices, &[("cpu", cpu)], values[2] as f64);
        }
        bad.map_or(Ok(()), Err)
    }
}

/// A processor's number and its seventh to ninth value: running and waiting in nanoseconds, and slices
/// (Documentation/scheduler/sched-stats.rst; the same from version 15 on).
fn parse_cpu(rest: &str) -> Option<(&str, [u64; 3])> {
    let mut fields = rest.split_ascii_whitespace();
    let cpu = fields.next().filter(|cpu| cpu.bytes().all(|b| b.is_ascii_digit()))?;
    let mut fields = fields.skip(6).map(|field| field.parse().ok());
    Some((cpu, [fields.next()??, fields.next()??, fields.next()??]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: lines of versions 15 and 17, a short and a broken one.
    /// Guarantees: the last three values with the processor's number, or nothing.
    #[test]
    fn lines() {
        assert_eq!(parse_cpu("0 498494191 0 3533438552 255 9 8 1 2 3"), Some(("0", [1, 2, 3])));
        assert_eq!(parse_cpu("12 0 0 0 0 0 0 4 5 6 7"), Some(("12", [4, 5, 6])));
        for bad in ["", "0 1 2", "0 0 0 0 0 0 0 4 5", "0 0 0 0 0 0 0 4 5 x", "x 0 0 0 0 0 0 1 2 3"] {
            assert_eq!(parse_cpu(bad), None, "{bad}");
        }
    }
}
