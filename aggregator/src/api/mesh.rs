//! `/api/v1/mesh`: which node sees which other one, and how: a cell for each, from the newest `netmesh_*` figures and the
//! round trips and paths to the same peers.

use std::collections::BTreeMap;

use serde::Serialize;

use super::grid::{Grid, round};
use crate::sink::embedded::Store;
use crate::sink::embedded::series::{Book, Track};

/// Figures that are older say nothing about now.
const FRESH_MS: i64 = 5 * 60_000;
/// Cells shown at most: those of two hundred nodes.
const MAX_CELLS: usize = 40_000;
/// Loss from which on a way is bad, and not only worth a look.
const BAD_LOSS: f64 = 0.2;
/// A direction that takes so much longer is worth a look, where that is also half of the round trip.
const SLOWER_SECONDS: f64 = 0.001;

/// All of it.
#[derive(Debug, Default, Serialize)]
pub struct Mesh {
    /// Those that measure or are measured, by zone and name.
    pub nodes: Vec<Member>,
    /// In order of node and peer.
    pub cells: Vec<Cell>,
    /// Cells left out because there are too many.
    pub left_out: usize,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Member {
    /// Zone, rack or site; may be empty.
    pub zone: String,
    /// Name.
    pub node: String,
}

/// What a node sees of a peer. Times in seconds.
#[derive(Debug, Default, Serialize)]
pub struct Cell {
    /// Who measures.
    pub node: String,
    /// Who is measured.
    pub peer: String,
    /// "good", "warn" or "bad".
    pub mood: &'static str,
    /// What is wrong, as sentences without a stop.
    pub why: Vec<String>,
    /// Median round trip of the newest round of pings; `None` where all were lost.
    pub rtt: Option<f64>,
    /// Share of them that were lost.
    pub loss: Option<f64>,
    /// The same of the UDP echoes.
    pub echo_rtt: Option<f64>,
    /// Share of them that were lost.
    pub echo_loss: Option<f64>,
    /// The peer's system clock less the node's.
    pub offset: Option<f64>,
    /// The offset is right within this.
    pub offset_bound: Option<f64>,
    /// How much longer each direction takes than it used to.
    pub forward: Option<f64>,
    /// Towards the node.
    pub backward: Option<f64>,
    /// Each direction by itself, where both clocks are declared synchronised.
    pub one_way: Option<f64>,
    /// Bytes.
    pub mtu: Option<f64>,
    /// Source ports tried.
    pub ports: Option<f64>,
    /// Dead among them.
    pub dead_ports: Option<f64>,
    /// TCP connections between the two.
    pub tcp_connections: Option<f64>,
    /// Share of TCP's segments that were sent again, in the time shown.
    pub tcp_again: Option<f64>,
    /// Hops to the peer.
    pub hops: Option<f64>,
}

/// A figure: its series, a label that the series must have, where it goes.
type Figure = (&'static str, Option<(&'static str, &'static str)>, fn(&mut Cell) -> &mut Option<f64>);

const FIGURES: [Figure; 14] = [
    ("ao_latency_round_seconds", Some(("stat", "median")), |cell| &mut cell.rtt),
    ("ao_latency_round_loss_ratio", None, |cell| &mut cell.loss),
    ("netmesh_echo_rtt_seconds", Some(("stat", "median")), |cell| &mut cell.echo_rtt),
    ("netmesh_echo_loss_ratio", None, |cell| &mut cell.echo_loss),
    ("netmesh_clock_offset_seconds", None, |cell| &mut cell.offset),
    ("netmesh_clock_offset_bound_seconds", None, |cell| &mut cell.offset_bound),
    ("netmesh_delay_change_seconds", Some(("direction", "forward")), |cell| &mut cell.forward),
    ("netmesh_delay_change_seconds", Some(("direction", "backward")), |cell| &mut cell.backward),
    ("netmesh_one_way_delay_seconds", Some(("direction", "forward")), |cell| &mut cell.one_way),
    ("netmesh_path_mtu_bytes", None, |cell| &mut cell.mtu),
    ("netmesh_ports", None, |cell| &mut cell.ports),
    ("netmesh_ports_dead", None, |cell| &mut cell.dead_ports),
    ("netmesh_tcp_connections", None, |cell| &mut cell.tcp_connections),
    ("mtr_report_count_hubs", None, |cell| &mut cell.hops),
];

/// By node and peer.
type Cells<'a> = BTreeMap<(&'a str, &'a str), Cell>;

/// Answers; an empty node stands for all of them.
pub fn of(store: &Store, node: &str, now_ms: i64, minutes: i64) -> Mesh {
    let book = store.series();
    let (mut cells, mut zones) = (Cells::new(), BTreeMap::<&str, &str>::new());
    for (name, label, place) in FIGURES {
        for track in book.of(name, node) {
            let (here, peer) = (track.node(), track.label("peer"));
            let is_meant = label.is_none_or(|(name, value)| track.label(name) == value);
            let Some(point) = track.last().filter(|point| now_ms - point.at_ms <= FRESH_MS) else { continue };
            if peer.is_empty() || !is_meant {
                continue;
            }
            for (node, zone) in [(here, track.label("zone")), (peer, track.label("peer_zone"))] {
                // Whatever series says it: the empty one sorts first.
                let known = zones.entry(node).or_default();
                *known = zone.max(*known);
            }
            *place(cells.entry((here, peer)).or_default()) = Some(round(point.value));
        }
    }
    let sent = grown(&book, "netmesh_tcp_segments_sent_total", node, now_ms, minutes);
    let again = grown(&book, "netmesh_tcp_segments_retransmitted_total", node, now_ms, minutes);
    let left_out = cells.len().saturating_sub(MAX_CELLS);
    let finished = cells.into_iter().take(MAX_CELLS).map(|((node, peer), mut cell)| {
        let of = |counts: &BTreeMap<(&str, &str), f64>| counts.get(&(node, peer)).copied();
        // Of a round without an answer no round trip is told, and an older one is none of the newest round.
        for (rtt, loss) in [(&mut cell.rtt, cell.loss), (&mut cell.echo_rtt, cell.echo_loss)] {
            *rtt = rtt.filter(|_| loss.is_none_or(|loss| loss < 1.0));
        }
        cell.tcp_again = of(&again).zip(of(&sent)).filter(|(_, sent)| *sent > 0.0).map(|(a, s)| round(a / s));
        (cell.node, cell.peer) = (node.to_owned(), peer.to_owned());
        judge(&mut cell);
        cell
    });
    let member = |(node, zone): (&str, &str)| Member { zone: zone.to_owned(), node: node.to_owned() };
    let mut nodes: Vec<Member> = zones.into_iter().map(member).collect();
    nodes.sort_unstable();
    Mesh { cells: finished.collect(), nodes, left_out }
}

/// By how much a counter has grown.
fn grown<'a>(
    book: &'a Book,
    name: &'a str,
    node: &'a str,
    now_ms: i64,
    minutes: i64,
) -> BTreeMap<(&'a str, &'a str), f64> {
    let grid = Grid::ending(now_ms, minutes);
    let growth = |track: &Track| grid.increase(track.points()).iter().map(|growth| growth.by).sum();
    book.of(name, node).map(|track| ((track.node(), track.label("peer")), growth(track))).collect()
}

/// What is wrong, the worst first.
fn judge(cell: &mut Cell) {
    let lossy = |loss: Option<f64>| loss.filter(|loss| *loss > 0.0);
    let mut bad = false;
    for (what, loss) in [("pings", cell.loss), ("UDP echoes", cell.echo_loss)] {
        if let Some(loss) = lossy(loss) {
            bad |= loss >= BAD_LOSS;
            // Whole percents; only none is 0 % and only all 100 %.
            let percent = if loss < 1.0 { (loss * 100.0).round().clamp(1.0, 99.0) } else { 100.0 };
            cell.why.push(format!("{percent} % of the {what} are lost"));
        }
    }
    if let (Some(dead), Some(ports)) = (cell.dead_ports.filter(|dead| *dead > 0.0), cell.ports) {
        bad = true;
        cell.why.push(format!("{dead} of {ports} source ports are dead: one of several paths is bad"));
    }
    for (direction, change) in [("towards the peer", cell.forward), ("back from the peer", cell.backward)] {
        let rtt = cell.echo_rtt.or(cell.rtt).unwrap_or_default();
        if let Some(change) = change.filter(|change| *change > SLOWER_SECONDS.max(rtt / 2.0)) {
            cell.why.push(format!("{:.1} ms longer {direction} than usual", change * 1e3));
        }
    }
    cell.mood = match (bad, cell.why.is_empty()) {
        (true, _) => "bad",
        (false, false) => "warn",
        (false, true) => "good",
    };
}
