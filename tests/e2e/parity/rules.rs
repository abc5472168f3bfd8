//! The rules of the comparison: what is no host series, how far a value may move, what is excused and why.

use ao_proto::model::MetricType;
use ao_tests::exposition::name;

use super::compare::Outcome;

/// The list of exceptions.
pub(super) const EXCEPTIONS: &str = include_str!("exceptions.txt");

/// What an exporter says of itself, not of the host.
const ITS_OWN: [&str; 4] = ["go_*", "process_*", "promhttp_*", "node_exporter_build_info*"];

/// How far from our two reads a value may lie, by family; where none holds it must lie between them. All of these go up
/// and down by themselves, some in the very moment of being read.
const SLACK: &[(&str, f64)] = &[
    // How long each took is each one's own.
    ("node_scrape_collector_duration_seconds", f64::INFINITY),
    // The kernel's pages come and go; the two processes are part of it.
    ("node_memory_*_bytes", 64e6),
    // What other processes write.
    ("node_filesystem_*_bytes", 64e6),
    ("node_filesystem_files_free", 2_000.0),
    // Open files, running tasks and sockets of what runs beside the test, its own connections among them.
    ("node_filefd_allocated", 500.0),
    ("node_procs_running", 20.0),
    ("node_procs_blocked", 5.0),
    ("node_sockstat_*_bytes", 4e6),
    ("node_sockstat_*", 50.0),
    ("node_netstat_Tcp_CurrEstab", 50.0),
    ("node_nf_conntrack_entries", 200.0),
    ("node_udp_queues", 1e6),
    ("node_softnet_backlog_len", 100.0),
    ("node_arp_entries", 2.0),
    ("node_disk_io_now", 50.0),
    ("node_entropy_available_bits", 256.0),
    // adjtimex(2) corrects them at every tick.
    ("node_timex_offset_seconds", 1e-3),
    ("node_timex_maxerror_seconds", 1e-2),
    ("node_timex_estimated_error_seconds", 1e-2),
    ("node_timex_frequency_adjustment_ratio", 1e-6),
    ("node_cpu_scaling_frequency_hertz", 5e9),
    ("node_hwmon_temp_celsius", 5.0),
    ("node_thermal_zone_temp", 5.0),
];

/// Whether it tells of the host.
pub(super) fn is_host(series: &str) -> bool {
    !ITS_OWN.iter().any(|pattern| matches(pattern, series))
}

/// See [`SLACK`]. A counter has none.
pub(super) fn slack(series: &str, kind: MetricType) -> f64 {
    if kind == MetricType::Counter {
        return 0.0;
    }
    let found = SLACK.iter().find(|(pattern, _)| matches(pattern, name(series)));
    found.map_or(0.0, |(_, slack)| *slack)
}

/// The list.
pub(super) struct Exceptions(Vec<Exception>);

struct Exception {
    /// `*` for anything.
    pattern: String,
    /// Whether it is needed hangs on the host.
    may_be_unused: bool,
}

impl Exceptions {
    /// Reads the list; `#` begins a comment.
    ///
    /// # Errors
    /// A line without a reason.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let entry = |line: &str| {
            let (pattern, _reason) = line.split_once("  ").ok_or_else(|| format!("no reason: {line}"))?;
            let may_be_unused = pattern.starts_with('?');
            Ok(Exception { pattern: pattern.trim_start_matches('?').to_owned(), may_be_unused })
        };
        lines.map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// What misses or differs: without a reason, and with one.
    pub(super) fn split(&self, outcome: &Outcome) -> (Vec<String>, Vec<String>) {
        let missing = outcome.missing.iter().map(|series| (series, series.clone()));
        let differing = outcome.differing.iter().map(|(series, why)| (series, format!("{series}: {why}")));
        let (mut open, mut excused) = (Vec::new(), Vec::new());
        for (series, line) in missing.chain(differing) {
            let known = self.0.iter().any(|exception| matches(&exception.pattern, series));
            if known { &mut excused } else { &mut open }.push(line);
        }
        (open, excused)
    }

    /// Patterns that excuse nothing.
    pub(super) fn unused(&self, outcome: &Outcome) -> Vec<&str> {
        let excuses = |pattern: &str| {
            outcome.missing.iter().chain(outcome.differing.keys()).any(|series| matches(pattern, series))
        };
        let needed = self.0.iter().filter(|exception| !exception.may_be_unused);
        needed.map(|exception| &*exception.pattern).filter(|pattern| !excuses(pattern)).collect()
    }
}

/// Whether all of `text` is what the pattern says; `*` is anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    starts.into_iter().any(|at| matches(tail, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: patterns with and without `*`; lists with and without reasons.
    /// Guarantees: a pattern holds for the whole series; a line without a reason is refused.
    #[test]
    fn patterns_and_lists() {
        for (pattern, text, expect) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*_bytes", "x_bytes", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcd", false),
            ("a{b=\"*\"}", "a{b=\"c\"}", true),
        ] {
            assert_eq!(matches(pattern, text), expect, "{pattern} {text}");
        }
        assert!(Exceptions::read("# nothing\n\na{b=\"c d\"}  it is so\n").is_ok());
        assert!(Exceptions::read("a{b=\"c d\"} it is so").is_err());
        assert!(!is_host("go_info{version=\"1\"}") && is_host("node_uname_info{a=\"b\"}"));
    }
}
