//! Btrfs file systems, from /sys/fs/btrfs. (The errors of each device, which node_exporter asks of the file system
//! where it runs with CAP_SYS_ADMIN, are left out: without that right it gives exactly what is given here.)

use std::path::Path;

use ao_proto::model::MetricType::{Counter, Gauge};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::attributes::milli;
use super::file::TextFile;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `btrfs` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Btrfs::default()))
}

#[derive(Default)]
struct Btrfs {
    file: TextFile,
}

/// A device's size here is in sectors of 512 bytes.
const SECTOR_BYTES: f64 = 512.0;

impl Collector for Btrfs {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut faults = Faults::default();
        // Beside the file systems, whose names are UUIDs, there is `features`.
        for entry in folder::list(&roots.sys.join("fs/btrfs"), |name| name.contains('-'))? {
            self.emit(&entry.path, &entry.name, out, &mut faults)?;
        }
        faults.end()
    }
}

impl Btrfs {
    fn emit(
        &mut self,
        dir: &Path,
        name: &str,
        out: &mut MetricSet,
        faults: &mut Faults,
    ) -> Result<(), CollectError> {
        // A file system whose UUID was changed keeps the old one in its metadata.
        let uuid = self
            .file
            .word(&dir.join("metadata_uuid"))
            .filter(|uuid| !uuid.is_empty())
            .unwrap_or(name)
            .to_owned();
        let uuid = ("uuid", &*uuid);
        let label = self.file.word(&dir.join("label")).unwrap_or_default();
        let family = out.family("node_btrfs_info", Gauge, "A file system and its label.");
        out.push(family, &[uuid, ("label", label)], 1.0);
        if let Some(size) = faults.note(self.file.value(&dir.join("allocation/global_rsv_size"))).flatten() {
            let help = "Space set aside for the file system's own needs.";
            let family = out.family("node_btrfs_global_rsv_size_bytes", Gauge, help);
            out.push(family, &[uuid], size);
        }
        self.emit_commits(dir, uuid, out, faults);
        let devices = folder::list(&dir.join("devices"), |_| true)?;
        for device in &devices {
            // A device that was lost is a dangling link.
            if let Some(size) = faults.note(self.file.value(&device.path.join("size"))).flatten() {
                let family =
                    out.family("node_btrfs_device_size_bytes", Gauge, "Size of a device of the file system.");
                out.push(family, &[uuid, ("device", &device.name)], size * SECTOR_BYTES);
            }
        }
        for group in ["data", "metadata", "system"] {
            let dir = dir.join("allocation").join(group);
            let labels = [uuid, ("block_group_type", group)];
            if let Some(bytes) = faults.note(self.file.value(&dir.join("bytes_reserved"))).flatten() {
                let family =
                    out.family("node_btrfs_reserved_bytes", Gauge, "Space promised to writes under way.");
                out.push(family, &labels, bytes);
            }
            for layout in folder::list(&dir, |name| ratio(name, devices.len()).is_some())? {
                let labels = [labels[0], labels[1], ("mode", &*layout.name)];
                for (file, metric, help) in [
                    ("used_bytes", "node_btrfs_used_bytes", "Space in use."),
                    ("total_bytes", "node_btrfs_size_bytes", "Space allocated."),
                ] {
                    if let Some(bytes) = faults.note(self.file.value(&layout.path.join(file))).flatten() {
                        let family = out.family(metric, Gauge, help);
                        out.push(family, &labels, bytes);
                    }
                }
                let help = "Bytes on the devices for each byte of data.";
                let family = out.family("node_btrfs_allocation_ratio", Gauge, help);
                out.push(family, &labels, ratio(&layout.name, devices.len()).unwrap_or(0.0));
            }
        }
        Ok(())
    }

    /// Lines of a name and a number; Linux 6.0 on.
    fn emit_commits(&mut self, dir: &Path, uuid: (&str, &str), out: &mut MetricSet, faults: &mut Faults) {
        let path = dir.join("commit_stats");
        let Ok(text) = self.file.text(&path) else { return };
        for (number, line) in text.lines().enumerate() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let (metric, kind, help) = match key {
                "commits" => ("node_btrfs_commits_total", Counter, "Commits."),
                "last_commit_ms" => {
                    ("node_btrfs_last_commit_seconds", Gauge, "How long the last commit took.")
                }
                "max_commit_ms" => {
                    ("node_btrfs_max_commit_seconds", Gauge, "How long the slowest commit took.")
                }
                "total_commit_ms" => {
                    ("node_btrfs_commit_seconds_total", Counter, "How long all commits took together.")
                }
                _ => continue,
            };
            let Ok(value) = value.trim().parse::<u64>() else {
                faults.add(CollectError::line(&path, number, line));
                continue;
            };
            let value = if key == "commits" { value as f64 } else { milli(value as f64) };
            let family = out.family(metric, kind, help);
            out.push(family, &[uuid], value);
        }
    }
}

/// Bytes on the devices for each byte of data; `None` for what is no layout.
fn ratio(layout: &str, devices: usize) -> Option<f64> {
    let without = |parity: usize| devices as f64 / devices.saturating_sub(parity).max(1) as f64;
    Some(match layout {
        "single" | "raid0" => 1.0,
        "dup" | "raid1" | "raid10" => 2.0,
        "raid1c3" => 3.0,
        "raid1c4" => 4.0,
        "raid5" => without(1),
        "raid6" => without(2),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every layout, on few devices.
    /// Guarantees: a finite ratio for each, none for other folders.
    #[test]
    fn ratios() {
        assert_eq!((ratio("raid5", 4), ratio("raid6", 4)), (Some(4.0 / 3.0), Some(2.0)));
        assert_eq!((ratio("raid5", 1), ratio("raid6", 0)), (Some(1.0), Some(0.0)));
        assert_eq!(ratio("space_info", 1), None);
    }
}
