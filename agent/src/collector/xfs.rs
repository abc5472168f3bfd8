//! What XFS file systems did, from /sys/fs/xfs.

use ao_proto::model::MetricType::Counter;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::folder;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `xfs` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Xfs::default()))
}

#[derive(Default)]
struct Xfs {
    file: TextFile,
}

/// A line's first word with the metrics that its numbers are, in their order (fs/xfs/xfs_stats.c,
/// `xfs_stats_format`; what they mean: fs/xfs/xfs_stats.h).
const LINES: [(&str, &[(&str, &str)]); 8] = [
    (
        "extent_alloc",
        &[
            ("node_xfs_extent_allocation_extents_allocated_total", "Extents allocated."),
            ("node_xfs_extent_allocation_blocks_allocated_total", "Blocks allocated."),
            ("node_xfs_extent_allocation_extents_freed_total", "Extents freed."),
            ("node_xfs_extent_allocation_blocks_freed_total", "Blocks freed."),
        ],
    ),
    (
        "abt",
        &[
            ("node_xfs_allocation_btree_lookups_total", "Lookups in the trees of free space."),
            ("node_xfs_allocation_btree_compares_total", "Comparisons in the trees of free space."),
            ("node_xfs_allocation_btree_records_inserted_total", "Records put into the trees of free space."),
            (
                "node_xfs_allocation_btree_records_deleted_total",
                "Records taken out of the trees of free space.",
            ),
        ],
    ),
    (
        "blk_map",
        &[
            ("node_xfs_block_mapping_reads_total", "Blocks looked up to read."),
            ("node_xfs_block_mapping_writes_total", "Blocks looked up to write."),
            ("node_xfs_block_mapping_unmaps_total", "Blocks taken out of files."),
            ("node_xfs_block_mapping_extent_list_insertions_total", "Extents put into lists of files."),
            ("node_xfs_block_mapping_extent_list_deletions_total", "Extents taken out of lists of files."),
            ("node_xfs_block_mapping_extent_list_lookups_total", "Lookups in lists of extents."),
            ("node_xfs_block_mapping_extent_list_compares_total", "Comparisons in lists of extents."),
        ],
    ),
    (
        "bmbt",
        &[
            ("node_xfs_block_map_btree_lookups_total", "Lookups in the trees of files' extents."),
            ("node_xfs_block_map_btree_compares_total", "Comparisons in the trees of files' extents."),
            (
                "node_xfs_block_map_btree_records_inserted_total",
                "Records put into the trees of files' extents.",
            ),
            (
                "node_xfs_block_map_btree_records_deleted_total",
                "Records taken out of the trees of files' extents.",
            ),
        ],
    ),
    (
        "dir",
        &[
            (
                "node_xfs_directory_operation_lookup_total",
                "Names looked up that the kernel's cache did not have.",
            ),
            ("node_xfs_directory_operation_create_total", "Names created."),
            ("node_xfs_directory_operation_remove_total", "Names removed."),
            ("node_xfs_directory_operation_getdents_total", "Listings of directories."),
        ],
    ),
    (
        "ig",
        &[
            ("node_xfs_inode_operation_attempts_total", "Inodes looked for in the cache."),
            ("node_xfs_inode_operation_found_total", "Inodes found in the cache."),
            ("node_xfs_inode_operation_recycled_total", "Inodes found while they were about to go."),
            ("node_xfs_inode_operation_missed_total", "Inodes not found in the cache."),
            (
                "node_xfs_inode_operation_duplicates_total",
                "Inodes that another had put into the cache meanwhile.",
            ),
            ("node_xfs_inode_operation_reclaims_total", "Inodes taken out of the cache for their memory."),
            ("node_xfs_inode_operation_attribute_changes_total", "Changes of inodes' attributes."),
        ],
    ),
    (
        "rw",
        &[
            ("node_xfs_write_calls_total", "Writes of files."),
            ("node_xfs_read_calls_total", "Reads of files."),
        ],
    ),
    (
        "vnodes",
        &[
            ("node_xfs_vnode_active_total", "Inodes in use."),
            ("node_xfs_vnode_allocate_total", "Inodes allocated."),
            ("node_xfs_vnode_get_total", "Inodes got."),
            ("node_xfs_vnode_hold_total", "Inodes held."),
            ("node_xfs_vnode_release_total", "Inodes let go."),
            ("node_xfs_vnode_reclaim_total", "Inodes reclaimed."),
            ("node_xfs_vnode_remove_total", "Inodes removed."),
        ],
    ),
];

impl Collector for Xfs {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        // A host without XFS has read everything there is, in node_exporter's sense.
        for folder in folder::list(&roots.sys.join("fs/xfs"), |_| true)? {
            let path = folder.path.join("stats/stats");
            let text = match self.file.text(&path) {
                Ok(text) => text,
                // The folder of all together, or a file system that went.
                Err(why) if why.is_absent() => continue,
                Err(why) => return Err(why),
            };
            for (i, line) in text.lines().enumerate() {
                emit_line(line, &folder.name, out).ok_or_else(|| CollectError::line(&path, i, line))?;
            }
        }
        Ok(())
    }
}

fn emit_line(line: &str, device: &str, out: &mut MetricSet) -> Option<()> {
    let mut fields = line.split_ascii_whitespace();
    let first = fields.next();
    let Some((_, metrics)) = LINES.iter().find(|(name, _)| Some(*name) == first) else { return Some(()) };
    for (name, help) in *metrics {
        let value: u64 = fields.next()?.parse().ok()?;
        let family = out.family(name, Counter, help);
        out.push(family, &[("device", device)], value as f64);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: known lines with enough, more and fewer numbers, and unknown ones.
    /// Guarantees: further numbers and unknown lines are passed over; too few are told.
    #[test]
    fn lines() {
        let mut out = MetricSet::new("collector", "node-exporter", 0);
        for (line, good) in [
            ("extent_alloc 1 2 3 4", true),
            ("vnodes 1 2 3 4 5 6 7 8", true),
            ("xpc 399724544 92823103 86219234", true),
            ("", true),
            ("rw 1", false),
            ("rw x 2", false),
        ] {
            assert_eq!(emit_line(line, "sda1", &mut out).is_some(), good, "{line}");
        }
        // What stands before the mistake is read.
        assert_eq!(out.samples.len(), 4 + 7 + 1);
    }

    /// Scenario: a kernel with XFS on a host without such a file system: only the sums of all are there.
    /// Guarantees: no series, and no failure.
    #[test]
    fn sums_are_no_device() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("fs/xfs/stats")).unwrap();
        std::fs::write(dir.path().join("fs/xfs/stats/stats"), "rw 1 2\n").unwrap();
        let roots = Roots { sys: dir.path().to_owned(), ..Roots::default() };
        let mut out = MetricSet::new("collector", "node-exporter", 0);
        Xfs::default().collect(&roots, &mut out).unwrap();
        assert_eq!(out.samples.len(), 0);
    }
}
