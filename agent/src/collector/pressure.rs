//! How long tasks waited for processors, I/O, memory and interrupts, from /proc/pressure (PSI).

use ao_proto::model::MetricType::Counter;
use rustix::io::Errno;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `pressure` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Pressure::default()))
}

#[derive(Default)]
struct Pressure {
    files: [TextFile; RESOURCES.len()],
}

/// A line of a resource's file: its first word, the metric, the help.
type Line = (&'static str, &'static str, &'static str);

/// The files and those of their lines that are metrics (Documentation/accounting/psi.rst). `full` of `cpu` is always 0
/// for the whole host; `irq` came with Linux 6.1 and has no `some`.
const RESOURCES: [(&str, &[Line]); 4] = [
    (
        "cpu",
        &[("some", "node_pressure_cpu_waiting_seconds_total", "Time that tasks waited for a processor.")],
    ),
    (
        "io",
        &[
            ("some", "node_pressure_io_waiting_seconds_total", "Time that tasks waited for I/O."),
            ("full", "node_pressure_io_stalled_seconds_total", "Time that all tasks waited for I/O at once."),
        ],
    ),
    (
        "memory",
        &[
            ("some", "node_pressure_memory_waiting_seconds_total", "Time that tasks waited for memory."),
            (
                "full",
                "node_pressure_memory_stalled_seconds_total",
                "Time that all tasks waited for memory at once.",
            ),
        ],
    ),
    (
        "irq",
        &[("full", "node_pressure_irq_stalled_seconds_total", "Time that interrupts held all tasks up.")],
    ),
];

/// Totals are in microseconds.
const PER_SECOND: f64 = 1e6;

impl Collector for Pressure {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let dir = roots.proc.join("pressure");
        let mut found = false;
        for (file, (resource, lines)) in self.files.iter_mut().zip(RESOURCES) {
            let path = dir.join(resource);
            let text = match file.text(&path) {
                Ok(text) => text,
                // An older kernel, or one without this resource.
                Err(why) if why.is_absent() => continue,
                // Compiled in, but not switched on (psi=1).
                Err(CollectError::Io { source, .. })
                    if source.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) =>
                {
                    break;
                }
                Err(why) => return Err(why),
            };
            for (first, name, help) in lines {
                let Some((i, line)) = text.lines().enumerate().find(|(_, line)| line.starts_with(first))
                else {
                    return Err(CollectError::line(&path, 0, text));
                };
                let total = parse_total(line).ok_or_else(|| CollectError::line(&path, i, line))?;
                out.one(name, Counter, help, total / PER_SECOND);
            }
            found = true;
        }
        if found { Ok(()) } else { Err(CollectError::NoData("pressure stall information")) }
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`
fn parse_total(line: &str) -> Option<f64> {
    let total = line.split_ascii_whitespace().find_map(|field| field.strip_prefix("total="))?;
    Some(total.parse::<u64>().ok()? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the kernel's line, and broken ones.
    /// Guarantees: the total or nothing.
    #[test]
    fn lines() {
        assert_eq!(
            parse_total("some avg10=0.14 avg60=1.00 avg300=9.08 total=13685230503"),
            Some(13_685_230_503.0)
        );
        for bad in ["", "some", "some total=", "some total=-1", "full avg10=0.00"] {
            assert_eq!(parse_total(bad), None, "{bad}");
        }
    }
}
