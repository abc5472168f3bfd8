//! `/api/v1/latency`: the distribution of round trips over time, for each target, as a smoke graph is drawn from.
//!
//! It is read from `smokeping_response_duration_seconds` and `smokeping_requests_total`, so that it holds for whatever
//! prober feeds these. Their buckets double, which is coarse: where `ao_latency_round_seconds` gives least, median and
//! largest round trip of each round, the quantiles are brought in line with these.

use std::collections::BTreeMap;

use ao_proto::model::Labels;
use serde::Serialize;

use super::grid::{Cells, Grid, Growth, round};
use crate::sink::embedded::Store;
use crate::sink::embedded::series::{Book, Track};

mod quantile;

pub use quantile::Histogram;

const BUCKETS: &str = "smokeping_response_duration_seconds_bucket";
const REQUESTS: &str = "smokeping_requests_total";
const ROUNDS: &str = "ao_latency_round_seconds";
const STARVED: &str = "ao_latency_starved_rounds_total";
const PROBER: &str = "ao_probe_info";
/// A round of pings takes so long by default; its figures are known at its end.
const ROUND_MS: i64 = 60_000;
/// Smallest, then the edges of the smoke's bands around the median, then largest.
const QUANTILES: [f64; 9] = [0.0, 0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0];
const MEDIAN: usize = 4;
const MAX_TARGETS: usize = 200;
/// A ping's share of a column, where its export covers many; less is an error of arithmetic.
const LEAST_LOSS: f64 = 1e-3;

/// All targets.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// The grid of all columns.
    pub grid: Grid,
    /// The quantiles of each column's `seconds`.
    pub quantiles: [f64; 9],
    /// In order of node and target.
    pub targets: Vec<Target>,
    /// Targets left out because there are too many.
    pub left_out: usize,
}

/// One target as seen from one node.
#[derive(Debug, Serialize)]
pub struct Target {
    /// Where the requests start.
    pub node: String,
    /// Where they go.
    pub target: String,
    /// Its address.
    pub address: String,
    /// How the node's agent asks by ICMP: "raw" (raw sockets), "ping" (ping sockets), "connect" (without ICMP); empty
    /// where it does not say.
    pub mode: String,
    /// What else the series say: protocol, source, own labels.
    pub labels: BTreeMap<String, String>,
    /// One per cell: round trips in seconds by quantile; `None` without answers.
    pub seconds: Vec<Option<[f64; 9]>>,
    /// One per cell: requests sent.
    pub sent: Vec<f64>,
    /// One per cell: share of requests without an answer; `None` without requests.
    pub loss: Vec<Option<f64>>,
    /// One per cell: whether a round of it was one for which the prober had not the time or the room that it needs.
    pub starved: Vec<bool>,
    /// Over all columns.
    pub overall: Summary,
}

/// All columns together.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Requests.
    pub sent: f64,
    /// Share of them without an answer.
    pub loss: Option<f64>,
    /// Seconds.
    pub median: Option<f64>,
    /// Seconds.
    pub p95: Option<f64>,
    /// Least and largest median of a column, seconds.
    pub medians: Option<(f64, f64)>,
    /// The newest column's median, seconds.
    pub last: Option<f64>,
    /// The newest column's loss.
    pub last_loss: Option<f64>,
}

/// Answers; an empty node stands for all of them.
pub fn of(store: &Store, node: &str, now_ms: i64, minutes: i64) -> Latency {
    let (span, step) = if minutes <= 5 {
        (300_000, 15_000)
    } else if minutes <= 15 {
        (900_000, 30_000)
    } else {
        (1_800_000, 60_000)
    };
    targets(&store.series(), node, Grid::stepped(now_ms, span, step))
}

/// All targets on a grid.
pub(super) fn targets(book: &Book, node: &str, grid: Grid) -> Latency {
    let mut histograms: BTreeMap<Labels, Histogram> = BTreeMap::new();
    for track in book.of(BUCKETS, node) {
        let Some(le) = upper_bound(track) else { continue };
        histograms.entry(identity(track)).or_default().add(le, grid.increase(track.points()));
    }
    let mut requests: BTreeMap<Labels, Vec<Growth>> = BTreeMap::new();
    for track in book.of(REQUESTS, node) {
        requests.insert(identity(track), grid.increase(track.points()));
    }
    let mut rounds: BTreeMap<Labels, Rounds> = BTreeMap::new();
    for track in book.of(ROUNDS, node) {
        let cells = grid.values(track.points());
        match (track.label("stat"), rounds.entry(identity(track)).or_default()) {
            ("min", rounds) => rounds.min = cells,
            ("median", rounds) => rounds.median = cells,
            ("max", rounds) => rounds.max = cells,
            _ => {}
        }
    }
    for track in book.of(STARVED, node) {
        let grown = grid.increase(track.points());
        rounds.entry(identity(track)).or_default().starved =
            grown.iter().map(|grown| grown.by > 0.0).collect();
    }
    let modes: BTreeMap<&str, &str> =
        book.of(PROBER, node).map(|track| (track.node(), track.label("mode"))).collect();
    let left_out = requests.len().saturating_sub(MAX_TARGETS);
    let (none, no_rounds) = (Histogram::default(), Rounds::default());
    let targets = requests.into_iter().take(MAX_TARGETS);
    let mut targets: Vec<Target> = targets
        .map(|(labels, sent)| {
            let rounds = rounds.get(&labels).unwrap_or(&no_rounds);
            target(&labels, &sent, histograms.get(&labels).unwrap_or(&none), rounds, &grid)
        })
        .collect();
    for target in &mut targets {
        target.mode = modes.get(&*target.node).copied().unwrap_or_default().to_owned();
    }
    targets.sort_by(|a, b| (&a.node, &a.target, &a.labels).cmp(&(&b.node, &b.target, &b.labels)));
    Latency { grid, quantiles: QUANTILES, targets, left_out }
}

/// Figures of the newest round, cell by cell.
#[derive(Default)]
struct Rounds {
    min: Cells,
    median: Cells,
    max: Cells,
    starved: Vec<bool>,
}

impl Rounds {
    /// Least, median and largest of the rounds that a cell's pings belong to: those that ended in it or soon after.
    fn of(&self, cell: usize, grid: &Grid) -> Option<[f64; 3]> {
        let ahead = usize::try_from(ROUND_MS / grid.step_ms).unwrap_or(0);
        let near = |cells: &Cells| -> Vec<f64> {
            cells.iter().skip(cell).take(ahead + 1).flatten().copied().collect()
        };
        let (min, max) = (near(&self.min), near(&self.max));
        let medians = near(&self.median);
        let median = medians.get(ahead / 2).or(medians.last())?;
        Some([min.into_iter().reduce(f64::min)?, *median, max.into_iter().reduce(f64::max)?])
    }
}

/// Brings bucket quantiles in line with a round's figures, unless these are of another time: then the medians lie
/// farther apart than a bucket is wide.
fn sharpen(quantiles: [f64; 9], of_round: Option<[f64; 3]>) -> [f64; 9] {
    let Some([min, median, max]) = of_round else { return quantiles };
    let near = quantiles[MEDIAN] / 2.0..=quantiles[MEDIAN] * 2.0;
    if !near.contains(&median) {
        return quantiles;
    }
    let mut sharp = quantiles.map(|value| value.clamp(min, max.max(min)));
    for (i, value) in sharp.iter_mut().enumerate() {
        *value = if i < MEDIAN { value.min(median) } else { value.max(median) };
    }
    sharp[MEDIAN] = median;
    (sharp[0], sharp[8]) = (min, max);
    sharp.map(round)
}

fn target(labels: &Labels, sent: &[Growth], histogram: &Histogram, rounds: &Rounds, grid: &Grid) -> Target {
    let seconds: Vec<Option<[f64; 9]>> = (0..grid.cells)
        .map(|cell| {
            let quantiles = histogram.quantiles(cell..cell + 1, &QUANTILES)?;
            Some(sharpen(quantiles, rounds.of(cell, grid)))
        })
        .collect();
    // Our agent counts a ping once its answer or loss is known. Other probers, which tell nothing of rounds, count a request
    // when it is sent, so that its answer may fall into the next column.
    let least = if rounds.starved.is_empty() { 1.0 } else { LEAST_LOSS };
    let share_lost = |sent, cells| share_lost(sent, histogram.count(cells), least);
    let loss: Vec<Option<f64>> =
        (0..grid.cells).map(|cell| share_lost(sent[cell].by, cell..cell + 1)).collect();
    let all = histogram.quantiles(0..grid.cells, &[0.5, 0.95]);
    let total: f64 = sent.iter().map(|growth| growth.by).sum();
    let medians = seconds.iter().flatten().map(|q| q[MEDIAN]);
    let overall = Summary {
        sent: total.round(),
        loss: share_lost(total, 0..grid.cells),
        median: middle(&seconds).or(all.map(|q| q[0])),
        // The bucket's quantile may lie above the largest round trip that the rounds know.
        p95: all.map(|q| seconds.iter().flatten().map(|q| q[8]).fold(0.0, f64::max).min(q[1])),
        medians: medians.fold(None, |range: Option<(f64, f64)>, median| {
            Some(range.map_or((median, median), |(low, high)| (low.min(median), high.max(median))))
        }),
        last: seconds.iter().rev().find_map(|q| q.map(|q| q[MEDIAN])),
        last_loss: loss.iter().rev().find_map(|loss| *loss),
    };
    let known = ["node", "host", "ip", "job", "instance", "cluster", "tos", "source"];
    let text = |name| labels.get(name).unwrap_or_default().to_owned();
    let host = labels.get("host").or(labels.get("instance")).unwrap_or_default().to_owned();
    Target {
        node: text("node"),
        target: host,
        address: text("ip"),
        mode: String::new(),
        labels: labels
            .iter()
            .filter(|(name, _)| !known.contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        seconds,
        sent: sent.iter().map(|growth| round(growth.by)).collect(),
        loss,
        starved: if rounds.starved.is_empty() { vec![false; grid.cells] } else { rounds.starved.clone() },
        overall,
    }
}

/// The median of the columns' medians.
fn middle(columns: &[Option<[f64; 9]>]) -> Option<f64> {
    let mut medians: Vec<f64> = columns.iter().flatten().map(|q| q[MEDIAN]).collect();
    medians.sort_by(f64::total_cmp);
    medians.get(medians.len() / 2).copied()
}

/// Less than `least` requests are no loss.
fn share_lost(sent: f64, answered: f64, least: f64) -> Option<f64> {
    if sent < 0.5 {
        return None;
    }
    let lost = sent - answered;
    Some(if lost < least - 1e-6 { 0.0 } else { round((lost / sent).clamp(0.0, 1.0)) })
}

fn upper_bound(track: &Track) -> Option<f64> {
    match track.label("le") {
        "+Inf" => Some(f64::INFINITY),
        le => le.parse().ok().filter(|le: &f64| *le > 0.0),
    }
}

/// What a target's series have in common.
fn identity(track: &Track) -> Labels {
    Labels::from_pairs(track.labels().iter().filter(|(name, _)| !["le", "stat", "__name__"].contains(name)))
}
