//! The table of tracked connections: its size, its limit and what was done in it.

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::netfile;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `conntrack` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Conntrack::default()))
}

#[derive(Default)]
struct Conntrack {
    entries: TextFile,
    limit: TextFile,
    stat: TextFile,
}

/// Columns of /proc/net/stat/nf_conntrack, summed over the processors. They count up, but node_exporter's type of them
/// is gauge.
const COLUMNS: [(&str, &str, &str); 8] = [
    ("found", "node_nf_conntrack_stat_found", "Lookups that found their connection."),
    ("invalid", "node_nf_conntrack_stat_invalid", "Packets that cannot be tracked."),
    ("ignore", "node_nf_conntrack_stat_ignore", "Packets that belonged to a connection already."),
    ("insert", "node_nf_conntrack_stat_insert", "Connections that were put into the table."),
    ("insert_failed", "node_nf_conntrack_stat_insert_failed", "Connections that were in the table already."),
    ("drop", "node_nf_conntrack_stat_drop", "Packets dropped since their connection found no place."),
    ("early_drop", "node_nf_conntrack_stat_early_drop", "Connections removed to make place for others."),
    (
        "search_restart",
        "node_nf_conntrack_stat_search_restart",
        "Lookups begun again, the table having grown.",
    ),
];

impl Collector for Conntrack {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let dir = roots.proc.join("sys/net/netfilter");
        let help = "Connections that are tracked now.";
        for (file, name, metric, help) in [
            (&mut self.entries, "nf_conntrack_count", "node_nf_conntrack_entries", help),
            (
                &mut self.limit,
                "nf_conntrack_max",
                "node_nf_conntrack_entries_limit",
                "Connections that are tracked at most.",
            ),
        ] {
            let path = dir.join(name);
            let text = file.setting(&path).map_err(|e| e.absent_means_no("connection tracking"))?;
            let value: u64 = text.parse().map_err(|_| CollectError::line(&path, 0, text))?;
            out.one(metric, Gauge, help, value as f64);
        }
        let found = netfile::read(&mut self.stat, roots, "stat/nf_conntrack");
        let (path, text) = found.map_err(|e| e.absent_means_no("statistics of connection tracking"))?;
        let mut lines = text.lines().enumerate();
        let heading = lines.next().map_or("", |(_, heading)| heading);
        let mut sums = [0_u64; COLUMNS.len()];
        for (i, line) in lines {
            add_line(&mut sums, heading, line).ok_or_else(|| CollectError::line(&path, i, line))?;
        }
        for ((_, name, help), sum) in COLUMNS.into_iter().zip(sums) {
            out.one(name, Gauge, help, sum as f64);
        }
        Ok(())
    }
}

/// A processor's line, hexadecimal. Which columns there are hangs on the kernel, so the heading tells.
fn add_line(sums: &mut [u64; COLUMNS.len()], heading: &str, line: &str) -> Option<()> {
    let mut fields = line.split_ascii_whitespace();
    for name in heading.split_ascii_whitespace() {
        let value = u64::from_str_radix(fields.next()?, 16).ok()?;
        if let Some(at) = COLUMNS.iter().position(|(column, ..)| *column == name) {
            sums[at] = sums[at].wrapping_add(value);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two processors under headings of two kernels, and a line cut short.
    /// Guarantees: sums by the columns' names; a short line is told.
    #[test]
    fn lines() {
        let mut sums = [0; COLUMNS.len()];
        for (heading, line) in
            [("entries searched found drop", "10 20 1 f"), ("entries  clashres drop found", "1 2 1 3")]
        {
            add_line(&mut sums, heading, line).unwrap();
        }
        assert_eq!(sums, [4, 0, 0, 0, 0, 16, 0, 0]);
        assert_eq!(add_line(&mut sums, "entries found", "1"), None);
        assert_eq!(add_line(&mut sums, "found", "x"), None);
    }
}
