//! Disks, file systems and network interfaces.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::grid::{Cells, Grid, last, rounded};
use super::super::lookup::{mean, rates_by};
use crate::sink::embedded::series::{Book, Track};

/// More of one kind are left out, the least busy first.
const MAX_DEVICES: usize = 12;
const MAX_FILESYSTEMS: usize = 24;

const ERRORS: [&str; 4] = [
    "node_network_receive_errs_total",
    "node_network_receive_drop_total",
    "node_network_transmit_errs_total",
    "node_network_transmit_drop_total",
];

/// A block device.
#[derive(Debug, Serialize)]
pub struct Disk {
    /// Kernel name.
    pub device: String,
    /// Bytes a second.
    pub read: Cells,
    /// Bytes a second.
    pub written: Cells,
    /// Share of time with requests under way.
    pub busy: Cells,
}

/// A mounted file system.
#[derive(Debug, Serialize)]
pub struct FileSystem {
    /// Where.
    pub mountpoint: String,
    /// What.
    pub device: String,
    /// Type.
    pub fstype: String,
    /// Bytes.
    pub size: f64,
    /// Bytes that anybody but root may still write.
    pub available: f64,
    /// Share of space that is taken, as df computes it.
    pub used: f64,
    /// Share of inodes that is taken, where it has any.
    pub inodes_used: Option<f64>,
    /// Mounted read-only.
    pub readonly: bool,
}

/// A network interface.
#[derive(Debug, Serialize)]
pub struct Interface {
    /// Kernel name.
    pub device: String,
    /// Bytes a second.
    pub received: Cells,
    /// Bytes a second.
    pub sent: Cells,
    /// Errors and drops a second at present, both ways.
    pub errors: f64,
}

pub(super) fn disks(book: &Book, node: &str, grid: &Grid) -> Vec<Disk> {
    let by = |name| rates_by(book, name, node, "device", grid);
    let (mut written, mut busy) =
        (by("node_disk_written_bytes_total"), by("node_disk_io_time_seconds_total"));
    let mut disks: Vec<Disk> = by("node_disk_read_bytes_total")
        .into_iter()
        .filter(|(device, _)| !["loop", "ram", "zram", "fd", "sr"].iter().any(|p| device.starts_with(p)))
        .map(|(device, read)| Disk {
            written: rounded(written.remove(&device).unwrap_or_default()),
            // The kernel rounds to whole milliseconds, up.
            busy: rounded(share(busy.remove(&device).unwrap_or_default())),
            read: rounded(read),
            device,
        })
        .collect();
    busiest(&mut disks, |disk| mean(&disk.read) + mean(&disk.written));
    disks
}

pub(super) fn network(book: &Book, node: &str, grid: &Grid) -> Vec<Interface> {
    let by = |name| rates_by(book, name, node, "device", grid);
    let mut sent = by("node_network_transmit_bytes_total");
    let mut errors: BTreeMap<String, f64> = BTreeMap::new();
    for name in ERRORS {
        for (device, cells) in by(name) {
            *errors.entry(device).or_default() += last(&cells).unwrap_or(0.0);
        }
    }
    let mut found: Vec<Interface> = by("node_network_receive_bytes_total")
        .into_iter()
        .filter(|(device, _)| !["veth", "cali", "lxc"].iter().any(|p| device.starts_with(p)))
        .map(|(device, received)| Interface {
            received: rounded(received),
            sent: rounded(sent.remove(&device).unwrap_or_default()),
            errors: errors.remove(&device).unwrap_or(0.0),
            device,
        })
        .collect();
    if found.len() > 1 {
        found.retain(|interface| interface.device != "lo");
    }
    busiest(&mut found, |interface| mean(&interface.received) + mean(&interface.sent));
    found
}

fn share(cells: Cells) -> Cells {
    cells.into_iter().map(|cell| cell.map(|share| share.clamp(0.0, 1.0))).collect()
}

fn busiest<T>(devices: &mut Vec<T>, by: impl Fn(&T) -> f64) {
    if devices.iter().any(|device| by(device) > 0.0) {
        devices.retain(|device| by(device) > 0.0);
    }
    devices.sort_by(|a, b| by(b).total_cmp(&by(a)));
    devices.truncate(MAX_DEVICES);
}

/// Real file systems, each device once, at its shortest mount point.
pub(super) fn filesystems(book: &Book, node: &str) -> Vec<FileSystem> {
    let values = |name| -> BTreeMap<(&str, &str), f64> {
        let key = |track: &'_ Track| track.last().map(|point| point.value);
        book.of(name, node)
            .filter_map(|track| Some(((track.label("device"), track.label("mountpoint")), key(track)?)))
            .collect()
    };
    let (free, available) = (values("node_filesystem_free_bytes"), values("node_filesystem_avail_bytes"));
    let (files, files_free) = (values("node_filesystem_files"), values("node_filesystem_files_free"));
    let readonly = values("node_filesystem_readonly");
    let mut by_device: BTreeMap<String, FileSystem> = BTreeMap::new();
    for track in book.of("node_filesystem_size_bytes", node) {
        let (device, mountpoint) = (track.label("device"), track.label("mountpoint"));
        let (key, fstype) = ((device, mountpoint), track.label("fstype"));
        let (Some(size), Some(avail)) = (track.last().map(|p| p.value), available.get(&key)) else {
            continue;
        };
        if size <= 0.0 || ["tmpfs", "devtmpfs", "squashfs", "ramfs"].contains(&fstype) {
            continue;
        }
        let used = size - free.get(&key).unwrap_or(avail);
        let inodes = files.get(&key).filter(|n| **n > 0.0).zip(files_free.get(&key));
        let found = FileSystem {
            mountpoint: mountpoint.to_owned(),
            device: device.to_owned(),
            fstype: fstype.to_owned(),
            size,
            available: *avail,
            used: (used / (used + avail)).clamp(0.0, 1.0),
            inodes_used: inodes.map(|(all, free)| (1.0 - free / all).clamp(0.0, 1.0)),
            readonly: readonly.get(&key) == Some(&1.0),
        };
        // Several mounts of "overlay" or "none" are different file systems; of a block device they are the same one.
        let identity = if device.starts_with('/') { device } else { mountpoint };
        match by_device.get(identity) {
            Some(known) if known.mountpoint.len() <= mountpoint.len() => {}
            _ => {
                by_device.insert(identity.to_owned(), found);
            }
        }
    }
    let mut all: Vec<FileSystem> = by_device.into_values().collect();
    all.sort_by(|a, b| a.mountpoint.cmp(&b.mountpoint));
    all.truncate(MAX_FILESYSTEMS);
    all
}
