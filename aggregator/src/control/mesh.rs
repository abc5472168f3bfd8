//! Who measures whom: a pure function of the nodes that there are, so that all replicas plan the same, and a node that
//! comes or goes changes few of the others' peers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ao_common::units::Span;
use ao_proto::v1::{Directives, Peer, Target};
use serde::Deserialize;

use crate::nodes::{Node, Reach};

/// Section `control.mesh`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whether nodes measure each other.
    pub enabled: bool,
    /// In a cluster of at most as many nodes each measures all others.
    pub full: usize,
    /// Beyond that each measures so many others, chosen by rendezvous hash.
    pub peers: usize,
    /// And one node of each zone one of each other zone. In a cluster of any size these are the first whose paths are traced.
    pub zone_pairs: bool,
    /// To how many of its peers a node traces the path, too; ways to the others have no path. As many as there are peers is
    /// a path in each cell.
    pub paths: usize,
    /// A node that was silent for so long is left out. Until then it is measured: that is how one sees that it is away. One
    /// at whose address another one speaks is left out after a minute.
    pub forget: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self { enabled: true, full: 50, peers: 10, zone_pairs: true, paths: 50, forget: Span::secs(3600) }
    }
}

/// A node of the mesh: its cluster and name, and how the others reach it.
pub(super) type Member = (Node, Reach);

/// A plan of who measures whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mesh {
    members: Vec<Member>,
    /// By the members' places.
    links: Vec<Links>,
    paths: usize,
}

/// Places of members.
#[derive(Clone, Debug, Default, PartialEq)]
struct Links {
    /// Whom it measures: those of zone pairs, then the best first.
    peers: Vec<usize>,
    /// By whom it is measured.
    askers: Vec<usize>,
}

impl Mesh {
    /// Plans. Nodes of different clusters do not know each other, nor do those of different address families: an agent tells
    /// one address, and only from and to such ones the peers answer. Takes time by the square of a cluster's nodes.
    pub fn plan(config: &Config, mut members: Vec<Member>) -> Self {
        if !config.enabled {
            return Self::default();
        }
        members.sort_unstable();
        members.dedup_by(|a, b| a.0 == b.0);
        let mut links = vec![Links::default(); members.len()];
        let places: Vec<usize> = (0..members.len()).collect();
        for cluster in places.chunk_by(|a, b| members[*a].0.0 == members[*b].0.0) {
            for &place in cluster {
                links[place].peers = ranked(&members, place, cluster);
            }
            if cluster.len() > config.full.max(1) {
                cluster.iter().for_each(|place| links[*place].peers.truncate(config.peers));
            }
            // The one peer of another zone comes before those of which there are many.
            let pairs = if config.zone_pairs { zone_pairs(&members, cluster) } else { Vec::new() };
            for (from, to) in pairs {
                links[from].peers.retain(|peer| *peer != to);
                links[from].peers.insert(0, to);
            }
        }
        for place in places {
            for peer in links[place].peers.clone() {
                links[peer].askers.push(place);
            }
        }
        Self { members, links, paths: config.paths }
    }

    /// Adds what a node is to do for it: round trips and paths as to any other target, and the peers for what only two
    /// agents can measure.
    pub fn direct(&self, cluster: &str, node: &str, directives: &mut Directives) {
        let Some(place) = self.place(cluster, node) else { return };
        let zone = &self.members[place].1.zone;
        let target = |((_, peer), reach): &Member| Target {
            host: reach.address.to_string(),
            labels: BTreeMap::from([
                ("peer".to_owned(), peer.clone()),
                ("peer_zone".to_owned(), reach.zone.clone()),
                ("zone".to_owned(), zone.clone()),
            ]),
        };
        let links = &self.links[place];
        add(&mut directives.latency, self.all(&links.peers).map(target));
        add(&mut directives.paths, self.all(&links.peers).take(self.paths).map(target));
        let peer = |((_, node), reach): &Member| Peer {
            node: node.clone(),
            zone: reach.zone.clone(),
            address: reach.address.to_string(),
            port: reach.port.into(),
            synchronised: reach.synchronised,
        };
        directives.peers = self.all(&links.peers).map(peer).collect();
        let askers: BTreeSet<IpAddr> = self.all(&links.askers).map(|(_, reach)| reach.address).collect();
        directives.askers = askers.iter().map(IpAddr::to_string).collect();
        if !links.peers.is_empty() {
            directives.address = self.members[place].1.address.to_string();
        }
    }

    fn place(&self, cluster: &str, node: &str) -> Option<usize> {
        let order = |((of, name), _): &Member| (of.as_str(), name.as_str()).cmp(&(cluster, node));
        self.members.binary_search_by(order).ok()
    }

    fn all<'a>(&'a self, places: &'a [usize]) -> impl Iterator<Item = &'a Member> {
        places.iter().map(|place| &self.members[*place])
    }
}

/// A host that is a target already keeps its own labels beside the mesh's.
fn add(targets: &mut Vec<Target>, peers: impl Iterator<Item = Target>) {
    for peer in peers {
        match targets.iter_mut().find(|target| target.host == peer.host) {
            Some(target) => {
                for (name, value) in peer.labels {
                    target.labels.entry(name).or_insert(value);
                }
            }
            None => targets.push(peer),
        }
    }
}

/// The others of a cluster that it can reach, the heaviest first. Those at a node's own address are itself by another
/// name.
fn ranked(members: &[Member], of: usize, cluster: &[usize]) -> Vec<usize> {
    let ((_, me), reach) = &members[of];
    let reachable = |other: &usize| {
        let address = members[*other].1.address;
        address != reach.address && address.is_ipv4() == reach.address.is_ipv4()
    };
    let others = cluster.iter().copied().filter(reachable);
    let mut ranked: Vec<(u64, usize)> =
        others.map(|other| (weight(&[me, &members[other].0.1]), other)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.into_iter().map(|(_, other)| other).collect()
}

/// For each zone and each other one: a node that measures, and the one that it measures; for each address family that
/// both have.
fn zone_pairs(members: &[Member], cluster: &[usize]) -> Vec<(usize, usize)> {
    let mut zones = BTreeMap::<(bool, &str), Vec<usize>>::new();
    for &place in cluster {
        let reach = &members[place].1;
        zones.entry((reach.address.is_ipv4(), &reach.zone)).or_default().push(place);
    }
    let elect = |places: &[usize], role: &str, of: &str, other: &str| {
        places.iter().copied().max_by_key(|place| (weight(&[role, of, other, &members[*place].0.1]), *place))
    };
    let mut pairs = Vec::new();
    for ((family, from), here) in &zones {
        for ((_, to), there) in zones.iter().filter(|((of, to), _)| of == family && to != from) {
            let (measures, measured) = (elect(here, "from", from, to), elect(there, "to", from, to));
            pairs.extend(measures.zip(measured));
        }
    }
    pairs
}

/// Rendezvous hash: FNV-1a, its bits mixed (names that differ in their last character must not lie side by side).
fn weight(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0xff]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests;
