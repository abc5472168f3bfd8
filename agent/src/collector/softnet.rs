//! What each processor did with received packets, from /proc/net/softnet_stat.

use ao_proto::model::MetricType::{self, Counter, Gauge};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::netfile;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `softnet` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Softnet::default()))
}

#[derive(Default)]
struct Softnet {
    file: TextFile,
}

/// Columns of a line (net/core/net-procfs.c, `softnet_seq_show`), hexadecimal. The first kernel that has each: those
/// up to 8 all, 9 Linux 2.6.39, 10 4.18, 11 and the processor in 12 5.14.
const COLUMNS: [(usize, &str, MetricType, &str); 7] = [
    (0, "node_softnet_processed_total", Counter, "Packets that this processor took from the network cards."),
    (1, "node_softnet_dropped_total", Counter, "Packets dropped since this processor's backlog was full."),
    (
        2,
        "node_softnet_times_squeezed_total",
        Counter,
        "Times that work was left when the time for it was over.",
    ),
    (8, "node_softnet_cpu_collision_total", Counter, "Times that another processor held the transmit lock."),
    (
        9,
        "node_softnet_received_rps_total",
        Counter,
        "Times that another processor woke this one to take packets.",
    ),
    (
        10,
        "node_softnet_flow_limit_count_total",
        Counter,
        "Packets dropped since their flow had more than its share.",
    ),
    (11, "node_softnet_backlog_len", Gauge, "Packets in this processor's backlog."),
];
/// Columns of the oldest kernel.
const MIN_COLUMNS: usize = 9;
const INDEX: usize = 12;

impl Collector for Softnet {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let (path, text) = netfile::read(&mut self.file, roots, "softnet_stat")?;
        let families = COLUMNS.map(|(_, name, kind, help)| out.family(name, kind, help));
        let mut bad = None;
        for (i, line) in text.lines().enumerate() {
            let Some(values) = parse_line(line) else {
                bad = bad.or(Some(CollectError::line(&path, i, line)));
                continue;
            };
            let cpu = values[INDEX].map_or(i.to_string(), |index| index.to_string());
            for ((column, ..), family) in COLUMNS.iter().zip(families) {
                // node_exporter gives what an old kernel does not count as 0.
                out.push(family, &[("cpu", &cpu)], f64::from(values[*column].unwrap_or(0)));
            }
        }
        bad.map_or(Ok(()), Err)
    }
}

fn parse_line(line: &str) -> Option<[Option<u32>; INDEX + 1]> {
    let mut values = [None; INDEX + 1];
    for (value, field) in values.iter_mut().zip(line.split_ascii_whitespace()) {
        *value = Some(u32::from_str_radix(field, 16).ok()?);
    }
    // The backlog and the processor came together.
    if values[INDEX].is_none() {
        values[INDEX - 1] = None;
    }
    values[MIN_COLUMNS - 1].map(|_| values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: lines of Linux 2.6.23, 4.18 and 6, a short and a broken one.
    /// Guarantees: what a kernel has, and nothing where it has too little.
    #[test]
    fn lines_of_other_kernels() {
        let old = parse_line("000001ff 1 2 0 0 0 0 0 3").unwrap();
        assert_eq!((old[0], old[8], old[9], old[INDEX]), (Some(511), Some(3), None, None));
        let middle = parse_line("1 0 0 0 0 0 0 0 0 a b").unwrap();
        assert_eq!((middle[9], middle[10], middle[11]), (Some(10), Some(11), None));
        let new = parse_line("1 0 0 0 0 0 0 0 0 0 0 5 0000000c 0 0").unwrap();
        assert_eq!((new[11], new[INDEX]), (Some(5), Some(12)));
        assert_eq!(parse_line("1 2 3 4 5 6 7 8"), None);
        assert_eq!(parse_line("1 2 3 4 5 6 7 8 x"), None);
        assert_eq!(parse_line("1ffffffff 2 3 4 5 6 7 8 9"), None);
    }
}
