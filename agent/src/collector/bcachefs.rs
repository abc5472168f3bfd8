//! Bcachefs file systems, from /sys/fs/bcachefs (fs/bcachefs/sysfs.c).

use std::path::Path;

use ao_proto::model::MetricType::{Counter, Gauge};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector, Faults};
use super::file::TextFile;
use super::folder::{self, Entry};
use super::size::size;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `bcachefs` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Bcachefs::default()))
}

#[derive(Default)]
struct Bcachefs {
    file: TextFile,
}

/// A device's file, metric, help.
const DEVICE: [(&str, &str, &str); 3] = [
    ("bucket_size", "node_bcachefs_device_bucket_size_bytes", "Size of a bucket."),
    ("nbuckets", "node_bcachefs_device_buckets", "Buckets of the device."),
    ("durability", "node_bcachefs_device_durability", "For how many copies one on this device counts."),
];

/// Tables of sizes for people: the file, then for each column behind the row's name the metric, its type and its help.
const TABLES: [(&str, &str, [Column; 2]); 2] = [
    (
        "compression_stats",
        "algorithm",
        [
            ("node_bcachefs_compression_compressed_bytes", false, "Compressed data, as it is stored."),
            (
                "node_bcachefs_compression_uncompressed_bytes",
                false,
                "The same data before it was compressed.",
            ),
        ],
    ),
    (
        "btree_write_stats",
        "type",
        [
            ("node_bcachefs_btree_writes_total", true, "Writes of nodes of the trees."),
            ("node_bcachefs_btree_write_average_size_bytes", false, "Mean size of such a write."),
        ],
    ),
];

/// Name, whether it is a counter, help.
type Column = (&'static str, bool, &'static str);

/// The line of a counter's file that node_exporter gives; the other one begins anew with each mount.
const SINCE_CREATION: &str = "since filesystem creation:";
/// The heading of the errors that it gives.
const ERRORS_SINCE_CREATION: &str = "IO errors since filesystem creation";

impl Collector for Bcachefs {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let mut faults = Faults::default();
        let found = folder::list(&roots.sys.join("fs/bcachefs"), |name| name.contains('-'))?;
        if found.is_empty() {
            return Err(CollectError::NoData("bcachefs"));
        }
        for fs in found {
            self.emit(&fs, out, &mut faults)?;
        }
        faults.end()
    }
}

impl Bcachefs {
    fn emit(&mut self, fs: &Entry, out: &mut MetricSet, faults: &mut Faults) -> Result<(), CollectError> {
        let uuid = ("uuid", &*fs.name);
        let family = out.family("node_bcachefs_info", Gauge, "A file system.");
        out.push(family, &[uuid], 1.0);
        if let Some(bytes) = faults.note(self.size(&fs.path.join("btree_cache_size"))).flatten() {
            let help = "Memory used for nodes of the trees.";
            let family = out.family("node_bcachefs_btree_cache_size_bytes", Gauge, help);
            out.push(family, &[uuid], bytes);
        }
        for (file, label, columns) in &TABLES {
            self.emit_table(&fs.path.join(file), (uuid, label), columns, out, faults);
        }
        self.emit_errors(&fs.path.join("errors"), uuid, out, faults);
        for counter in folder::list(&fs.path.join("counters"), is_name)? {
            if let Some(count) = faults.note(self.counter(&counter.path)).flatten() {
                let name = format!("node_bcachefs_{}_total", counter.name);
                let help = format!("The file system's counter {}, since it was made.", counter.name);
                let family = out.family(&name, Counter, &help);
                out.push(family, &[uuid], count);
            }
        }
        for device in folder::list(&fs.path, |name| name.starts_with("dev-"))? {
            self.emit_device(&device, uuid, out, faults);
        }
        Ok(())
    }

    /// Lines such as `lz4:  1.00G  2.00G  64.0k` below one of headings.
    fn emit_table(
        &mut self,
        path: &Path,
        (uuid, label): ((&str, &str), &str),
        columns: &[Column; 2],
        out: &mut MetricSet,
        faults: &mut Faults,
    ) {
        let Ok(text) = self.file.text(path) else { return };
        for (i, line) in text.lines().enumerate().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let Some(row) = words.next() else { continue };
            for (name, is_counter, help) in columns {
                let Some(value) = words.next().and_then(size) else {
                    faults.add(CollectError::line(path, i, line));
                    break;
                };
                let family = out.family(name, if *is_counter { Counter } else { Gauge }, help);
                out.push(family, &[uuid, (label, row.trim_end_matches(':'))], value);
            }
        }
    }

    /// Lines such as `btree_node_read_err  5  1700000000`: what, how often, when last.
    fn emit_errors(&mut self, path: &Path, uuid: (&str, &str), out: &mut MetricSet, faults: &mut Faults) {
        let Ok(text) = self.file.text(path) else { return };
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let mut words = line.split_ascii_whitespace();
            let (Some(what), Some(count)) = (words.next(), words.next().and_then(|n| n.parse::<u64>().ok()))
            else {
                faults.add(CollectError::line(path, i, line));
                continue;
            };
            let help = "Errors found in the file system, by kind.";
            let family = out.family("node_bcachefs_errors_total", Counter, help);
            out.push(family, &[uuid, ("error_type", what)], count as f64);
        }
    }

    fn emit_device(&mut self, entry: &Entry, uuid: (&str, &str), out: &mut MetricSet, faults: &mut Faults) {
        let labels = [uuid, ("device", entry.name.trim_start_matches("dev-"))];
        let [label, state] = ["label", "state"].map(|file| {
            let word = self.file.word(&entry.path.join(file));
            word.unwrap_or_default().to_owned()
        });
        let family = out.family("node_bcachefs_device_info", Gauge, "A device of the file system.");
        out.push(family, &[labels[0], labels[1], ("label", &label), ("state", &state)], 1.0);
        for (file, name, help) in &DEVICE {
            if let Some(value) = faults.note(self.size(&entry.path.join(file))).flatten() {
                let family = out.family(name, Gauge, help);
                out.push(family, &labels, value);
            }
        }
        let path = entry.path.join("io_done");
        let done = self.file.text(&path).unwrap_or_default();
        let bad = sections(
            done,
            |operation| matches!(operation, "read:" | "write:"),
            |(heading, what, count)| {
                let operation = ("operation", heading.trim_end_matches(':'));
                let help = "Bytes read and written, by what they are.";
                let family = out.family("node_bcachefs_device_io_done_bytes_total", Counter, help);
                out.push(family, &[labels[0], labels[1], operation, ("data_type", what)], count as f64);
            },
        );
        if let Some((i, line)) = bad {
            faults.add(CollectError::line(&path, i, line));
        }
        let path = entry.path.join("io_errors");
        let errors = self.file.text(&path).unwrap_or_default();
        let bad = sections(
            errors,
            |heading| heading.starts_with(ERRORS_SINCE_CREATION),
            |(_, what, count)| {
                let help = "Reads, writes and checksums that failed, since the file system was made.";
                let family = out.family("node_bcachefs_device_io_errors_total", Counter, help);
                out.push(family, &[labels[0], labels[1], ("type", what)], count as f64);
            },
        );
        if let Some((i, line)) = bad {
            faults.add(CollectError::line(&path, i, line));
        }
    }

    /// A file of one number, for people or not; `None` where it is absent.
    fn size(&mut self, path: &Path) -> Result<Option<f64>, CollectError> {
        match self.file.word(path) {
            None | Some("") => Ok(None),
            Some(word) => size(word).map(Some).ok_or_else(|| CollectError::line(path, 0, word)),
        }
    }

    /// `None` where the file is absent, empty, or of a kernel that does not count since then.
    fn counter(&mut self, path: &Path) -> Result<Option<f64>, CollectError> {
        let Ok(text) = self.file.text(path) else { return Ok(None) };
        for (i, line) in text.lines().enumerate() {
            if let Some(count) = line.trim().strip_prefix(SINCE_CREATION) {
                return size(count).map(Some).ok_or_else(|| CollectError::line(path, i, line));
            }
        }
        Ok(None)
    }
}

/// Lines such as `  btree : 4096` below headings, which are not set in: each is handed to `each` with its heading, if
/// `wanted` takes that. The first line that is not so.
fn sections<'a>(
    text: &'a str,
    wanted: impl Fn(&str) -> bool,
    mut each: impl FnMut((&'a str, &'a str, u64)),
) -> Option<(usize, &'a str)> {
    let (mut heading, mut bad) = ("", None);
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if !line.starts_with([' ', '\t']) {
            heading = line.trim_end();
        } else if wanted(heading) {
            let named = line.split_once(':');
            match named.and_then(|(what, count)| Some((what.trim(), count.trim().parse().ok()?))) {
                Some((what, count)) => each((heading, what, count)),
                None => bad = bad.or(Some((i, line))),
            }
        }
    }
    bad
}

/// Whether a metric may be called so.
fn is_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: headings of which one is wanted, a line without a number.
    /// Guarantees: the lines of that one; the first bad one is told, the others stay.
    #[test]
    fn lines_below_headings() {
        let mut found = Vec::new();
        let text = "IO errors since filesystem creation\n  read: 7\n  x\n  write : 0\nIO errors since 17s ago\n  read: 1\n";
        let bad =
            sections(text, |h| h.starts_with(ERRORS_SINCE_CREATION), |(_, what, n)| found.push((what, n)));
        assert_eq!((found, bad), (vec![("read", 7), ("write", 0)], Some((2, "  x"))));
    }

    proptest! {
        /// Scenario: any text.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(text in "([0-9]{0,21}| |:|\n|\\PC){0,12}") {
            let _any = sections(&text, |_| true, |_| {});
        }
    }
}
