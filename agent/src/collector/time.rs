//! The host's clock, its time zone and its clock sources.

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::zone;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `time` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Time::default()))
}

#[derive(Default)]
struct Time {
    file: TextFile,
}

impl Collector for Time {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        // The host's own clock is what is to be shown here, wrong as it may be.
        let now_ns = ao_common::clock::system_ns();
        let seconds = now_ns as f64 / 1e9;
        out.one("node_time_seconds", Gauge, "The host's clock, in seconds since 1970.", seconds);
        self.emit_zone(roots, now_ns.div_euclid(1_000_000_000), out);
        self.emit_clocksources(roots, out)
    }
}

impl Time {
    /// The zone is the host's, not that of a container around the agent; no file means UTC (localtime(5)).
    fn emit_zone(&mut self, roots: &Roots, now: i64, out: &mut MetricSet) {
        let file = self.file.bytes(&roots.root.join("etc/localtime")).unwrap_or_default();
        let zone = zone::at(file, now).unwrap_or(zone::UTC);
        let help = "How far the host's time zone is ahead of UTC.";
        let family = out.family("node_time_zone_offset_seconds", Gauge, help);
        out.push(family, &[("time_zone", zone.name)], f64::from(zone.offset_seconds));
    }

    fn emit_clocksources(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let dir = roots.sys.join("devices/system/clocksource");
        let available =
            out.family("node_time_clocksource_available_info", Gauge, "Clock sources to choose from.");
        let current = out.family("node_time_clocksource_current_info", Gauge, "The clock source in use.");
        for number in 0.. {
            let dir = dir.join(format!("clocksource{number}"));
            let device = number.to_string();
            let names = match self.file.text(&dir.join("available_clocksource")) {
                Ok(names) => names,
                Err(why) => return if number == 0 { Err(why) } else { Ok(()) },
            };
            for name in names.split_ascii_whitespace() {
                out.push(available, &[("device", &device), ("clocksource", name)], 1.0);
            }
            let name = self.file.text(&dir.join("current_clocksource"))?.trim();
            out.push(current, &[("device", &device), ("clocksource", name)], 1.0);
        }
        Ok(())
    }
}
