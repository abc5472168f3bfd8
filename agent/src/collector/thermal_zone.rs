//! Thermal zones and cooling devices, from /sys/class/thermal (Documentation/driver-api/thermal/sysfs-api.rst).

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::attributes::{self, Attribute, as_it_is, milli};
use super::file::TextFile;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `thermal_zone` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(ThermalZone::default()))
}

#[derive(Default)]
struct ThermalZone {
    file: TextFile,
}

/// A zone whose sensor gives nothing now has no sample: 0 degrees would be a lie.
const ZONE: [Attribute; 1] = [Attribute {
    file: "temp",
    metric: "node_thermal_zone_temp",
    kind: Gauge,
    help: "Temperature of a zone in degrees Celsius.",
    unit: milli,
}];

/// The current state of some (intel_powerclamp) is -1 while they are idle.
const COOLER: [Attribute; 2] = [
    Attribute {
        file: "cur_state",
        metric: "node_cooling_device_cur_state",
        kind: Gauge,
        help: "How strongly a cooling device works, from 0 up.",
        unit: as_it_is,
    },
    Attribute {
        file: "max_state",
        metric: "node_cooling_device_max_state",
        kind: Gauge,
        help: "How strongly a cooling device can work.",
        unit: as_it_is,
    },
];

impl Collector for ThermalZone {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut faults = Faults::default();
        let devices = folder::list(&roots.sys.join("class/thermal"), |_| true)?;
        for (prefix, label, table) in
            [("thermal_zone", "zone", &ZONE[..]), ("cooling_device", "name", &COOLER)]
        {
            for device in devices.iter().filter(|device| folder::number(&device.name, prefix).is_some()) {
                let kind = self.file.word(&device.path.join("type")).unwrap_or_default().to_owned();
                let labels = [(label, &device.name[prefix.len()..]), ("type", &kind)];
                attributes::emit(&device.path, table, &labels, &mut self.file, out, &mut faults);
            }
        }
        faults.end()
    }
}
