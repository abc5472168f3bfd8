//! What a file of a sensor chip is: the sensor and the property in its name, the metric and the unit of its number
//! (Documentation/hwmon/sysfs-interface.rst).

use ao_proto::model::MetricType::{self, Counter, Gauge};

use super::super::attributes::{as_it_is, micro, milli};

/// Kinds of sensor; what else lies in a chip's folder is none.
const KINDS: [&str; 14] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
    "freq",
];

/// A file's name taken apart: `temp12_crit_alarm` is property `crit_alarm` of sensor 12 of kind `temp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct File<'a> {
    pub(super) kind: &'a str,
    /// 0 where the name has none.
    pub(super) number: u32,
    /// Empty for the value itself, where it is not called `input`.
    pub(super) property: &'a str,
}

/// `None` for a file that is no sensor's.
pub(super) fn file(name: &str) -> Option<File<'_>> {
    let Some(digit) = name.find(|c: char| c.is_ascii_digit()) else {
        return KINDS.contains(&name).then_some(File { kind: name, number: 0, property: "" });
    };
    let (kind, rest) = name.split_at(digit);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, property) = rest.split_at(end);
    let property = match property.strip_prefix('_') {
        None if property.is_empty() => "",
        Some(property) if !property.is_empty() => property,
        _ => return None,
    };
    KINDS.contains(&kind).then_some(File { kind, number: number.parse().ok()?, property })
}

/// A metric that a sensor's file is.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: String,
    pub(super) kind: MetricType,
    pub(super) help: String,
    pub(super) unit: fn(f64) -> f64,
}

/// The metric for a property of a kind of sensor. `doubled`: the sensor has a file without a property and `input` too.
pub(super) fn metric(kind: &str, property: &str, doubled: bool) -> Metric {
    let gauge = |name: String, help: String, unit| Metric { name, kind: Gauge, help, unit };
    match kind {
        "beep_enable" => {
            return gauge("node_hwmon_beep_enabled".into(), "Whether the chip may beep.".into(), as_it_is);
        }
        "vrm" => {
            let help = "Version of the voltage regulator's rules.";
            return gauge("node_hwmon_voltage_regulator_version".into(), help.into(), as_it_is);
        }
        "update_interval" => {
            let help = "Time between two readings of the chip.";
            return gauge("node_hwmon_update_interval_seconds".into(), help.into(), milli);
        }
        _ => {}
    }
    let mut name = format!("node_hwmon_{kind}");
    if !property.is_empty() && (property != "input" || doubled) {
        name.push('_');
        name.push_str(&clean(property));
    }
    let shown = if property.is_empty() { "input" } else { property };
    let (suffix, what, unit): (_, _, fn(f64) -> f64) = match (kind, property) {
        (_, "fault") => ("", "whether it is broken", as_it_is),
        (_, "alarm") => ("", "whether it is out of its limits", as_it_is),
        (_, "beep") => ("_enabled", "whether it may beep", as_it_is),
        ("in" | "cpu", _) => ("_volts", "in volts", milli),
        ("temp", "type") => ("", "kind of the probe", as_it_is),
        ("temp", _) => ("_celsius", "in degrees Celsius", milli),
        ("curr", _) => ("_amps", "in amperes", milli),
        ("energy", _) => {
            name.push_str("_joule_total");
            return Metric { name, kind: Counter, help: "Energy used, in joules.".into(), unit: micro };
        }
        ("power", "accuracy") => ("", "accuracy as a share", micro),
        ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
            ("_seconds", "time over which the mean is taken", milli)
        }
        ("power", _) => ("_watt", "in watts", micro),
        // node_exporter's figure: the kernel's thousandths of a percent, divided by a million.
        ("humidity", _) => ("", "as a share", micro),
        ("fan", "input" | "min" | "max" | "target") => ("_rpm", "in rotations per minute", as_it_is),
        ("freq", "input") => ("_freq_mhz", "in MHz", micro),
        _ => ("", "as the driver gives it", as_it_is),
    };
    name.push_str(suffix);
    gauge(name, format!("Sensor of kind {kind}, {shown}: {what}."), unit)
}

/// Lower case, and an underscore for what a metric's name may not hold; none at the ends.
pub(super) fn clean(text: &str) -> String {
    let keep = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, ':' | '_');
    let text: String =
        text.trim_end_matches('\n').to_lowercase().chars().map(|c| if keep(c) { c } else { '_' }).collect();
    text.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: names of files as drivers have them, and of what lies beside them.
    /// Guarantees: kind, number and property; nothing for the others.
    #[test]
    fn names() {
        for (name, expect) in [
            ("temp1_input", Some(("temp", 1, "input"))),
            ("temp12_crit_alarm", Some(("temp", 12, "crit_alarm"))),
            ("pwm1", Some(("pwm", 1, ""))),
            ("pwm1_auto_point1_pwm", Some(("pwm", 1, "auto_point1_pwm"))),
            ("beep_enable", Some(("beep_enable", 0, ""))),
            ("update_interval", Some(("update_interval", 0, ""))),
            ("name", None),
            ("temp1_", None),
            ("temp1x", None),
            ("in99999999999_input", None),
            ("subsystem", None),
        ] {
            assert_eq!(file(name).map(|f| (f.kind, f.number, f.property)), expect, "{name}");
        }
    }

    /// Scenario: properties of each kind.
    /// Guarantees: node_exporter's names and units.
    #[test]
    fn metrics() {
        for (kind, property, expect, value) in [
            ("temp", "input", "node_hwmon_temp_celsius", 0.001),
            ("temp", "crit_alarm", "node_hwmon_temp_crit_alarm_celsius", 0.001),
            ("temp", "alarm", "node_hwmon_temp_alarm", 1.0),
            ("in", "max", "node_hwmon_in_max_volts", 0.001),
            ("fan", "div", "node_hwmon_fan_div", 1.0),
            ("fan", "input", "node_hwmon_fan_rpm", 1.0),
            ("pwm", "", "node_hwmon_pwm", 1.0),
            ("power", "average", "node_hwmon_power_average_watt", 1e-6),
            ("power", "average_interval", "node_hwmon_power_average_interval_seconds", 0.001),
            ("energy", "input", "node_hwmon_energy_joule_total", 1e-6),
            ("fan", "beep", "node_hwmon_fan_beep_enabled", 1.0),
            ("update_interval", "", "node_hwmon_update_interval_seconds", 0.001),
        ] {
            let metric = metric(kind, property, false);
            assert_eq!((&*metric.name, (metric.unit)(1.0)), (expect, value));
        }
        assert_eq!(metric("fan", "input", true).name, "node_hwmon_fan_input_rpm");
        assert_eq!(clean("Core 0\n"), "core_0");
    }

    proptest! {
        /// Scenario: any name.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(name in "(temp|in|pwm)?[0-9]{0,12}_?\\PC{0,5}") {
            if let Some(file) = file(&name) {
                let _any = metric(file.kind, file.property, false);
            }
        }
    }
}
