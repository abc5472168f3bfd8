//! Batteries and mains, from /sys/class/power_supply (Documentation/ABI/testing/sysfs-class-power).

use std::path::Path;

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::attributes::{self, Attribute, as_it_is, deci, micro};
use super::file::TextFile;
use super::filter::Filter;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;

/// Options of the collector `powersupplyclass`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Supplies to leave out (a regular expression); none by default.
    pub ignored_supplies: Option<String>,
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let config: Config = api::section(section)?;
    let ignored = ("ignored_supplies", config.ignored_supplies.as_deref());
    Ok(Box::new(PowerSupply { filter: Filter::new(ignored, ("", None), "")?, file: TextFile::default() }))
}

struct PowerSupply {
    filter: Filter,
    file: TextFile,
}

/// File, what follows `node_power_supply_` in the metric's name, what it is, and its unit.
macro_rules! table {
    ($($file:literal $metric:literal $help:literal $unit:ident;)*) => {
        &[$(Attribute {
            file: $file,
            metric: concat!("node_power_supply_", $metric),
            kind: Gauge,
            help: $help,
            unit: $unit,
        },)*]
    };
}

/// Volts, amperes, watts and their products with hours are in millionths, temperatures in tenths of a degree.
const ATTRIBUTES: &[Attribute] = table! {
    "authentic" "authentic" "Whether the battery is one of the maker's." as_it_is;
    "calibrate" "calibrate" "Whether the battery is being calibrated." as_it_is;
    "capacity" "capacity" "Charge in percent." as_it_is;
    "capacity_alert_max" "capacity_alert_max" "Percentage above which it warns." as_it_is;
    "capacity_alert_min" "capacity_alert_min" "Percentage below which it warns." as_it_is;
    "cycle_count" "cyclecount" "Times that the battery was discharged and charged." as_it_is;
    "online" "online" "Whether it supplies power; 2 where it does so under a programme." as_it_is;
    "present" "present" "Whether it is plugged in." as_it_is;
    "time_to_empty_now" "time_to_empty_seconds" "Time until the battery is empty." as_it_is;
    "time_to_full_now" "time_to_full_seconds" "Time until the battery is full." as_it_is;
    "current_boot" "current_boot" "Current when the host was started, in amperes." micro;
    "current_max" "current_max" "Highest current in amperes." micro;
    "current_now" "current_ampere" "Current in amperes." micro;
    "energy_empty" "energy_empty" "Energy at which it counts as empty, in watt-hours." micro;
    "energy_empty_design" "energy_empty_design" "The same as designed." micro;
    "energy_full" "energy_full" "Energy when it was last full, in watt-hours." micro;
    "energy_full_design" "energy_full_design" "The same as designed." micro;
    "energy_now" "energy_watthour" "Energy left, in watt-hours." micro;
    "voltage_boot" "voltage_boot" "Voltage when the host was started." micro;
    "voltage_max" "voltage_max" "Highest voltage." micro;
    "voltage_max_design" "voltage_max_design" "Highest voltage as designed." micro;
    "voltage_min" "voltage_min" "Lowest voltage." micro;
    "voltage_min_design" "voltage_min_design" "Lowest voltage as designed." micro;
    "voltage_now" "voltage_volt" "Voltage." micro;
    "voltage_ocv" "voltage_ocv" "Voltage without a load." micro;
    "charge_control_limit" "charge_control_limit" "Limit of the charging current, in amperes." micro;
    "charge_control_limit_max" "charge_control_limit_max" "The highest that it can be." micro;
    "charge_counter" "charge_counter" "Counter of the charge, in ampere-hours." micro;
    "charge_empty" "charge_empty" "Charge at which it counts as empty, in ampere-hours." micro;
    "charge_empty_design" "charge_empty_design" "The same as designed." micro;
    "charge_full" "charge_full" "Charge when it was last full, in ampere-hours." micro;
    "charge_full_design" "charge_full_design" "The same as designed." micro;
    "charge_now" "charge_ampere" "Charge left, in ampere-hours." micro;
    "charge_term_current" "charge_term_current" "Current at which charging ends, in amperes." micro;
    "constant_charge_current" "constant_charge_current" "Current while charging at a constant one." micro;
    "constant_charge_current_max" "constant_charge_current_max" "The highest that it can be." micro;
    "constant_charge_voltage" "constant_charge_voltage" "Voltage while charging at a constant one." micro;
    "constant_charge_voltage_max" "constant_charge_voltage_max" "The highest that it can be." micro;
    "precharge_current" "precharge_current" "Current while a flat battery is first charged, in amperes." micro;
    "input_current_limit" "input_current_limit" "Limit of the current taken from the charger, in amperes." micro;
    "power_now" "power_watt" "Power in watts." micro;
    "temp" "temp_celsius" "Temperature in degrees Celsius." deci;
    "temp_alert_max" "temp_alert_max_celsius" "Temperature above which it warns." deci;
    "temp_alert_min" "temp_alert_min_celsius" "Temperature below which it warns." deci;
    "temp_ambient" "temp_ambient_celsius" "Temperature around it." deci;
    "temp_ambient_max" "temp_ambient_max_celsius" "Temperature around it above which it warns." deci;
    "temp_ambient_min" "temp_ambient_min_celsius" "Temperature around it below which it warns." deci;
    "temp_max" "temp_max_celsius" "Highest temperature that it bears." deci;
    "temp_min" "temp_min_celsius" "Lowest temperature that it bears." deci;
};

/// Labels, each the file of its name; one that is empty or not there is left out.
const INFO: [&str; 11] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "scope",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
];

impl Collector for PowerSupply {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut faults = Faults::default();
        for supply in folder::class(&roots.sys.join("class/power_supply"), "power supply", |_| true)? {
            if self.filter.ignores(&supply.name) {
                continue;
            }
            let name = ("power_supply", &*supply.name);
            attributes::emit(&supply.path, ATTRIBUTES, &[name], &mut self.file, out, &mut faults);
            self.emit_info(&supply.path, name, out);
        }
        faults.end()
    }
}

impl PowerSupply {
    fn emit_info(&mut self, dir: &Path, name: (&str, &str), out: &mut MetricSet) {
        let texts = INFO.map(|label| self.file.word(&dir.join(label)).unwrap_or_default().to_owned());
        let given = INFO.iter().zip(&texts).filter(|(_, text)| !text.is_empty());
        let mut labels = vec![name];
        labels.extend(given.map(|(label, text)| (*label, &**text)));
        let family = out.family("node_power_supply_info", Gauge, "What a power supply says of itself.");
        out.push(family, &labels, 1.0);
    }
}
