//! Frequencies of the processors, from /sys/devices/system/cpu/cpuN/cpufreq (Documentation/admin-guide/pm/cpufreq.rst).

use std::path::Path;

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::attributes::{self, Attribute, kilo};
use super::file::TextFile;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `cpufreq` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Cpufreq::default()))
}

#[derive(Default)]
struct Cpufreq {
    file: TextFile,
}

/// The files are in kHz.
const fn hertz(file: &'static str, metric: &'static str, help: &'static str) -> Attribute {
    Attribute { file, metric, kind: Gauge, help, unit: kilo }
}

/// `cpuinfo_*` is what the hardware says (`cpuinfo_cur_freq` only to root), `scaling_*` what the kernel asks of it.
const ATTRIBUTES: [Attribute; 7] = [
    hertz("cpuinfo_cur_freq", "node_cpu_frequency_hertz", "Frequency that the hardware tells."),
    hertz(
        "cpuinfo_avg_freq",
        "node_cpu_frequency_avg_hertz",
        "Mean frequency of the last moments, as the hardware tells it.",
    ),
    hertz("cpuinfo_min_freq", "node_cpu_frequency_min_hertz", "Lowest frequency of the hardware."),
    hertz("cpuinfo_max_freq", "node_cpu_frequency_max_hertz", "Highest frequency of the hardware."),
    hertz("scaling_cur_freq", "node_cpu_scaling_frequency_hertz", "Frequency that the kernel has set."),
    hertz(
        "scaling_min_freq",
        "node_cpu_scaling_frequency_min_hertz",
        "Lowest frequency that the kernel may set.",
    ),
    hertz(
        "scaling_max_freq",
        "node_cpu_scaling_frequency_max_hertz",
        "Highest frequency that the kernel may set.",
    ),
];

impl Collector for Cpufreq {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut faults = Faults::default();
        let dir = roots.sys.join("devices/system/cpu");
        let mut cpus = folder::list(&dir, |name| folder::number(name, "cpu").is_some())?;
        cpus.sort_by_key(|cpu| (cpu.name.len(), cpu.name.clone()));
        for cpu in cpus {
            let dir = cpu.path.join("cpufreq");
            // One look is cheaper than nine files that are not there, on each of many processors of a virtual machine.
            if !dir.is_dir() {
                continue;
            }
            let labels = [("cpu", &cpu.name["cpu".len()..])];
            attributes::emit(&dir, &ATTRIBUTES, &labels, &mut self.file, out, &mut faults);
            self.emit_governors(&dir, labels[0], out);
        }
        faults.end()
    }
}

impl Cpufreq {
    /// 1 for the governor in use, 0 for the others.
    fn emit_governors(&mut self, dir: &Path, cpu: (&str, &str), out: &mut MetricSet) {
        let Some(current) = self.file.word(&dir.join("scaling_governor")).filter(|g| !g.is_empty()) else {
            return;
        };
        let current = current.to_owned();
        let available = self.file.word(&dir.join("scaling_available_governors")).unwrap_or_default();
        let help = "Whether this is the rule by which the kernel sets the frequency.";
        let family = out.family("node_cpu_scaling_governor", Gauge, help);
        for governor in available.split_ascii_whitespace() {
            let labels = [cpu, ("governor", governor)];
            out.push(family, &labels, f64::from(u8::from(governor == current)));
        }
    }
}
