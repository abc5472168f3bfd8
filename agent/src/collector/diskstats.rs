//! Disks: requests, bytes and times from /proc/diskstats, what the disk is from udev's database.

use ao_proto::model::MetricType::{self, Counter, Gauge};
use procfs::DiskStat;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::filter::Filter;
use crate::context::Roots;
use crate::event::MetricSet;

/// Sectors here are of 512 bytes, whatever the disk's own are (Documentation/block/stat.rst).
const SECTOR_BYTES: f64 = 512.0;
/// Times are in milliseconds.
const PER_SECOND: f64 = 1_000.0;

/// node_exporter's default: no memory disks, loops, floppies and partitions.
/// Its `\d` are the ten digits alone, so they are written so: ours would be those of all scripts, in 100 kB of tables.
const DEFAULT_EXCLUDE: &str = "^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme[0-9]+n[0-9]+p)[0-9]+$";

/// Options of the collector `diskstats`: by default no memory disks, loops, floppies and partitions.
pub use super::filter::Devices as Config;

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let config: Config = api::section(section)?;
    Ok(Box::new(Diskstats {
        filter: config.filter(DEFAULT_EXCLUDE)?,
        file: TextFile::default(),
        small: TextFile::default(),
    }))
}

struct Diskstats {
    filter: Filter,
    file: TextFile,
    small: TextFile,
}

type Column = (&'static str, MetricType, &'static str, fn(&DiskStat) -> Option<f64>);

/// The last six came with Linux 4.18 and 5.5; a disk of an older kernel has none of them.
const COLUMNS: [Column; 17] = [
    ("node_disk_reads_completed_total", Counter, "Reads completed.", |d| Some(d.reads as f64)),
    ("node_disk_reads_merged_total", Counter, "Reads merged with others.", |d| Some(d.merged as f64)),
    ("node_disk_read_bytes_total", Counter, "Bytes read.", |d| Some(d.sectors_read as f64 * SECTOR_BYTES)),
    ("node_disk_read_time_seconds_total", Counter, "Time that all reads took together.", |d| {
        Some(d.time_reading as f64 / PER_SECOND)
    }),
    ("node_disk_writes_completed_total", Counter, "Writes completed.", |d| Some(d.writes as f64)),
    ("node_disk_writes_merged_total", Counter, "Writes merged with others.", |d| {
        Some(d.writes_merged as f64)
    }),
    ("node_disk_written_bytes_total", Counter, "Bytes written.", |d| {
        Some(d.sectors_written as f64 * SECTOR_BYTES)
    }),
    ("node_disk_write_time_seconds_total", Counter, "Time that all writes took together.", |d| {
        Some(d.time_writing as f64 / PER_SECOND)
    }),
    ("node_disk_io_now", Gauge, "Requests under way.", |d| Some(d.in_progress as f64)),
    ("node_disk_io_time_seconds_total", Counter, "Time with at least one request under way.", |d| {
        Some(d.time_in_progress as f64 / PER_SECOND)
    }),
    ("node_disk_io_time_weighted_seconds_total", Counter, "The same times the number of requests.", |d| {
        Some(d.weighted_time_in_progress as f64 / PER_SECOND)
    }),
    ("node_disk_discards_completed_total", Counter, "Discards completed.", |d| Some(d.discards? as f64)),
    ("node_disk_discards_merged_total", Counter, "Discards merged with others.", |d| {
        Some(d.discards_merged? as f64)
    }),
    ("node_disk_discarded_sectors_total", Counter, "Sectors of 512 bytes discarded.", |d| {
        Some(d.sectors_discarded? as f64)
    }),
    ("node_disk_discard_time_seconds_total", Counter, "Time that all discards took together.", |d| {
        Some(d.time_discarding? as f64 / PER_SECOND)
    }),
    ("node_disk_flush_requests_total", Counter, "Flush requests completed.", |d| Some(d.flushes? as f64)),
    ("node_disk_flush_requests_time_seconds_total", Counter, "Time that all flushes took together.", |d| {
        Some(d.time_flushing? as f64 / PER_SECOND)
    }),
];

impl Collector for Diskstats {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let path = roots.proc.join("diskstats");
        let mut bad = None;
        for (i, line) in self.file.text(&path)?.lines().enumerate() {
            match DiskStat::from_line(line) {
                Ok(disk) if self.filter.ignores(&disk.name) => {}
                Ok(disk) => emit(&disk, roots, &mut self.small, out),
                Err(_) => bad = bad.or(Some(CollectError::line(&path, i, line))),
            }
        }
        bad.map_or(Ok(()), Err)
    }
}

fn emit(disk: &DiskStat, roots: &Roots, small: &mut TextFile, out: &mut MetricSet) {
    let device = ("device", &*disk.name);
    // /sys writes a slash in a device's name (cciss/c0d0) as an exclamation mark.
    let dir = roots.sys.join("block").join(disk.name.replace('/', "!"));
    let rotational = if small.number(&dir.join("queue/rotational")) == Some(1) { "1" } else { "0" };
    let udev = roots.root.join(format!("run/udev/data/b{}:{}", disk.major, disk.minor));
    let udev = Udev(small.text(&udev).unwrap_or_default());
    // What is printed on the disk, else udev's own idea of it.
    let serial = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"]
        .map(|key| udev.get(key))
        .into_iter()
        .find(|serial| !serial.is_empty());
    let info = out.family("node_disk_info", Gauge, "What a disk is, as /sys and udev tell it.");
    let labels = [
        device,
        ("major", &disk.major.to_string()),
        ("minor", &disk.minor.to_string()),
        ("path", udev.get("ID_PATH")),
        ("wwn", udev.get("ID_WWN")),
        ("model", udev.get("ID_MODEL")),
        ("serial", serial.unwrap_or_default()),
        ("revision", udev.get("ID_REVISION")),
        ("rotational", rotational),
    ];
    out.push(info, &labels, 1.0);
    for (name, kind, help, value) in &COLUMNS {
        if let Some(value) = value(disk) {
            let family = out.family(name, *kind, help);
            out.push(family, &[device], value);
        }
    }
    if !udev.get("ID_FS_TYPE").is_empty() {
        let family = out.family("node_disk_filesystem_info", Gauge, "The file system on a disk.");
        let labels = [
            device,
            ("type", udev.get("ID_FS_TYPE")),
            ("usage", udev.get("ID_FS_USAGE")),
            ("uuid", udev.get("ID_FS_UUID")),
            ("version", udev.get("ID_FS_VERSION")),
        ];
        out.push(family, &labels, 1.0);
    }
    if !udev.get("DM_NAME").is_empty() {
        let family = out.family("node_disk_device_mapper_info", Gauge, "What a device mapper's disk is.");
        let labels = [
            device,
            ("name", udev.get("DM_NAME")),
            ("uuid", udev.get("DM_UUID")),
            ("vg_name", udev.get("DM_VG_NAME")),
            ("lv_name", udev.get("DM_LV_NAME")),
            ("lv_layer", udev.get("DM_LV_LAYER")),
        ];
        out.push(family, &labels, 1.0);
    }
    if !udev.get("ID_ATA").is_empty() {
        for (key, name, help) in ATA {
            if let Ok(value) = udev.get(key).parse() {
                let family = out.family(name, Gauge, help);
                out.push(family, &[device], value);
            }
        }
    }
}

const ATA: [(&str, &str, &str); 3] = [
    ("ID_ATA_WRITE_CACHE", "node_disk_ata_write_cache", "Whether an ATA disk has a write cache."),
    ("ID_ATA_WRITE_CACHE_ENABLED", "node_disk_ata_write_cache_enabled", "Whether the write cache is on."),
    ("ID_ATA_ROTATION_RATE_RPM", "node_disk_ata_rotation_rate_rpm", "Rotations per minute; 0 for an SSD."),
];

/// A device's entry of udev's database (`/run/udev/data/bMAJOR:MINOR`): of its lines, those that begin with `E:` are
/// properties.
struct Udev<'a>(&'a str);

impl<'a> Udev<'a> {
    /// The property's value; empty where there is none.
    fn get(&self, key: &str) -> &'a str {
        let mut properties = self.0.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
        properties.rfind(|(name, _)| *name == key).map_or("", |(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: disks, partitions, memory and loop devices under the default pattern.
    /// Guarantees: whole disks stay, device mapper and RAID too.
    #[test]
    fn the_default_leaves_partitions_out() {
        let filter = Filter::new(("", None), ("", None), DEFAULT_EXCLUDE).unwrap();
        for (name, ignored) in [
            ("sda", false),
            ("sda1", true),
            ("nvme0n1", false),
            ("nvme0n1p2", true),
            ("vdb3", true),
            ("dm-0", false),
            ("md127", false),
            ("mmcblk0p2", false),
            ("ram1", true),
            ("zram0", true),
            ("loop7", true),
        ] {
            assert_eq!(filter.ignores(name), ignored, "{name}");
        }
    }

    /// Scenario: lines of Linux 4.17, 4.18 and 5.5.
    /// Guarantees: each gives what its kernel counts, no more.
    #[test]
    fn kernels_with_fewer_columns() {
        let roots = Roots { proc: "/nowhere".into(), sys: "/nowhere".into(), root: "/nowhere".into() };
        for (line, columns) in [
            ("8 0 sda 1 2 3 4 5 6 7 8 9 10 11", 11),
            ("8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", 15),
            ("8 0 sda 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", 17),
        ] {
            let mut out = MetricSet::new("collector", "node-exporter", 0);
            emit(&DiskStat::from_line(line).unwrap(), &roots, &mut TextFile::default(), &mut out);
            assert_eq!(out.samples.len(), 1 + columns);
        }
        assert!(DiskStat::from_line("8 1 sda1 1 2 3 4").is_err(), "a partition of Linux 2.6.24");
    }

    proptest! {
        /// Scenario: any line, and any file of udev.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(line in "[0-9]{0,11} [0-9]{0,11} \\PC{0,9}( [0-9-]{1,21}){0,19}", udev in "(E:[A-Z]{0,3}=?\\PC{0,5}\n?){0,5}") {
            let _any = DiskStat::from_line(&line);
            let _any = Udev(&udev).get("A");
        }
    }
}
