//! `/api/v1/host`: one node's CPU, memory, load, disks, file systems and network, from node_exporter's series.

use serde::Serialize;

use super::grid::{Cells, Grid, last};
use super::lookup::{gauge, newest};
use super::params::ApiError;
use crate::sink::embedded::Store;
use crate::sink::embedded::series::{Book, Track};

mod cpu;
mod devices;

pub use cpu::Cpu;
pub(super) use cpu::{busy_cells, count as cpus};
pub use devices::{Disk, FileSystem, Interface};

/// One node.
#[derive(Debug, Serialize)]
pub struct Host {
    /// Its name.
    pub node: String,
    /// The grid of all histories below.
    pub grid: Grid,
    /// What it is.
    pub about: About,
    /// Shares of time by mode.
    pub cpu: Cpu,
    /// Bytes.
    pub memory: Memory,
    /// Runnable tasks, averaged over 1, 5 and 15 minutes.
    pub load: [Cells; 3],
    /// The busiest first.
    pub disks: Vec<Disk>,
    /// In order of their mount points.
    pub filesystems: Vec<FileSystem>,
    /// The busiest first.
    pub network: Vec<Interface>,
}

/// What the node is.
#[derive(Debug, Default, Serialize)]
pub struct About {
    /// Kernel release and machine.
    pub kernel: String,
    /// Distribution.
    pub os: String,
    /// Boot, milliseconds.
    pub boot_ms: Option<f64>,
    /// CPUs.
    pub cpus: usize,
}

/// Bytes of memory: used = total - available, cache = available - free.
#[derive(Debug, Default, Serialize)]
pub struct Memory {
    /// All of it.
    pub total: Option<f64>,
    /// History.
    pub used: Cells,
    /// History.
    pub cache: Cells,
    /// History.
    pub free: Cells,
    /// All swap.
    pub swap_total: Option<f64>,
    /// History.
    pub swap_used: Cells,
}

/// Answers.
///
/// # Errors
/// Where nothing is known of the node.
pub fn of(store: &Store, node: &str, now_ms: i64, minutes: i64) -> Result<Host, ApiError> {
    let grid = Grid::ending(now_ms, minutes);
    let book = store.series();
    let host = Host {
        node: node.to_owned(),
        grid,
        about: about(&book, node),
        cpu: cpu::of(&book, node, &grid),
        memory: memory(&book, node, &grid),
        load: ["node_load1", "node_load5", "node_load15"].map(|name| gauge(&book, name, node, &grid)),
        disks: devices::disks(&book, node, &grid),
        filesystems: devices::filesystems(&book, node),
        network: devices::network(&book, node, &grid),
    };
    drop(book);
    let known = store.nodes().all().iter().any(|known| *known.name == *node);
    if known { Ok(host) } else { Err(ApiError::Missing(format!("no node {node:?} has reported"))) }
}

fn about(book: &Book, node: &str) -> About {
    let uname = book.of("node_uname_info", node).next();
    let os = book.of("node_os_info", node).next();
    let text = |track: Option<&Track>, label: &str| track.map_or("", |t| t.label(label)).to_owned();
    About {
        kernel: format!("{} {}", text(uname, "release"), text(uname, "machine")).trim().to_owned(),
        os: text(os, "pretty_name"),
        boot_ms: newest(book, "node_boot_time_seconds", node).map(|seconds| seconds * 1_000.0),
        cpus: cpu::count(book, node),
    }
}

fn memory(book: &Book, node: &str, grid: &Grid) -> Memory {
    let cells = |name| gauge(book, name, node, grid);
    let minus = |a: &Cells, b: &Cells| -> Cells {
        a.iter().zip(b).map(|(a, b)| Some((a.as_ref()? - b.as_ref()?).max(0.0))).collect()
    };
    let (total, free) = (cells("node_memory_MemTotal_bytes"), cells("node_memory_MemFree_bytes"));
    let available = cells("node_memory_MemAvailable_bytes");
    let (swap, swap_free) = (cells("node_memory_SwapTotal_bytes"), cells("node_memory_SwapFree_bytes"));
    Memory {
        total: last(&total),
        used: minus(&total, &available),
        cache: minus(&available, &free),
        free,
        swap_total: last(&swap),
        swap_used: minus(&swap, &swap_free),
    }
}
