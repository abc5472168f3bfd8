//! Disks cached by others, from /sys/fs/bcache (Documentation/admin-guide/bcache.rst).

use std::path::Path;

use ao_proto::model::MetricType::{self, Counter, Gauge};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::file::TextFile;
use super::folder::{self, Entry};
use super::size::size;
use crate::context::Roots;
use crate::event::MetricSet;

/// Options of the collector `bcache`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether `node_bcache_priority_stats_*` are read, for which the kernel sorts the whole cache; off by default.
    pub priority_stats: bool,
}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    Ok(Box::new(Bcache { config: api::section(section)?, file: TextFile::default() }))
}

struct Bcache {
    config: Config,
    file: TextFile,
}

/// File, metric behind `node_bcache_`, type, help.
type Row = (&'static str, &'static str, MetricType, &'static str);

const SET: [Row; 10] = [
    (
        "average_key_size",
        "average_key_size_sectors",
        Gauge,
        "Mean length of what a key of the tree stands for.",
    ),
    ("btree_cache_size", "btree_cache_size_bytes", Gauge, "Memory used for the tree."),
    (
        "cache_available_percent",
        "cache_available_percent",
        Gauge,
        "Share of the cache that holds no dirty data.",
    ),
    ("congested", "congested", Gauge, "How congested the cache is."),
    ("root_usage_percent", "root_usage_percent", Gauge, "Share of the tree's root that is in use."),
    ("tree_depth", "tree_depth", Gauge, "Depth of the tree."),
    (
        "internal/active_journal_entries",
        "active_journal_entries",
        Gauge,
        "Entries of the journal that are not in the tree yet.",
    ),
    ("internal/btree_nodes", "btree_nodes", Gauge, "Nodes of the tree."),
    (DURATION, "btree_read_average_duration_seconds", Gauge, "Mean time to read a node of the tree."),
    (
        "internal/cache_read_races",
        "cache_read_races_total",
        Counter,
        "Reads whose place in the cache was given away meanwhile.",
    ),
];
/// Its name says microseconds; node_exporter takes them for nanoseconds, and its figure is the one that boards know.
const DURATION: &str = "internal/btree_read_average_duration_us";

const BACKING: [Row; 8] = [
    ("dirty_data", "dirty_data_bytes", Gauge, "Data in the cache that is not on the disk yet."),
    ("stats_total/bypassed", "bypassed_bytes_total", Counter, "Bytes that went past the cache."),
    ("stats_total/cache_hits", "cache_hits_total", Counter, "Requests found in the cache."),
    ("stats_total/cache_misses", "cache_misses_total", Counter, "Requests not found in the cache."),
    (
        "stats_total/cache_bypass_hits",
        "cache_bypass_hits_total",
        Counter,
        "Requests past the cache that were in it.",
    ),
    (
        "stats_total/cache_bypass_misses",
        "cache_bypass_misses_total",
        Counter,
        "Requests past the cache that were not in it.",
    ),
    (
        "stats_total/cache_miss_collisions",
        "cache_miss_collisions_total",
        Counter,
        "Misses whose data a write had put into the cache first.",
    ),
    ("stats_total/cache_readaheads", "cache_readaheads_total", Counter, "Reads ahead."),
];

const CACHE: [Row; 3] = [
    ("io_errors", "io_errors", Gauge, "Errors of the cache's disk, fading with time."),
    ("metadata_written", "metadata_written_bytes_total", Counter, "Bytes written that are no data."),
    ("written", "written_bytes_total", Counter, "Bytes of data written to the cache."),
];

/// Of `writeback_rate_debug`: the line's key.
const WRITEBACK: [Row; 5] = [
    ("target", "dirty_target_bytes", Gauge, "Dirty data that is aimed at."),
    ("rate", "writeback_rate", Gauge, "Bytes that are written back per second."),
    (
        "proportional",
        "writeback_rate_proportional_term",
        Gauge,
        "Part of the rate that follows the distance from the target.",
    ),
    (
        "integral",
        "writeback_rate_integral_term",
        Gauge,
        "Part of the rate that follows the sum of distances.",
    ),
    ("change", "writeback_change", Gauge, "Last change of the rate."),
];

/// Of `priority_stats`: the line's key.
const PRIORITY: [Row; 2] = [
    ("Unused", "priority_stats_unused_percent", Gauge, "Share of the cache that is empty."),
    ("Metadata", "priority_stats_metadata_percent", Gauge, "Share of the cache that is bcache's own."),
];

impl Collector for Bcache {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut faults = Faults::default();
        // Beside the sets, whose names are UUIDs, there are files.
        for set in folder::list(&roots.sys.join("fs/bcache"), |name| name.contains('-'))? {
            let uuid = ("uuid", &*set.name);
            self.files(&set.path, &SET, &[uuid], out, &mut faults);
            for disk in parts(&set, "bdev")? {
                let labels = [uuid, ("backing_device", &*disk.name)];
                self.files(&disk.path, &BACKING, &labels, out, &mut faults);
                self.lines(&disk.path.join("writeback_rate_debug"), &WRITEBACK, &labels, out, &mut faults);
            }
            for disk in parts(&set, "cache")? {
                let labels = [uuid, ("cache_device", &*disk.name)];
                self.files(&disk.path, &CACHE, &labels, out, &mut faults);
                if self.config.priority_stats {
                    self.lines(&disk.path.join("priority_stats"), &PRIORITY, &labels, out, &mut faults);
                }
            }
        }
        faults.end()
    }
}

fn parts(set: &Entry, prefix: &str) -> Result<Vec<Entry>, CollectError> {
    folder::list(&set.path, |name| folder::number(name, prefix).is_some())
}

impl Bcache {
    /// A file each. Linux 5.10 on has no count of reads ahead, others lack other files.
    fn files(
        &mut self,
        dir: &Path,
        rows: &[Row],
        labels: &[(&str, &str)],
        out: &mut MetricSet,
        faults: &mut Faults,
    ) {
        for row in rows {
            let path = dir.join(row.0);
            let Some(text) = self.file.word(&path) else { continue };
            match size(text) {
                Some(value) if row.0 == DURATION => emit(row, labels, value / 1e9, out),
                Some(value) => emit(row, labels, value, out),
                None => faults.add(CollectError::line(&path, 0, text)),
            }
        }
    }

    /// A line each: `rate:  1.1M/sec`, `Unused:  99%`.
    fn lines(
        &mut self,
        path: &Path,
        rows: &[Row],
        labels: &[(&str, &str)],
        out: &mut MetricSet,
        faults: &mut Faults,
    ) {
        let Ok(text) = self.file.text(path) else { return };
        for (number, line) in text.lines().enumerate() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let Some(row) = rows.iter().find(|row| row.0 == key) else { continue };
            let value = value.trim();
            match size(value.strip_suffix("/sec").or(value.strip_suffix('%')).unwrap_or(value)) {
                Some(value) => emit(row, labels, value, out),
                None => faults.add(CollectError::line(path, number, line)),
            }
        }
    }
}

fn emit((_, metric, kind, help): &Row, labels: &[(&str, &str)], value: f64, out: &mut MetricSet) {
    let family = out.family(&format!("node_bcache_{metric}"), *kind, help);
    out.push(family, labels, value);
}
