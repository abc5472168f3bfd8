//! `/api/v1/nodes`: each node at a glance.

use std::sync::Arc;

use serde::Serialize;

use super::grid::{Cells, Grid, last, round};
use super::host::{busy_cells, cpus};
use super::latency;
use super::lookup::newest;
use crate::sink::embedded::Store;
use crate::sink::embedded::nodes::{self as book, short};
use crate::sink::embedded::series::Book;

/// Nodes whose figures are computed for one answer; the others are listed without.
const MAX_FIGURES: usize = 100;
/// A node that was not heard of for so long is late; then, silent.
const LATE_MS: i64 = 45_000;
const SILENT_MS: i64 = 180_000;

/// Signals and the places of their classes in the journal's list.
pub(super) const SIGNALS: [(&str, &[usize]); 3] = [("metrics", &[0]), ("logs", &[2, 3]), ("spans", &[1])];

/// A node at a glance.
#[derive(Debug, Serialize)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    /// Its agent's id.
    pub agent: String,
    /// First frame since the start, milliseconds.
    pub first_ms: i64,
    /// Last frame, milliseconds.
    pub last_ms: i64,
    /// "reporting", "late" or "silent".
    pub state: &'static str,
    /// Records a second over the last minute: metrics, logs, spans.
    pub rates: [f64; 3],
    /// Last values.
    pub figures: Option<Figures>,
}

/// Last values of a node.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Share of CPU time that is not idle, over a quarter of an hour.
    pub busy: Cells,
    /// CPUs.
    pub cpus: usize,
    /// Load over one minute.
    pub load: Option<f64>,
    /// Share of memory that is not available.
    pub memory: Option<f64>,
    /// Bytes.
    pub memory_total: Option<f64>,
    /// Share of the root file system's space that is taken.
    pub root: Option<f64>,
    /// Bytes a second over all interfaces but the loopback.
    pub received: Option<f64>,
    /// See `received`.
    pub sent: Option<f64>,
    /// The target with the worst loss, else the slowest one: name, median in seconds, loss.
    pub latency: Option<(String, Option<f64>, Option<f64>)>,
    /// Number of latency targets.
    pub targets: usize,
}

/// All nodes, with their last values or without.
pub fn of(store: &Store, now_ms: i64, with_figures: bool) -> Vec<Node> {
    let all = store.nodes().all();
    let book = store.series();
    let rate = |node: &book::Node, classes: &[usize]| -> f64 {
        round(classes.iter().map(|class| node.arrivals[*class].rate(now_ms).0).sum())
    };
    let nodes = all.iter().enumerate().map(|(i, node)| Node {
        name: node.name.clone(),
        agent: short(&node.agent),
        first_ms: node.first_ms,
        last_ms: node.last_ms,
        state: match now_ms - node.last_ms {
            ..LATE_MS => "reporting",
            LATE_MS..SILENT_MS => "late",
            _ => "silent",
        },
        rates: SIGNALS.map(|(_, classes)| rate(node, classes)),
        figures: (with_figures && i < MAX_FIGURES).then(|| figures(&book, &node.name, now_ms)),
    });
    nodes.collect()
}

fn figures(book: &Book, node: &str, now_ms: i64) -> Figures {
    let value = |name| newest(book, name, node);
    let total = value("node_memory_MemTotal_bytes");
    let available = value("node_memory_MemAvailable_bytes");
    let recent = Grid::stepped(now_ms, 60_000, 15_000);
    let traffic = |name| {
        let tracks = book.of(name, node).filter(|track| track.label("device") != "lo");
        let rates = tracks.filter_map(|track| last(&recent.rate(track.points())));
        rates.fold(None, |sum: Option<f64>, rate| Some(round(sum.unwrap_or(0.0) + rate)))
    };
    let targets = latency::targets(book, node, Grid::stepped(now_ms, 120_000, 30_000)).targets;
    let worst = targets.iter().max_by(|a, b| {
        let rank = |t: &latency::Target| (t.overall.last_loss.unwrap_or(0.0), t.overall.last.unwrap_or(0.0));
        rank(a).partial_cmp(&rank(b)).unwrap_or(std::cmp::Ordering::Equal)
    });
    Figures {
        busy: busy_cells(book, node, &Grid::stepped(now_ms, 900_000, 15_000)),
        cpus: cpus(book, node),
        load: value("node_load1"),
        memory: total.zip(available).map(|(total, available)| round(1.0 - available / total)),
        memory_total: total,
        root: root_used(book, node),
        received: traffic("node_network_receive_bytes_total"),
        sent: traffic("node_network_transmit_bytes_total"),
        latency: worst.map(|t| (t.target.clone(), t.overall.last, t.overall.last_loss)),
        targets: targets.len(),
    }
}

fn root_used(book: &Book, node: &str) -> Option<f64> {
    let of = |name| {
        let track = book.of(name, node).find(|track| track.label("mountpoint") == "/");
        track.and_then(|track| track.last()).map(|point| point.value)
    };
    let (size, free) = (of("node_filesystem_size_bytes")?, of("node_filesystem_free_bytes")?);
    let available = of("node_filesystem_avail_bytes")?;
    let used = size - free;
    (used + available > 0.0).then(|| round(used / (used + available)))
}
