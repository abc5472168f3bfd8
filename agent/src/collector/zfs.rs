//! ZFS: its caches and logs, its pools and their datasets, from the kernel statistics in /proc/spl/kstat/zfs.

use std::path::Path;

use ao_proto::model::MetricType::{Gauge, Unknown};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::file::TextFile;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `zfs` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Zfs::default()))
}

#[derive(Default)]
struct Zfs {
    file: TextFile,
    /// A metric's name.
    name: String,
}

/// File, and what the names of its metrics begin with. Each version of ZFS has some of them.
const FILES: [(&str, &str); 11] = [
    ("abdstats", "node_zfs_abd_"),
    ("arcstats", "node_zfs_arc_"),
    ("dbufstats", "node_zfs_dbuf_"),
    ("dmu_tx", "node_zfs_dmu_tx_"),
    ("dnodestats", "node_zfs_dnode_"),
    ("fm", "node_zfs_fm_"),
    ("vdev_cache_stats", "node_zfs_vdev_cache_"),
    ("vdev_mirror_stats", "node_zfs_vdev_mirror_"),
    ("xuio_stats", "node_zfs_xuio_"),
    ("zfetchstats", "node_zfs_zfetch_"),
    ("zil", "node_zfs_zil_"),
];

const STATES: [&str; 7] = ["online", "degraded", "faulted", "offline", "removed", "unavail", "suspended"];

/// Types of a statistic (lib/libspl/include/sys/kstat.h).
const INT64: &str = "3";
const UINT64: &str = "4";

impl Collector for Zfs {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let dir = roots.proc.join("spl/kstat/zfs");
        let entries = folder::class(&dir, "ZFS", |_| true)?;
        let mut faults = Faults::default();
        for entry in &entries {
            match FILES.iter().find(|(file, _)| *file == entry.name) {
                Some((_, prefix)) => {
                    let Ok(text) = self.file.text(&entry.path) else { continue };
                    let what = format!("ZFS, {}", entry.name);
                    emit_named(&entry.path, text, prefix, &what, &[], &mut self.name, out, &mut faults);
                }
                // The other files have no figures, the folders are pools.
                None if entry.path.is_dir() => self.emit_pool(&entry.path, &entry.name, out, &mut faults)?,
                None => {}
            }
        }
        faults.end()
    }
}

impl Zfs {
    /// A pool may be exported while it is read: then its files are gone.
    fn emit_pool(
        &mut self,
        dir: &Path,
        pool: &str,
        out: &mut MetricSet,
        faults: &mut Faults,
    ) -> Result<(), CollectError> {
        let labels = [("zpool", pool)];
        let path = dir.join("io");
        if let Ok(text) = self.file.text(&path) {
            emit_io(&path, text, &labels, &mut self.name, out, faults);
        }
        for dataset in folder::list(dir, |name| name.starts_with("objset-"))? {
            let Ok(text) = self.file.text(&dataset.path) else { continue };
            let name = statistics(text)
                .find(|(_, line)| line.name == "dataset_name")
                .map_or("", |(_, line)| line.value);
            let labels = [labels[0], ("dataset", name)];
            let prefix = "node_zfs_zpool_dataset_";
            emit_named(&dataset.path, text, prefix, "ZFS, a dataset", &labels, &mut self.name, out, faults);
        }
        if let Some(now) = self.file.word(&dir.join("state")).map(str::to_ascii_lowercase) {
            let family = out.family("node_zfs_zpool_state", Gauge, "1 for the state in which a pool is.");
            for state in STATES {
                out.push(family, &[labels[0], ("state", state)], f64::from(u8::from(state == now)));
            }
        }
        Ok(())
    }
}

/// A line of a table of named statistics.
struct Line<'a> {
    name: &'a str,
    kind: &'a str,
    value: &'a str,
}

/// The lines behind the heading `name type data`, with their numbers (from 0).
fn statistics(text: &str) -> impl Iterator<Item = (usize, Line<'_>)> {
    let is_heading = |line: &str| line.split_ascii_whitespace().eq(["name", "type", "data"]);
    let lines = text.lines().enumerate().skip_while(move |(_, line)| !is_heading(line)).skip(1);
    lines.filter_map(|(number, line)| {
        let (name, rest) = line.trim().split_once(char::is_whitespace)?;
        let (kind, value) = rest.trim_start().split_once(char::is_whitespace)?;
        Some((number, Line { name, kind, value: value.trim() }))
    })
}

#[expect(clippy::too_many_arguments, reason = "a file, what its lines are called, and where they go")]
fn emit_named(
    path: &Path,
    text: &str,
    prefix: &str,
    what: &str,
    labels: &[(&str, &str)],
    name: &mut String,
    out: &mut MetricSet,
    faults: &mut Faults,
) {
    for (number, line) in statistics(text) {
        let value = match line.kind {
            INT64 => line.value.parse::<i64>().map(|n| n as f64),
            UINT64 => line.value.parse::<u64>().map(|n| n as f64),
            _ => continue,
        };
        match value {
            Ok(value) => emit(prefix, line.name, what, labels, value, name, out),
            Err(_) => {
                faults.add(CollectError::line(path, number, text.lines().nth(number).unwrap_or_default()))
            }
        }
    }
}

/// A line of names that begins with `nread`, and one of numbers.
fn emit_io(
    path: &Path,
    text: &str,
    labels: &[(&str, &str)],
    name: &mut String,
    out: &mut MetricSet,
    faults: &mut Faults,
) {
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| !line.trim_start().starts_with("nread"));
    let (Some((_, names)), Some((number, values))) = (lines.next(), lines.next()) else { return };
    for (key, value) in names.split_ascii_whitespace().zip(values.split_ascii_whitespace()) {
        match value.parse::<u64>() {
            Ok(value) => emit("node_zfs_zpool_", key, "ZFS, a pool", labels, value as f64, name, out),
            Err(_) => return faults.add(CollectError::line(path, number, values)),
        }
    }
}

fn emit(
    prefix: &str,
    key: &str,
    what: &str,
    labels: &[(&str, &str)],
    value: f64,
    name: &mut String,
    out: &mut MetricSet,
) {
    name.clear();
    name.push_str(prefix);
    name.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
    let family = out.family(name, Unknown, what);
    out.push(family, labels, value);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: a table with its heads, other types, a name with blanks.
    /// Guarantees: the lines behind the heading, each with its number.
    #[test]
    fn tables() {
        let text = "13 1 0x01 3 4\nname type data\nhits 4 12\nds 7 a b c\nshort 4\n";
        let lines: Vec<_> = statistics(text).map(|(n, l)| (n, l.name, l.kind, l.value)).collect();
        assert_eq!(lines, [(2, "hits", "4", "12"), (3, "ds", "7", "a b c")]);
        assert_eq!(statistics("hits 4 12\n").count(), 0);
    }

    proptest! {
        /// Scenario: any text, and one with headings.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(text in "(name type data\n|nread nwritten\n|[a-z-]{0,5} +[0-9]{0,2} +-?[0-9]{0,21}\n|\\PC{0,9}\n?){0,9}") {
            let mut out = MetricSet::new("collector", "node-exporter", 0);
            let (mut name, mut faults) = (String::new(), Faults::default());
            emit_named(Path::new("x"), &text, "a_", "", &[], &mut name, &mut out, &mut faults);
            emit_io(Path::new("x"), &text, &[], &mut name, &mut out, &mut faults);
        }
    }
}
