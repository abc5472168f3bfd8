//! `/api/v1/paths`: the newest report of each path, hop by hop, from the `mtr_report_*` series.

use std::collections::BTreeMap;

use serde::Serialize;

use super::grid::{Cells, Grid, rounded};
use crate::sink::embedded::Store;
use crate::sink::embedded::series::{Book, Track};

const FIGURES: [&str; 6] = ["snt", "last", "avg", "best", "wrst", "stdev"];
const LOSS: &str = "mtr_report_loss";
const LINKS: &str = "netpath_link_flows";
/// Rounds of a path are farther apart, since agents ask no router more often; the series of one round carry one time, or
/// nearly, where another prober tells them.
const ROUND_MS: i64 = 1_000;
/// As many as a page shows.
const MAX_PATHS: usize = 100;
/// As many as go into the graph of all.
const ALL_PATHS: usize = 5_000;

/// All paths.
#[derive(Debug, Serialize)]
pub struct Paths {
    /// The grid of the hops' histories.
    pub grid: Grid,
    /// In order of node and target.
    pub paths: Vec<Path>,
    /// Paths left out because there are too many.
    pub left_out: usize,
}

/// The path from a node to a target.
#[derive(Clone, Debug, Serialize)]
pub struct Path {
    /// Where it begins.
    pub node: String,
    /// Where it leads.
    pub target: String,
    /// The node there, where it is one of the mesh; else empty.
    pub peer: String,
    /// When it was last reported, milliseconds.
    pub at_ms: i64,
    /// In order of their distance; two at one distance share the load.
    pub hops: Vec<Hop>,
    /// Where its flows went, all of them.
    pub links: Vec<Link>,
}

/// From one router to the next that answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Link {
    /// Distance of `to`.
    pub ttl: u32,
    /// Address; the name of the node where the path begins.
    pub from: String,
    /// Address.
    pub to: String,
    /// Hops between them that did not answer.
    pub silent: u32,
    /// Flows that took it.
    pub flows: u32,
}

/// One router, or the target.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Hop {
    /// Distance, from 1.
    pub ttl: u32,
    /// Its address; "???" where it never answered.
    pub host: String,
    /// Percent of probes without an answer.
    pub loss: f64,
    /// Probes sent.
    pub snt: Option<f64>,
    /// Milliseconds.
    pub last: Option<f64>,
    /// Milliseconds.
    pub avg: Option<f64>,
    /// Milliseconds.
    pub best: Option<f64>,
    /// Milliseconds.
    pub wrst: Option<f64>,
    /// Milliseconds.
    pub stdev: Option<f64>,
    /// `avg` over time, milliseconds.
    pub history: Cells,
}

/// What the series of one hop have in common.
type Key<'a> = (&'a str, &'a str, u32, &'a str);

/// Answers; an empty node stands for all of them.
pub fn of(store: &Store, node: &str, now_ms: i64, minutes: i64) -> Paths {
    newest(store, node, now_ms, minutes, MAX_PATHS)
}

/// All paths, without a history.
pub fn all(store: &Store, node: &str, now_ms: i64) -> Paths {
    newest(store, node, now_ms, 1, ALL_PATHS)
}

fn newest(store: &Store, node: &str, now_ms: i64, minutes: i64, most: usize) -> Paths {
    let grid = Grid::stepped(now_ms, minutes * 60_000, minutes * 1_000);
    let book = store.series();
    let mut figures: BTreeMap<(&str, Key<'_>), &Track> = BTreeMap::new();
    let names = FIGURES.map(|figure| (figure, format!("mtr_report_{figure}")));
    for (figure, name) in &names {
        figures.extend(book.of(name, node).map(|track| ((*figure, key(track)), track)));
    }
    let mut paths: BTreeMap<(&str, &str), Path> = BTreeMap::new();
    for track in newest_round(&book, node) {
        let Some(loss) = track.last() else { continue };
        let key @ (node, target, ttl, host) = key(track);
        // mtr's name for a router that never answered. Where nothing comes back the figures are zeroes that mean nothing.
        let answers = host != "???" && loss.value < 100.0;
        let figure = |name| figures.get(&(name, key)).and_then(|track| track.last()).map(|point| point.value);
        let history = figures.get(&("avg", key)).map(|track| rounded(grid.values(track.points())));
        let path = paths.entry((node, target)).or_insert_with(|| Path {
            node: node.to_owned(),
            target: target.to_owned(),
            peer: track.label("peer").to_owned(),
            at_ms: 0,
            hops: Vec::new(),
            links: Vec::new(),
        });
        path.at_ms = path.at_ms.max(loss.at_ms);
        path.hops.push(Hop {
            ttl,
            host: host.to_owned(),
            loss: loss.value,
            snt: figure("snt"),
            last: figure("last").filter(|_| answers),
            avg: figure("avg").filter(|_| answers),
            best: figure("best").filter(|_| answers),
            wrst: figure("wrst").filter(|_| answers),
            stdev: figure("stdev").filter(|_| answers),
            history: history.filter(|_| answers).unwrap_or_default(),
        });
    }
    for track in book.of(LINKS, node) {
        let path = paths.get_mut(&(track.node(), track.label("target")));
        let Some((path, newest)) = path.zip(track.last()) else { continue };
        if path.at_ms - newest.at_ms < ROUND_MS {
            path.links.push(link(track, newest.value));
        }
    }
    let left_out = paths.len().saturating_sub(most);
    let mut paths: Vec<Path> = paths.into_values().take(most).collect();
    for path in &mut paths {
        path.links.sort();
        path.hops.sort_by(|a, b| a.ttl.cmp(&b.ttl).then_with(|| a.host.cmp(&b.host)));
    }
    Paths { grid, paths, left_out }
}

/// The loss series of the newest round of each path: a hop that is no longer on it may not have ended yet.
fn newest_round<'a>(book: &'a Book, node: &'a str) -> impl Iterator<Item = &'a Track> {
    let at = |track: &Track| track.last().map_or(0, |point| point.at_ms);
    let mut newest: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for track in book.of(LOSS, node) {
        let known = newest.entry((track.node(), target(track))).or_default();
        *known = at(track).max(*known);
    }
    let of_round = move |track: &&Track| newest[&(track.node(), target(track))] - at(track) < ROUND_MS;
    book.of(LOSS, node).filter(of_round)
}

fn target(track: &Track) -> &str {
    track.labels().get("dst").unwrap_or_else(|| track.label("instance"))
}

fn link(track: &Track, flows: f64) -> Link {
    let number = |name| track.label(name).parse().unwrap_or(0);
    Link {
        ttl: number("ttl"),
        from: track.label("from").to_owned(),
        to: track.label("to").to_owned(),
        silent: number("silent"),
        flows: flows as u32,
    }
}

fn key(track: &Track) -> Key<'_> {
    let ttl = track.label("count").parse().unwrap_or(0);
    (track.node(), target(track), ttl, track.label("host"))
}
