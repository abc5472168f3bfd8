//! Tape drives, from /sys/class/scsi_tape (Documentation/scsi/st.rst).

use ao_proto::model::MetricType::{Counter, Gauge};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::attributes::{self, Attribute, as_it_is, nano};
use super::file::TextFile;
use super::filter::Filter;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;

/// Options of the collector `tapestats`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Drives to leave out (a regular expression); none by default.
    pub ignored_devices: Option<String>,
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let config: Config = api::section(section)?;
    let ignored = ("ignored_devices", config.ignored_devices.as_deref());
    Ok(Box::new(Tapestats { filter: Filter::new(ignored, ("", None), "")?, file: TextFile::default() }))
}

struct Tapestats {
    filter: Filter,
    file: TextFile,
}

const fn counter(
    file: &'static str,
    metric: &'static str,
    help: &'static str,
    unit: fn(f64) -> f64,
) -> Attribute {
    Attribute { file, metric, kind: Counter, help, unit }
}

const ATTRIBUTES: [Attribute; 10] = [
    Attribute {
        file: "stats/in_flight",
        metric: "node_tape_io_now",
        kind: Gauge,
        help: "Requests under way at the drive.",
        unit: as_it_is,
    },
    counter(
        "stats/io_ns",
        "node_tape_io_time_seconds_total",
        "Time that all requests took, those that wind the tape too.",
        nano,
    ),
    counter(
        "stats/other_cnt",
        "node_tape_io_others_total",
        "Requests that neither read nor write.",
        as_it_is,
    ),
    counter("stats/read_byte_cnt", "node_tape_read_bytes_total", "Bytes read from tape.", as_it_is),
    counter("stats/read_cnt", "node_tape_reads_completed_total", "Reads completed.", as_it_is),
    counter("stats/read_ns", "node_tape_read_time_seconds_total", "Time that all reads took together.", nano),
    counter(
        "stats/resid_cnt",
        "node_tape_residual_total",
        "Requests that moved less than was asked for.",
        as_it_is,
    ),
    counter("stats/write_byte_cnt", "node_tape_written_bytes_total", "Bytes written to tape.", as_it_is),
    counter("stats/write_cnt", "node_tape_writes_completed_total", "Writes completed.", as_it_is),
    counter(
        "stats/write_ns",
        "node_tape_write_time_seconds_total",
        "Time that all writes took together.",
        nano,
    ),
];

impl Collector for Tapestats {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut faults = Faults::default();
        // A drive also shows as nst0, st0a and so on: its other modes.
        let drive = |name: &str| folder::number(name, "st").is_some();
        for device in folder::class(&roots.sys.join("class/scsi_tape"), "tape drive", drive)? {
            if !self.filter.ignores(&device.name) {
                let labels = [("device", &*device.name)];
                attributes::emit(&device.path, &ATTRIBUTES, &labels, &mut self.file, out, &mut faults);
            }
        }
        faults.end()
    }
}
