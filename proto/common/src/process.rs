//! Metrics about the process itself: `process_*` under the names that every Prometheus client library uses, and
//! `ao_build_info`.
//!
//! Sources: proc_pid_stat(5) fields 14, 15, 22 and 24; /proc/stat `btime`; /proc/self/fd and limits.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Registers the metrics; `component` is "ao-agent" or "ao-aggregator", `version` the crate's.
pub fn register(registry: &mut Registry, component: &'static str, version: &'static str) {
    registry.register(
        "ao_build",
        "The component and version that runs",
        Info::new([("component", component), ("version", version)]),
    );
    registry.register_collector(Box::new(Process { boot: boot_time() }));
}

/// The host's name as the kernel has it (uname(2), nodename).
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Reads /proc/self at each scrape.
#[derive(Debug)]
struct Process {
    /// Seconds since the epoch.
    boot: Option<f64>,
}

/// What is read of /proc/self/stat.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    start_seconds_after_boot: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let page = rustix::param::page_size() as u64;
        let stat =
            std::fs::read_to_string("/proc/self/stat").ok().and_then(|text| parse_stat(&text, ticks, page));
        if let Some(stat) = &stat {
            gauge("process_resident_memory_bytes", "Resident memory", stat.resident_bytes as f64)?;
            gauge("process_virtual_memory_bytes", "Virtual memory", stat.virtual_bytes as f64)?;
            if let Some(boot) = self.boot {
                let start = boot + stat.start_seconds_after_boot;
                gauge("process_start_time_seconds", "Start, in seconds since the epoch", start)?;
            }
        }
        if let Ok(folder) = std::fs::read_dir("/proc/self/fd") {
            // Less the one that reads the folder.
            gauge("process_open_fds", "Open file descriptors", folder.count().saturating_sub(1) as f64)?;
        }
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        gauge("process_max_fds", "Most file descriptors allowed", most.map_or(f64::INFINITY, |n| n as f64))?;
        if let Some(stat) = stat {
            let metric = ConstCounter::new(stat.cpu_seconds);
            metric.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                "User and system CPU time",
                None,
                metric.metric_type(),
            )?)?;
        }
        Ok(())
    }
}

/// The command's name stands in parentheses and may hold blanks and parentheses: fields count from the last one.
fn parse_stat(text: &str, ticks: f64, page: u64) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    // proc_pid_stat(5) counts from 1; field 3 is the first behind the name.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        cpu_seconds: (field(14)? + field(15)?) as f64 / ticks,
        start_seconds_after_boot: field(22)? as f64 / ticks,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)?.saturating_mul(page),
    })
}

fn boot_time() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a process whose name is meant to confuse, and texts that are cut short.
    /// Guarantees: the right fields; no panic.
    #[test]
    fn stat() {
        let text =
            "7 (a) b (c) S 1 7 7 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 4 0 1000 4096 3 18446744073709551615 1";
        let stat = parse_stat(text, 100.0, 4096).unwrap();
        assert_eq!(
            stat,
            Stat {
                cpu_seconds: 2.0,
                start_seconds_after_boot: 10.0,
                virtual_bytes: 4096,
                resident_bytes: 12_288
            }
        );
        assert_eq!((0..60).filter_map(|n| parse_stat(&text[..n], 100.0, 4096)).count(), 0);
    }

    /// Scenario: this process is scraped.
    /// Guarantees: every family is there, with sensible values.
    #[test]
    fn exposition() {
        let mut registry = Registry::default();
        register(&mut registry, "ao-test", "1.2.3");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("ao_build_info{component=\"ao-test\",version=\"1.2.3\"} 1"), "{text}");
        for name in
            ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds"]
        {
            assert!(text.contains(&format!("\nprocess_{name} ")), "{name} in {text}");
        }
    }
}
