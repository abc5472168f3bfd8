//! Processor time by mode from /proc/stat; online, isolated and throttled processors from /sys/devices/system/cpu;
//! what they are from /proc/cpuinfo.

mod info;

use std::collections::BTreeMap;

use ao_proto::model::MetricType::{Counter, Gauge};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::filter::Filter;
use crate::context::Roots;
use crate::event::MetricSet;

/// /proc/stat counts in USER_HZ, which is 100 on every architecture that Linux still runs on.
const USER_HZ: f64 = 100.0;

/// An idle time that falls by as much (in ticks) means a processor that was taken out and put back: node_exporter's
/// limit of 3 seconds.
const HOTPLUG_TICKS: u64 = 300;

/// The columns of a `cpuN` line in order (proc_stat(5)); the last two are guest time, which the kernel counts as user
/// and nice time too.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const GUEST_MODES: [&str; 2] = ["user", "nice"];
const COLUMNS: usize = MODES.len() + GUEST_MODES.len();
const IDLE: usize = 3;

/// Options of the collector `cpu`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether `node_cpu_guest_seconds_total` is read.
    pub guest: bool,
    /// Whether `node_cpu_info` is read; off by default. Either of the options below switches it on.
    pub info: bool,
    /// Flags (`aes`, `avx2`) that `node_cpu_flag_info` tells (a regular expression); none by default.
    pub info_flags_include: Option<String>,
    /// Bugs (`spectre_v2`) that `node_cpu_bug_info` tells (a regular expression); none by default.
    pub info_bugs_include: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { guest: true, info: false, info_flags_include: None, info_bugs_include: None }
    }
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let config: Config = api::section(section)?;
    let include = |option, pattern: Option<&str>| {
        pattern.map(|pattern| Filter::new(("", None), (option, Some(pattern)), "")).transpose()
    };
    let flags = include("info_flags_include", config.info_flags_include.as_deref())?;
    let bugs = include("info_bugs_include", config.info_bugs_include.as_deref())?;
    Ok(Box::new(Cpu { config, flags, bugs, ..Cpu::default() }))
}

#[derive(Default)]
struct Cpu {
    config: Config,
    flags: Option<Filter>,
    bugs: Option<Filter>,
    file: TextFile,
    isolated: TextFile,
    present: TextFile,
    seen: BTreeMap<u32, [u64; COLUMNS]>,
    cores: BTreeMap<u32, Core>,
}

/// What the two numbers of a processor's place are.
#[derive(Clone, Copy)]
struct Core {
    package: u64,
    core: u64,
}

impl Collector for Cpu {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let path = roots.proc.join("stat");
        let now =
            parse_stat(self.file.text(&path)?).map_err(|(i, line)| CollectError::line(&path, i, &line))?;
        advance(&mut self.seen, &now);
        self.emit_time(out);
        self.emit_topology(roots, out);
        if self.config.info || self.flags.is_some() || self.bugs.is_some() {
            let text = self.file.text(&roots.proc.join("cpuinfo"))?;
            info::emit(text, self.flags.as_ref(), self.bugs.as_ref(), out);
        }
        Ok(())
    }
}

/// Ticks by processor; a kernel that counts fewer modes leaves the last ones at 0.
///
/// # Errors
/// The line (from 0) that begins with `cpu` and a number and goes on otherwise.
fn parse_stat(text: &str) -> Result<BTreeMap<u32, [u64; COLUMNS]>, (usize, String)> {
    let mut cpus = BTreeMap::new();
    for (i, line) in text.lines().enumerate() {
        let mut fields = line.split_ascii_whitespace();
        // "cpu" alone is the sum.
        let Some(number) = fields.next().and_then(|f| f.strip_prefix("cpu")).filter(|n| !n.is_empty()) else {
            continue;
        };
        let bad = || (i, line.to_owned());
        let mut ticks = [0; COLUMNS];
        for (tick, field) in ticks.iter_mut().zip(fields) {
            *tick = field.parse().map_err(|_| bad())?;
        }
        cpus.insert(number.parse().map_err(|_| bad())?, ticks);
    }
    Ok(cpus)
}

/// Takes over what has grown. The kernel's idle and iowait times can fall a little (they are sampled from other
/// processors), which a counter must not: node_exporter's rule, per column.
fn advance(seen: &mut BTreeMap<u32, [u64; COLUMNS]>, now: &BTreeMap<u32, [u64; COLUMNS]>) {
    seen.retain(|cpu, _| now.contains_key(cpu));
    for (&cpu, now) in now {
        let seen = seen.entry(cpu).or_insert(*now);
        if seen[IDLE].saturating_sub(now[IDLE]) >= HOTPLUG_TICKS {
            *seen = *now;
        }
        for (seen, now) in seen.iter_mut().zip(now) {
            *seen = (*seen).max(*now);
        }
    }
}

impl Cpu {
    fn emit_time(&self, out: &mut MetricSet) {
        let time =
            out.family("node_cpu_seconds_total", Counter, "Time that each processor spent in each mode.");
        for (cpu, ticks) in &self.seen {
            let cpu = cpu.to_string();
            for (mode, &ticks) in MODES.iter().zip(ticks) {
                out.push(time, &[("cpu", &cpu), ("mode", mode)], ticks as f64 / USER_HZ);
            }
        }
        if !self.config.guest {
            return;
        }
        let help =
            "Time that each processor spent in virtual machines; contained in the user and nice modes.";
        let guest = out.family("node_cpu_guest_seconds_total", Counter, help);
        for (cpu, ticks) in &self.seen {
            let cpu = cpu.to_string();
            for (mode, &ticks) in GUEST_MODES.iter().zip(&ticks[MODES.len()..]) {
                out.push(guest, &[("cpu", &cpu), ("mode", mode)], ticks as f64 / USER_HZ);
            }
        }
    }

    /// What /sys adds; each part is absent on machines without it.
    fn emit_topology(&mut self, roots: &Roots, out: &mut MetricSet) {
        let dir = roots.sys.join("devices/system/cpu");
        let isolated = self.isolated.text(&dir.join("isolated")).map(parse_list).unwrap_or_default();
        if !isolated.is_empty() {
            let family = out.family(
                "node_cpu_isolated",
                Gauge,
                "Processors that the scheduler leaves alone (isolcpus).",
            );
            for cpu in isolated {
                out.push(family, &[("cpu", &cpu.to_string())], 1.0);
            }
        }
        let present = self.present.text(&dir.join("present")).map(parse_list).unwrap_or_default();
        self.emit_throttles(roots, &present, out);
        // A kernel that cannot take processors out has no such file, and node_exporter then no such metric.
        if !present.iter().min().is_some_and(|cpu| dir.join(format!("cpu{cpu}/online")).is_file()) {
            return;
        }
        let online = self.file.text(&dir.join("online")).map(parse_list).unwrap_or_default();
        let family = out.family("node_cpu_online", Gauge, "Whether a processor is online.");
        for cpu in present {
            out.push(family, &[("cpu", &cpu.to_string())], f64::from(u8::from(online.contains(&cpu))));
        }
    }

    fn emit_throttles(&mut self, roots: &Roots, present: &[u32], out: &mut MetricSet) {
        let (mut cores, mut packages) = (BTreeMap::new(), BTreeMap::new());
        for &cpu in present {
            let dir = roots.sys.join(format!("devices/system/cpu/cpu{cpu}"));
            if !dir.join("thermal_throttle").is_dir() {
                continue;
            }
            let Some(place) = self.place(cpu, roots) else { continue };
            // The count of a core shows at each of its threads, that of a package at each of its cores.
            if let std::collections::btree_map::Entry::Vacant(free) = cores.entry((place.package, place.core))
                && let Some(count) =
                    self.file.number::<u64>(&dir.join("thermal_throttle/core_throttle_count"))
            {
                free.insert(count);
            }
            if let std::collections::btree_map::Entry::Vacant(free) = packages.entry(place.package)
                && let Some(count) =
                    self.file.number::<u64>(&dir.join("thermal_throttle/package_throttle_count"))
            {
                free.insert(count);
            }
        }
        if !packages.is_empty() {
            let help = "How often the processors of this package were slowed down for heat.";
            let family = out.family("node_cpu_package_throttles_total", Counter, help);
            for (package, count) in packages {
                out.push(family, &[("package", &package.to_string())], count as f64);
            }
        }
        if !cores.is_empty() {
            let help = "How often this core was slowed down for heat.";
            let family = out.family("node_cpu_core_throttles_total", Counter, help);
            for ((package, core), count) in cores {
                let labels = [("package", &*package.to_string()), ("core", &*core.to_string())];
                out.push(family, &labels, count as f64);
            }
        }
    }

    /// Where a processor sits does not change while it runs, so it is read once.
    fn place(&mut self, cpu: u32, roots: &Roots) -> Option<Core> {
        if let Some(known) = self.cores.get(&cpu) {
            return Some(*known);
        }
        let dir = roots.sys.join(format!("devices/system/cpu/cpu{cpu}/topology"));
        let place = Core {
            package: self.file.number(&dir.join("physical_package_id"))?,
            core: self.file.number(&dir.join("core_id"))?,
        };
        self.cores.insert(cpu, place);
        Some(place)
    }
}

/// The kernel's list of processors: `0-3,5`. What is no list gives what could be read of it.
fn parse_list(text: &str) -> Vec<u32> {
    /// More than any kernel supports (NR_CPUS is at most 8,192).
    const MAX_CPUS: usize = 1 << 13;
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else { continue };
        cpus.extend((first..=last).take(MAX_CPUS.saturating_sub(cpus.len())));
    }
    cpus
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticks(idle: u64, iowait: u64) -> BTreeMap<u32, [u64; COLUMNS]> {
        parse_stat(&format!("cpu 1 2 3 4\ncpu0 10 0 5 {idle} {iowait} 0 0 0 0 0\nintr 1")).unwrap()
    }

    /// Scenario: idle and iowait fall a little, then idle falls by more than 3 s, then the processor is gone.
    /// Guarantees: a counter stays where it was, begins anew after a hotplug, and ends with its processor.
    #[test]
    fn counters_do_not_go_back() {
        let mut seen = BTreeMap::new();
        advance(&mut seen, &ticks(1_000, 50));
        advance(&mut seen, &ticks(990, 40));
        assert_eq!((seen[&0][IDLE], seen[&0][4]), (1_000, 50));
        advance(&mut seen, &ticks(700, 40));
        assert_eq!((seen[&0][IDLE], seen[&0][4]), (700, 40));
        advance(&mut seen, &BTreeMap::new());
        assert!(seen.is_empty());
    }

    /// Scenario: a kernel of 2.6 with seven columns, one with more than we know, a broken line.
    /// Guarantees: missing columns are 0, further ones are ignored, the broken line is named.
    #[test]
    fn lines_of_other_kernels() {
        assert_eq!(parse_stat("cpu0 1 2 3 4 5 6 7").unwrap()[&0], [1, 2, 3, 4, 5, 6, 7, 0, 0, 0]);
        assert_eq!(parse_stat("cpu12 1 2 3 4 5 6 7 8 9 10 11 12").unwrap()[&12][9], 10);
        assert_eq!(parse_stat("cpu 1\ncpu0 1 x").unwrap_err(), (1, "cpu0 1 x".to_owned()));
    }

    /// Scenario: lists as the kernel writes them, and nonsense.
    /// Guarantees: ranges and single numbers; nothing is expanded without bound.
    #[test]
    fn lists() {
        assert_eq!(parse_list("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(parse_list("\n"), [0; 0]);
        assert_eq!(parse_list("3-1,x-2,4"), [4]);
        assert_eq!(parse_list("0-4294967295,0-9").len(), 1 << 13);
    }

    proptest! {
        /// Scenario: any text.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(text in "(cpu[0-9]{0,3}[ 0-9a-z-]{0,30}\n?|\\PC{0,20}\n?){0,8}") {
            let _any = parse_stat(&text);
            let _any = parse_list(&text);
        }
    }
}
