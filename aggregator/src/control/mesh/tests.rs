//! Meshes of all sizes.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

fn member(n: usize, zones: usize) -> Member {
    let reach = Reach {
        address: Ipv4Addr::from(0x0a00_0001 + n as u32).into(),
        port: 4418,
        zone: format!("zone-{}", n % zones),
        synchronised: false,
    };
    (("blue".to_owned(), format!("node-{n}")), reach)
}

fn mesh(nodes: usize, zones: usize) -> Mesh {
    Mesh::plan(&Config::default(), (0..nodes).map(|n| member(n, zones)).collect())
}

/// Scenario: clusters up to the limit of a full mesh, and beyond it.
/// Guarantees: all others, then as many as configured and one node of each zone to each other zone; nobody measures
/// itself, nobody twice; whoever is measured knows by whom.
#[test]
fn sizes() {
    for nodes in [0, 1, 2, 50] {
        let mesh = mesh(nodes, 3);
        assert!(mesh.links.iter().all(|links| links.peers.len() == nodes - 1), "{nodes}");
        assert!(mesh.links.iter().all(|links| links.askers.len() == nodes - 1), "{nodes}");
    }
    let mesh = mesh(1000, 5);
    let mut zones = BTreeSet::new();
    for (place, links) in mesh.links.iter().enumerate() {
        assert!((10..=10 + 4).contains(&links.peers.len()), "{}", links.peers.len());
        let distinct: BTreeSet<_> = links.peers.iter().collect();
        assert!(distinct.len() == links.peers.len() && !distinct.contains(&place));
        for peer in &links.peers {
            zones.insert((&mesh.members[place].1.zone, &mesh.members[*peer].1.zone));
            assert!(mesh.links[*peer].askers.contains(&place));
        }
    }
    assert_eq!(zones.len(), 25, "each zone is measured from each");
    let most = mesh.links.iter().map(|links| links.askers.len()).max();
    assert!(most < Some(40), "nobody is measured by a crowd: {most:?}");
}

/// Scenario: clusters of many peers in five zones, and fewer paths than peers.
/// Guarantees: the paths between zones are traced before others, and as many as the limit says.
#[test]
fn paths_of_zone_pairs_first() {
    for nodes in [50, 300] {
        for paths in [10, 100] {
            let config = Config { paths, ..Config::default() };
            let mesh = Mesh::plan(&config, (0..nodes).map(|n| member(n, 5)).collect());
            let mut zones = BTreeSet::new();
            for (place, ((_, node), reach)) in mesh.members.iter().enumerate() {
                let mut directives = Directives::default();
                mesh.direct("blue", node, &mut directives);
                assert_eq!(directives.paths.len(), mesh.links[place].peers.len().min(paths));
                zones.extend(
                    directives.paths.into_iter().map(|path| (&reach.zone, path.labels["peer_zone"].clone())),
                );
            }
            assert_eq!(zones.iter().filter(|(from, to)| *from != to).count(), 20, "{nodes} {paths}");
            let pairs = zone_pairs(&mesh.members, &(0..nodes).collect::<Vec<_>>());
            for (from, to) in pairs {
                let first = mesh.links[from].peers.iter().take(paths);
                assert!(first.clone().any(|peer| *peer == to), "{nodes} {paths}");
            }
        }
    }
}

/// Scenario: a node leaves a cluster of 200.
/// Guarantees: the others keep all their other peers; one more takes its place.
#[test]
fn few_peers_change() {
    let config = Config { zone_pairs: false, ..Config::default() };
    let all: Vec<Member> = (0..200).map(|n| member(n, 1)).collect();
    let before = Mesh::plan(&config, all.clone());
    let after = Mesh::plan(&config, all.iter().filter(|m| m.0.1 != "node-7").cloned().collect());
    for member in all.iter().filter(|m| m.0.1 != "node-7") {
        let names = |mesh: &Mesh| -> BTreeSet<String> {
            let mut directives = Directives::default();
            mesh.direct("blue", &member.0.1, &mut directives);
            directives.peers.into_iter().map(|peer| peer.node).collect()
        };
        let (old, new) = (names(&before), names(&after));
        let gone: Vec<_> = old.difference(&new).collect();
        assert!(gone.is_empty() || gone == ["node-7"], "{gone:?}");
        assert_eq!(new.len(), 10);
    }
}

/// Scenario: small and large clusters in three zones of which every fourth node tells an IPv6 address, the others one of
/// IPv4.
/// Guarantees: nobody measures whom it cannot reach from its own address; within a family it is as with one.
#[test]
fn families() {
    for (nodes, least) in [(12, 3), (90, 10)] {
        let of = |n: usize| {
            let mut member = member(n, 3);
            if n % 4 == 3 {
                member.1.address = Ipv6Addr::from(0xfd00_u128 << 112 | n as u128).into();
            }
            member
        };
        let mesh = Mesh::plan(&Config::default(), (0..nodes).map(of).collect());
        let (mut zones, address) = (BTreeSet::new(), |place: usize| mesh.members[place].1.address);
        for (place, links) in mesh.links.iter().enumerate() {
            let family = (0..nodes).filter(|of| address(*of).is_ipv4() == address(place).is_ipv4()).count();
            assert!(links.peers.len() >= least.min(family - 1), "{}", links.peers.len());
            for peer in &links.peers {
                assert_eq!(address(place).is_ipv4(), address(*peer).is_ipv4());
                let zone = |place: usize| &mesh.members[place].1.zone;
                zones.insert((address(place).is_ipv4(), zone(place), zone(*peer)));
            }
        }
        assert_eq!(zones.len(), if nodes > 50 { 18 } else { 9 + 6 });
    }
}

/// Scenario: two clusters; a node under two names; a mesh that is switched off; a peer that is a target already.
/// Guarantees: clusters are by themselves; nobody measures its own address; nothing where it is off; a target has both
/// its own labels and the mesh's, and is there once.
#[test]
fn what_a_node_is_told() {
    let mut members: Vec<Member> = (0..3).map(|n| member(n, 2)).collect();
    members.push((("green".to_owned(), "node-1".to_owned()), member(1, 1).1));
    members.push((("blue".to_owned(), "alias".to_owned()), member(0, 1).1));
    let mesh = Mesh::plan(&Config::default(), members.clone());
    let known =
        Target { host: "10.0.0.2".to_owned(), labels: BTreeMap::from([("zone".into(), "mine".into())]) };
    let mut directives = Directives { latency: vec![known], ..Directives::default() };
    mesh.direct("blue", "node-0", &mut directives);
    let hosts: Vec<&str> = directives.latency.iter().map(|target| target.host.as_str()).collect();
    assert_eq!((hosts.len(), hosts[0]), (2, "10.0.0.2"), "{hosts:?}");
    let labels = &directives.latency[0].labels;
    assert_eq!((labels["zone"].as_str(), labels["peer"].as_str()), ("mine", "node-1"));
    let mut peers: Vec<&str> = directives.peers.iter().map(|peer| peer.node.as_str()).collect();
    peers.sort_unstable();
    assert_eq!(peers, ["node-1", "node-2"]);
    assert_eq!(directives.askers, ["10.0.0.2", "10.0.0.3"]);
    assert_eq!((directives.paths.len(), directives.address.as_str()), (2, "10.0.0.1"));
    let mut alone = Directives::default();
    mesh.direct("green", "node-1", &mut alone);
    mesh.direct("blue", "unknown", &mut alone);
    assert_eq!(alone, Directives::default());
    let off = Mesh::plan(&Config { enabled: false, ..Config::default() }, members);
    assert_eq!(off, Mesh::default());
}
