//! Devices of /sys whose files are a number each: a table says which file is which metric.

use std::path::Path;

use ao_proto::model::MetricType;

use super::api::Faults;
use super::file::TextFile;
use crate::event::MetricSet;

/// A file of a device, and the metric that its number is.
pub(super) struct Attribute {
    /// Path below the device's folder.
    pub(super) file: &'static str,
    /// Name of the metric.
    pub(super) metric: &'static str,
    /// Its type.
    pub(super) kind: MetricType,
    /// Its help text.
    pub(super) help: &'static str,
    /// From the file's unit to the metric's: one of the functions below.
    pub(super) unit: fn(f64) -> f64,
}

/// The file's unit is the metric's.
pub(super) fn as_it_is(value: f64) -> f64 {
    value
}

/// Thousands of the metric's unit.
pub(super) fn kilo(value: f64) -> f64 {
    value * 1e3
}

/// Tenths of it.
pub(super) fn deci(value: f64) -> f64 {
    value / 10.0
}

/// Thousandths of it.
pub(super) fn milli(value: f64) -> f64 {
    value / 1e3
}

/// Millionths of it.
pub(super) fn micro(value: f64) -> f64 {
    value / 1e6
}

/// Billionths of it.
pub(super) fn nano(value: f64) -> f64 {
    value / 1e9
}

/// One sample for each file of the table that is there.
pub(super) fn emit(
    dir: &Path,
    table: &[Attribute],
    labels: &[(&str, &str)],
    file: &mut TextFile,
    out: &mut MetricSet,
    faults: &mut Faults,
) {
    for attribute in table {
        if let Some(Some(value)) = faults.note(file.value(&dir.join(attribute.file))) {
            let family = out.family(attribute.metric, attribute.kind, attribute.help);
            out.push(family, labels, (attribute.unit)(value));
        }
    }
}
