//! Disks that are reached over several paths, from /sys/block/dm-N (Documentation/ABI/testing/sysfs-block-dm).

use std::path::Path;

use ao_proto::model::MetricType::Gauge;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::file::TextFile;
use super::folder::{self, Entry};
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `dmmultipath` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Dmmultipath::default()))
}

#[derive(Default)]
struct Dmmultipath {
    file: TextFile,
}

/// The kernel gives every size here in sectors of 512 bytes.
const SECTOR_BYTES: f64 = 512.0;
/// What multipath-tools put before the identity of each of their devices; a volume or an encrypted disk has another.
const MULTIPATH: &str = "mpath-";
/// States of a path that works: of SCSI, of NVMe.
const ACTIVE: [&str; 2] = ["running", "live"];
/// A path whose driver tells no state, or that was just taken out.
const UNKNOWN: &str = "unknown";

impl Collector for Dmmultipath {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let block = roots.sys.join("block");
        let mut faults = Faults::default();
        let mapped = |name: &str| folder::number(name, "dm-").is_some();
        for device in folder::class(&block, "block devices", mapped)? {
            let uuid = self.file.word(&device.path.join("dm/uuid")).unwrap_or_default().to_owned();
            if uuid.starts_with(MULTIPATH) {
                self.emit(&block, &device, &uuid, out, &mut faults)?;
            }
        }
        faults.end()
    }
}

impl Dmmultipath {
    fn emit(
        &mut self,
        block: &Path,
        device: &Entry,
        uuid: &str,
        out: &mut MetricSet,
        faults: &mut Faults,
    ) -> Result<(), CollectError> {
        let name = self.file.word(&device.path.join("dm/name")).unwrap_or(&device.name).to_owned();
        let labels = [("device", &*name), ("sysfs_name", &*device.name)];
        let mut one = |name: &str, help: &str, value: f64| {
            let family = out.family(name, Gauge, help);
            out.push(family, &labels, value);
        };
        let suspended = faults.note(self.file.value(&device.path.join("dm/suspended"))).flatten();
        if let Some(suspended) = suspended {
            let help = "Whether requests go through; 0 while the device is suspended.";
            one("node_dmmultipath_device_active", help, f64::from(u8::from(suspended == 0.0)));
        }
        if let Some(sectors) = faults.note(self.file.value(&device.path.join("size"))).flatten() {
            one("node_dmmultipath_device_size_bytes", "Size of the device.", sectors * SECTOR_BYTES);
        }
        let paths = folder::list(&device.path.join("slaves"), |_| true)?;
        let mut states = Vec::with_capacity(paths.len());
        for path in &paths {
            let state = self.file.word(&block.join(&path.name).join("device/state")).unwrap_or_default();
            states.push(if state.is_empty() { UNKNOWN.to_owned() } else { state.to_owned() });
        }
        let active = states.iter().filter(|state| ACTIVE.contains(&&***state)).count();
        one("node_dmmultipath_device_paths", "Paths to the disk.", paths.len() as f64);
        one("node_dmmultipath_device_paths_active", "Paths that work.", active as f64);
        let failed = (paths.len() - active) as f64;
        one("node_dmmultipath_device_paths_failed", "Paths that do not work.", failed);
        let info = out.family("node_dmmultipath_device_info", Gauge, "A disk with several paths.");
        out.push(info, &[labels[0], labels[1], ("uuid", uuid)], 1.0);
        let help = "In which state a path's own device is.";
        let family = out.family("node_dmmultipath_path_state", Gauge, help);
        for (path, state) in paths.iter().zip(&states) {
            out.push(family, &[labels[0], ("path", &path.name), ("state", state)], 1.0);
        }
        Ok(())
    }
}
