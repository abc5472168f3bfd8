//! Watchdog timers, from /sys/class/watchdog (Documentation/ABI/testing/sysfs-class-watchdog).

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::attributes::{self, Attribute, as_it_is};
use super::file::TextFile;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `watchdog` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Watchdog::default()))
}

#[derive(Default)]
struct Watchdog {
    file: TextFile,
}

const fn gauge(file: &'static str, metric: &'static str, help: &'static str) -> Attribute {
    Attribute { file, metric, kind: Gauge, help, unit: as_it_is }
}

const ATTRIBUTES: [Attribute; 7] = [
    gauge("bootstatus", "node_watchdog_bootstatus", "Why the host was started last, as the driver's bits."),
    gauge("fw_version", "node_watchdog_fw_version", "Version of the watchdog's firmware."),
    gauge("nowayout", "node_watchdog_nowayout", "Whether the watchdog cannot be stopped once it runs."),
    gauge("timeleft", "node_watchdog_timeleft_seconds", "Time left until the watchdog restarts the host."),
    gauge(
        "timeout",
        "node_watchdog_timeout_seconds",
        "Time without a sign of life that the watchdog allows.",
    ),
    gauge("pretimeout", "node_watchdog_pretimeout_seconds", "Time before the timeout at which it warns."),
    gauge(
        "access_cs0",
        "node_watchdog_access_cs0",
        "Whether the host was started from its first flash chip.",
    ),
];

/// Labels, each the file of its name.
const INFO: [&str; 5] = ["options", "identity", "state", "status", "pretimeout_governor"];

impl Collector for Watchdog {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut faults = Faults::default();
        for device in folder::class(&roots.sys.join("class/watchdog"), "watchdog", |_| true)? {
            let name = ("name", &*device.name);
            attributes::emit(&device.path, &ATTRIBUTES, &[name], &mut self.file, out, &mut faults);
            let texts = INFO.map(|label| {
                let text = self.file.word(&device.path.join(label)).unwrap_or_default();
                (label, text.to_owned())
            });
            let [a, b, c, d, e] = texts.each_ref().map(|(label, text)| (*label, &**text));
            let family = out.family("node_watchdog_info", Gauge, "What a watchdog says of itself.");
            out.push(family, &[name, a, b, c, d, e], 1.0);
        }
        faults.end()
    }
}
