//! Memory errors that were corrected or not, from /sys/devices/system/edac/mc (Documentation/admin-guide/RAS).

use ao_proto::model::MetricType::Counter;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::file::TextFile;
use super::folder::{self, Entry};
use crate::context::Roots;
use crate::event::{FamilyRef, MetricSet};

/// The collector `edac` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Edac::default()))
}

#[derive(Default)]
struct Edac {
    file: TextFile,
}

const FAMILIES: [(&str, &str); 6] = [
    ("node_edac_correctable_errors_total", "Memory errors of a controller that were corrected."),
    ("node_edac_uncorrectable_errors_total", "Memory errors of a controller that could not be corrected."),
    ("node_edac_csrow_correctable_errors_total", "The same by row of chips; unknown where it is not told."),
    ("node_edac_csrow_uncorrectable_errors_total", "The same by row of chips; unknown where it is not told."),
    ("node_edac_channel_correctable_errors_total", "The same by row, channel and module."),
    ("node_edac_channel_uncorrectable_errors_total", "The same by row, channel and module."),
];

/// A controller is named by its number, as is a row.
const CONTROLLER: &str = "mc";
const ROW: &str = "csrow";

impl Collector for Edac {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let dir = roots.sys.join("devices/system/edac/mc");
        let controllers = folder::list(&dir, |name| folder::number(name, CONTROLLER).is_some())?;
        if controllers.is_empty() {
            return Ok(());
        }
        let mut faults = Faults::default();
        let families = FAMILIES.map(|(name, help)| out.family(name, Counter, help));
        for controller in controllers {
            let number = ("controller", &controller.name[CONTROLLER.len()..]);
            let unknown = [number, ("csrow", "unknown")];
            self.emit(&controller, "ce_count", families[0], &[number], out, &mut faults);
            self.emit(&controller, "ue_count", families[1], &[number], out, &mut faults);
            self.emit(&controller, "ce_noinfo_count", families[2], &unknown, out, &mut faults);
            self.emit(&controller, "ue_noinfo_count", families[3], &unknown, out, &mut faults);
            for row in folder::list(&controller.path, |name| folder::number(name, ROW).is_some())? {
                let labels = [number, ("csrow", &row.name[ROW.len()..])];
                self.emit(&row, "ce_count", families[2], &labels, out, &mut faults);
                self.emit(&row, "ue_count", families[3], &labels, out, &mut faults);
                for file in folder::list(&row.path, |name| channel(name).is_some())? {
                    let Some(channel) = channel(&file.name) else { continue };
                    let module = self.module(&row, channel);
                    let labels = [labels[0], labels[1], ("channel", channel), ("dimm_label", &module)];
                    self.emit(&row, &file.name, families[4], &labels, out, &mut faults);
                    let uncorrected = format!("ch{channel}_ue_count");
                    self.emit(&row, &uncorrected, families[5], &labels, out, &mut faults);
                }
            }
        }
        faults.end()
    }
}

impl Edac {
    /// A count that the driver does not keep has no sample.
    fn emit(
        &mut self,
        at: &Entry,
        file: &str,
        family: FamilyRef,
        labels: &[(&str, &str)],
        out: &mut MetricSet,
        faults: &mut Faults,
    ) {
        if let Some(Some(count)) = faults.note(self.file.value(&at.path.join(file))) {
            out.push(family, labels, count);
        }
    }

    /// What is printed on the board beside a module; the driver's own words (`mc#0csrow#1channel#0`) are written with
    /// underscores, as node_exporter does.
    fn module(&mut self, row: &Entry, channel: &str) -> String {
        match self.file.word(&row.path.join(format!("ch{channel}_dimm_label"))) {
            None => "unknown".to_owned(),
            Some(label) => label.replace('#', "").replace(ROW, "_csrow").replace("channel", "_channel"),
        }
    }
}

/// The channel's number in the name of a file: `ch0_ce_count`.
fn channel(file: &str) -> Option<&str> {
    folder::number(file.strip_suffix("_ce_count")?, "ch")
}
