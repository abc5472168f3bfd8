//! `/api/v1/topology`: nodes, routers and the links between them, from all paths together.
//!
//! | room | what it holds |
//! |---|---|
//! | `alias` | which addresses are one router |
//!
//! The answer has the field names of Grafana's node graph panel (`nodes`: id, title, subtitle, mainstat, secondarystat,
//! arc__*, detail__*; `edges`: id, source, target, mainstat, secondarystat, thickness, detail__*), so that a JSON data
//! source gives them to it as they are.

mod alias;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use super::grid::round;
use super::paths::{self, Hop, Path, Paths};
use crate::sink::embedded::Store;
use alias::Aliases;

/// mtr's name for a router that never answered.
const SILENT: &str = "???";
/// Grafana's panel shows no more.
const MAX_VERTICES: usize = 1500;
/// Of too many vertices the first of these are kept.
const KINDS: [&str; 4] = ["node", "target", "router", "silent router"];

/// The graph.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Topology {
    /// In order of their ids.
    pub nodes: Vec<Vertex>,
    /// In order of their ends.
    pub edges: Vec<Edge>,
    /// Vertices left out because there are too many: silent routers first, then routers that few paths lead through.
    pub left_out: usize,
    /// Links left out with them.
    pub links_left_out: usize,
    /// Paths that went in not at all because there are too many.
    pub paths_left_out: usize,
}

/// A node, a router or a target.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Vertex {
    /// `node:NAME`, `ip:ADDRESS`, for a router that never answers `*(BEFORE|BEHIND)`, for a target of which no address is
    /// known `host:NAME`.
    pub id: String,
    /// For people.
    pub title: String,
    /// "node", "target", "router" or "silent router".
    pub subtitle: &'static str,
    /// Least mean round trip to it from wherever it is seen, milliseconds.
    pub mainstat: Option<f64>,
    /// Loss that persists behind it, percent: what a router does not answer itself, it may yet forward.
    pub secondarystat: f64,
    /// Share of what arrives; both make one.
    #[serde(rename = "arc__ok")]
    pub arc_ok: f64,
    /// Share of what is lost.
    #[serde(rename = "arc__loss")]
    pub arc_loss: f64,
    /// All its addresses.
    #[serde(rename = "detail__addresses")]
    pub addresses: String,
    /// Paths that lead through it or end at it.
    #[serde(rename = "detail__paths")]
    pub paths: usize,
}

/// A link, in the direction of the probes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Edge {
    /// Both ends.
    pub id: String,
    /// Vertex.
    pub source: String,
    /// Vertex.
    pub target: String,
    /// How much the mean round trip grows over it, the least of all paths, milliseconds.
    pub mainstat: Option<f64>,
    /// Loss that begins at it and persists, percent, the most of all paths.
    pub secondarystat: f64,
    /// For drawing: more with more flows.
    pub thickness: f64,
    /// Paths that use it.
    #[serde(rename = "detail__paths")]
    pub paths: usize,
    /// Flows of all paths that use it.
    #[serde(rename = "detail__flows")]
    pub flows: u32,
}

/// What one path says of a link: how much the round trip grows, the loss that begins there, the flows.
type Step = (Option<f64>, f64, u32);

/// The graph of all paths, made where it is in nobody's way: thousands of paths take a good part of a second.
pub async fn answer(store: Store, node: String, now_ms: i64) -> Topology {
    let graph = tokio::task::spawn_blocking(move || of(&paths::all(&store, &node, now_ms)));
    // It fails only where the runtime ends.
    graph.await.unwrap_or_default()
}

/// Builds the graph.
fn of(found: &Paths) -> Topology {
    let paths = &found.paths;
    let aliases = Aliases::of(paths);
    let names = names(paths);
    let mut graph = Graph::default();
    for path in paths {
        graph.add(path, &aliases, &names);
    }
    Topology { paths_left_out: found.left_out, ..graph.finish() }
}

/// The nodes of the mesh by their addresses.
fn names(paths: &[Path]) -> BTreeMap<&str, &str> {
    paths
        .iter()
        .filter(|path| !path.peer.is_empty())
        .map(|path| (path.target.as_str(), path.peer.as_str()))
        .collect()
}

#[derive(Default)]
struct Graph {
    vertices: BTreeMap<String, (Vertex, BTreeSet<String>)>,
    edges: BTreeMap<(String, String), Edge>,
}

impl Graph {
    fn add(&mut self, path: &Path, aliases: &Aliases, names: &BTreeMap<&str, &str>) {
        let start = Vertex {
            id: format!("node:{}", path.node),
            title: path.node.clone(),
            subtitle: "node",
            mainstat: Some(0.0),
            ..Vertex::default()
        };
        let mut met = BTreeSet::from([start.id.clone()]);
        let mut steps: BTreeMap<(String, String), Step> = BTreeMap::new();
        // The last that answered, and those at the distance before.
        let mut from = start.id.clone();
        let mut before = vec![(start.id.clone(), 0.0)];
        self.see(start, None, true);
        let mut lost_before = 0.0;
        let distances: Vec<&[Hop]> = path.hops.chunk_by(|a, b| a.ttl == b.ttl).collect();
        for (nth, hops) in distances.iter().enumerate() {
            // What later hops answer was not lost on the way to an earlier one.
            let lost = distances[nth..].iter().map(|hops| loss(hops)).fold(100.0, f64::min);
            let mut here = Vec::new();
            for hop in *hops {
                let last = nth + 1 == distances.len();
                let mut vertex = if hop.host == SILENT && !last {
                    let mut behind = distances[nth + 1..].iter().flat_map(|hops| hops.iter());
                    let behind = behind.find(|hop| hop.host != SILENT).map_or(&path.target, |hop| &hop.host);
                    silent(&from, &aliases.name(behind))
                } else {
                    vertex(path, &hop.host, last, aliases, names)
                };
                (vertex.mainstat, vertex.secondarystat) = (hop.avg.map(round), lost);
                for (from, avg) in &before {
                    let grows = hop.avg.map(|here| round(here - avg));
                    steps
                        .insert((from.clone(), vertex.id.clone()), (grows, (lost - lost_before).max(0.0), 0));
                }
                here.push((vertex.id.clone(), hop.avg.unwrap_or_else(|| before[0].1)));
                let is_first = met.insert(vertex.id.clone());
                self.see(vertex, Some(&hop.host), is_first);
            }
            if hops[0].host != SILENT {
                from.clone_from(&here[0].0);
            }
            (before, lost_before) = (here, lost);
        }
        // Where the canonical flow does not lead, nothing is known but that others do.
        for link in &path.links {
            let place = |host: &str| vertex(path, host, host == path.target, aliases, names);
            let from =
                if link.from == path.node { format!("node:{}", path.node) } else { place(&link.from).id };
            let to = place(&link.to);
            let between = (link.silent > 0).then(|| silent(&from, &aliases.name(&link.to)));
            let mut from = from;
            for (vertex, address) in
                between.map(|vertex| (vertex, SILENT)).into_iter().chain([(to, &*link.to)])
            {
                let id = vertex.id.clone();
                steps.entry((std::mem::replace(&mut from, id.clone()), id.clone())).or_default().2 +=
                    link.flows;
                if met.insert(id) {
                    self.see(vertex, Some(address), true);
                }
            }
        }
        for (ends, step) in steps {
            self.link(ends, step);
        }
    }

    /// `is_first`: the path has not met it before, as it has where routers side by side are silent, or in a loop.
    fn see(&mut self, seen: Vertex, address: Option<&str>, is_first: bool) {
        let (vertex, addresses) =
            self.vertices.entry(seen.id.clone()).or_insert_with(|| (seen.clone(), BTreeSet::new()));
        // A target on the way to others is a router; a target's name says more than an address.
        if seen.subtitle == "router" && vertex.subtitle == "target" {
            vertex.subtitle = seen.subtitle;
        }
        if seen.title.parse::<IpAddr>().is_err() {
            vertex.title = seen.title;
        }
        vertex.mainstat = least(vertex.mainstat, seen.mainstat);
        vertex.secondarystat = vertex.secondarystat.max(seen.secondarystat);
        vertex.paths += usize::from(is_first);
        addresses.extend(address.filter(|address| *address != SILENT).map(str::to_owned));
    }

    fn link(&mut self, ends: (String, String), (grows, lost, flows): Step) {
        if ends.0 == ends.1 {
            return;
        }
        let edge = self.edges.entry(ends).or_default();
        edge.mainstat = least(edge.mainstat, grows);
        edge.secondarystat = edge.secondarystat.max(lost);
        edge.paths += 1;
        // A path that tells no flows is the one of the canonical flow.
        edge.flows += flows.max(1);
    }

    fn finish(self) -> Topology {
        let left_out = self.vertices.len().saturating_sub(MAX_VERTICES);
        let mut vertices: Vec<_> = self.vertices.into_values().collect();
        if left_out > 0 {
            let rank = |kind| KINDS.iter().position(|known| *known == kind);
            vertices.sort_by_key(|(vertex, _)| (rank(vertex.subtitle), Reverse(vertex.paths)));
            vertices.truncate(MAX_VERTICES);
            vertices.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
        }
        let nodes: Vec<Vertex> = vertices
            .into_iter()
            .map(|(mut vertex, addresses)| {
                vertex.addresses = addresses.into_iter().collect::<Vec<_>>().join(", ");
                vertex.arc_loss = vertex.secondarystat / 100.0;
                vertex.arc_ok = 1.0 - vertex.arc_loss;
                vertex
            })
            .collect();
        let known: BTreeSet<&str> = nodes.iter().map(|vertex| vertex.id.as_str()).collect();
        let both_known = |(from, to): &(String, String)| known.contains(&**from) && known.contains(&**to);
        let before = self.edges.len();
        let edges = self.edges.into_iter().filter(|(ends, _)| both_known(ends));
        let edges = edges.map(|((source, target), edge)| Edge {
            id: format!("{source}>{target}"),
            thickness: round(1.0 + f64::from(edge.flows).log2()),
            source,
            target,
            ..edge
        });
        let edges: Vec<Edge> = edges.collect();
        Topology { links_left_out: before - edges.len(), paths_left_out: 0, edges, nodes, left_out }
    }
}

fn least(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).reduce(f64::min)
}

fn loss(hops: &[Hop]) -> f64 {
    hops.iter().map(|hop| hop.loss).fold(100.0, f64::min)
}

/// Who is at an address; [`SILENT`] only for a target.
fn vertex(path: &Path, host: &str, last: bool, aliases: &Aliases, names: &BTreeMap<&str, &str>) -> Vertex {
    let is_silent = host == SILENT;
    let address = if is_silent { path.target.as_str() } else { host };
    if let Some(node) = names.get(address) {
        return Vertex {
            id: format!("node:{node}"),
            title: (*node).to_owned(),
            subtitle: "node",
            ..Vertex::default()
        };
    }
    let name = aliases.name(address);
    let kind = if address.parse::<IpAddr>().is_ok() { "ip" } else { "host" };
    // Where a name leads, the name is what people know.
    let ends_here = last && (is_silent || host == path.target || path.target.parse::<IpAddr>().is_err());
    let (title, subtitle) =
        if ends_here { (path.target.clone(), "target") } else { (name.clone(), "router") };
    Vertex { id: format!("{kind}:{name}"), title, subtitle, ..Vertex::default() }
}

/// Routers that do not answer are who stands between those who do.
fn silent(before: &str, behind: &str) -> Vertex {
    let id = format!("*({before}|{behind})");
    Vertex { id, title: "*".to_owned(), subtitle: "silent router", ..Vertex::default() }
}

#[cfg(test)]
mod tests;
