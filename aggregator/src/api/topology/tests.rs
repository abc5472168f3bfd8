//! Graphs of small networks whose truth is known.

use std::net::Ipv4Addr;

use super::super::grid::Grid;
use super::super::paths::Link;
use super::*;

/// Hops as (ttl, host, avg in milliseconds, loss in percent).
fn path(node: &str, target: &str, peer: &str, hops: &[(u32, &str, f64, f64)]) -> Path {
    let hop = |&(ttl, host, avg, loss): &(u32, &str, f64, f64)| Hop {
        ttl,
        host: host.to_owned(),
        loss,
        avg: (host != SILENT).then_some(avg),
        ..Hop::default()
    };
    let hops = hops.iter().map(hop).collect();
    Path {
        node: node.to_owned(),
        target: target.to_owned(),
        peer: peer.to_owned(),
        at_ms: 0,
        hops,
        links: Vec::new(),
    }
}

fn of(paths: &[Path]) -> Topology {
    super::of(&Paths { grid: Grid::ending(0, 1), paths: paths.to_vec(), left_out: 7 })
}

fn ids(topology: &Topology) -> Vec<&str> {
    topology.nodes.iter().map(|vertex| vertex.id.as_str()).collect()
}

fn edge<'a>(topology: &'a Topology, id: &str) -> &'a Edge {
    topology.edges.iter().find(|edge| edge.id == id).unwrap_or_else(|| panic!("{id} in {:?}", topology.edges))
}

/// Scenario: two nodes see each other over two routers, each of which shows another address to each of them.
/// Guarantees: two nodes and two routers, whatever their addresses; both directions of each link.
#[test]
fn both_directions() {
    let topology = of(&[
        path(
            "a",
            "10.0.9.2",
            "b",
            &[(1, "10.0.0.1", 0.2, 0.0), (2, "10.0.5.2", 1.2, 0.0), (3, "10.0.9.2", 1.5, 0.0)],
        ),
        path(
            "b",
            "10.0.0.2",
            "a",
            &[(1, "10.0.9.1", 0.3, 0.0), (2, "10.0.5.1", 1.3, 0.0), (3, "10.0.0.2", 1.6, 0.0)],
        ),
    ]);
    assert_eq!(ids(&topology), ["ip:10.0.0.1", "ip:10.0.5.2", "node:a", "node:b"]);
    assert_eq!(topology.edges.len(), 6);
    assert_eq!(edge(&topology, "ip:10.0.0.1>ip:10.0.5.2").mainstat, Some(1.0));
    assert_eq!(edge(&topology, "ip:10.0.5.2>ip:10.0.0.1").mainstat, Some(1.0));
    assert_eq!(topology.nodes[0].addresses, "10.0.0.1, 10.0.5.1");
    assert_eq!(topology.nodes[1].addresses, "10.0.5.2, 10.0.9.1");
}

/// Scenario: a router that does not answer, one that answers little but forwards all, a link that loses, a target that
/// never answers, two routers that share the load.
/// Guarantees: each has its vertex; only loss that persists to the end counts, and where it begins; shared loads fork and
/// meet again.
#[test]
fn loss_and_silence() {
    let topology = of(&[
        path(
            "a",
            "dns.example",
            "",
            &[
                (1, "10.0.0.1", 0.2, 70.0),
                (2, SILENT, 0.0, 100.0),
                (3, "10.3.0.1", 2.0, 30.0),
                (4, "10.4.0.9", 3.0, 30.0),
            ],
        ),
        path("a", "192.0.2.7", "", &[(1, "10.0.0.1", 0.2, 70.0), (2, SILENT, 0.0, 100.0)]),
        path(
            "a",
            "192.0.2.8",
            "",
            &[
                (1, "10.1.0.1", 0.1, 0.0),
                (2, "10.2.0.1", 0.5, 0.0),
                (2, "10.2.7.1", 0.6, 0.0),
                (3, "192.0.2.8", 0.9, 0.0),
            ],
        ),
    ]);
    assert_eq!(
        ids(&topology),
        [
            "*(ip:10.0.0.1|10.3.0.1)",
            "ip:10.0.0.1",
            "ip:10.1.0.1",
            "ip:10.2.0.1",
            "ip:10.2.7.1",
            "ip:10.3.0.1",
            "ip:10.4.0.9",
            "ip:192.0.2.7",
            "ip:192.0.2.8",
            "node:a"
        ]
    );
    // Of the path whose target answers: 30 % are gone from the first hop on, and none beyond.
    let first = edge(&topology, "node:a>ip:10.0.0.1");
    assert_eq!((first.secondarystat, first.paths), (70.0, 2), "towards 192.0.2.7 nothing comes back");
    assert_eq!(edge(&topology, "ip:10.3.0.1>ip:10.4.0.9").secondarystat, 0.0);
    assert_eq!(edge(&topology, "ip:10.0.0.1>ip:192.0.2.7").secondarystat, 30.0);
    for id in ["ip:10.1.0.1>ip:10.2.0.1", "ip:10.1.0.1>ip:10.2.7.1", "ip:10.2.7.1>ip:192.0.2.8"] {
        assert_eq!(edge(&topology, id).paths, 1);
    }
    let named =
        topology.nodes.iter().find(|vertex| vertex.id == "ip:10.4.0.9").map(|vertex| vertex.title.as_str());
    assert_eq!(named, Some("dns.example"));
    let sums = topology.nodes.iter().all(|vertex| (vertex.arc_ok + vertex.arc_loss - 1.0).abs() < 1e-9);
    assert!(sums, "Grafana's arcs make one circle");
}

/// Scenario: two silent routers in a row, and two routers that send packets round in a loop; one path.
/// Guarantees: however often the path meets a router, it is one path.
#[test]
fn a_path_counts_once() {
    let hops = [
        (1, "10.0.0.1", 0.1, 0.0),
        (2, SILENT, 0.0, 100.0),
        (3, SILENT, 0.0, 100.0),
        (4, "10.2.0.1", 0.2, 0.0),
        (5, "10.3.0.1", 0.3, 0.0),
        (6, "10.2.0.1", 0.4, 0.0),
        (7, "192.0.2.9", 0.5, 0.0),
    ];
    let topology = of(&[path("a", "192.0.2.9", "", &hops)]);
    assert_eq!(topology.nodes.len(), 6);
    let several: Vec<_> = topology.nodes.iter().filter(|vertex| vertex.paths != 1).collect();
    assert!(several.is_empty(), "{several:?}");
}

/// Scenario: two addresses of one subnet that one path shows one after the other; three in a subnet; none at all.
/// Guarantees: what a path shows twice is two routers; a subnet of many tells nothing.
#[test]
fn no_false_aliases() {
    let one = path(
        "a",
        "192.0.2.9",
        "",
        &[(1, "10.0.0.1", 0.1, 0.0), (2, "10.0.0.2", 0.2, 0.0), (3, "192.0.2.9", 0.3, 0.0)],
    );
    assert_eq!(
        ids(&of(std::slice::from_ref(&one))),
        ["ip:10.0.0.1", "ip:10.0.0.2", "ip:192.0.2.9", "node:a"]
    );
    let more = path(
        "b",
        "192.0.2.9",
        "",
        &[(1, "10.7.0.1", 0.1, 0.0), (2, "10.0.0.77", 0.2, 0.0), (3, "192.0.2.9", 0.3, 0.0)],
    );
    assert_eq!(of(&[one, more]).nodes.len(), 7);
    assert_eq!(of(&[]), Topology { paths_left_out: 7, ..Topology::default() });
}

/// Scenario: a link joins a first address with a second one, another link the second with a third; a path shows the first
/// and the third.
/// Guarantees: they are two routers.
#[test]
fn no_false_aliases_of_aliases() {
    let way = |node, hosts: &[&'static str]| {
        let hosts = hosts.iter().chain(&["192.0.2.9"]);
        let hops: Vec<_> = (1..).zip(hosts).map(|(ttl, host)| (ttl, *host, 1.0, 0.0)).collect();
        path(node, "192.0.2.9", "", &hops)
    };
    let topology = of(&[
        way("a", &["10.9.0.1", "10.0.1.1"]),
        way("b", &["10.0.1.2", "10.0.3.1"]),
        way("c", &["10.9.0.1", "10.8.0.1", "10.0.3.2"]),
    ]);
    let routers: Vec<&str> = topology.nodes.iter().map(|vertex| &*vertex.addresses).collect();
    let expected =
        ["10.0.1.2, 10.9.0.1", "10.0.1.1", "10.0.3.1, 10.8.0.1", "10.0.3.2", "192.0.2.9", "", "", ""];
    assert_eq!(BTreeSet::from_iter(routers), BTreeSet::from(expected));
}

/// Scenario: eight flows over three members of a set, the canonical one over the first; behind the second a router is
/// silent.
/// Guarantees: every member and every link that a flow took, with its flows; a round trip only where one was measured;
/// no link that nobody took.
#[test]
fn flows() {
    let hops = [
        (1, "10.0.0.1", 0.2, 0.0),
        (2, "10.0.1.1", 0.5, 0.0),
        (3, SILENT, 0.0, 100.0),
        (4, "192.0.2.9", 0.9, 0.0),
    ];
    let mut path = path("a", "192.0.2.9", "", &hops);
    let link = |&(ttl, from, to, silent, flows): &(u32, &str, &str, u32, u32)| Link {
        ttl,
        from: from.to_owned(),
        to: to.to_owned(),
        silent,
        flows,
    };
    path.links = [
        (1, "a", "10.0.0.1", 0, 8),
        (2, "10.0.0.1", "10.0.1.1", 0, 3),
        (2, "10.0.0.1", "10.0.2.1", 0, 4),
        (2, "10.0.0.1", "10.0.3.1", 0, 1),
        (3, "10.0.2.1", "10.0.8.1", 0, 4),
        (3, "10.0.3.1", "10.0.8.1", 0, 1),
        (4, "10.0.1.1", "192.0.2.9", 1, 3),
        (4, "10.0.8.1", "192.0.2.9", 0, 5),
    ]
    .iter()
    .map(link)
    .collect();
    let topology = of(&[path]);
    let silent = "*(ip:10.0.1.1|192.0.2.9)";
    let members = ["ip:10.0.1.1", "ip:10.0.2.1", "ip:10.0.3.1", "ip:10.0.8.1"];
    assert_eq!(ids(&topology)[..2], [silent, "ip:10.0.0.1"]);
    assert_eq!(ids(&topology)[2..], [&members[..], &["ip:192.0.2.9", "node:a"]].concat());
    let told: Vec<_> =
        topology.edges.iter().map(|edge| (edge.source.as_str(), edge.target.as_str(), edge.flows)).collect();
    let all = [
        (silent, "ip:192.0.2.9", 3),
        ("ip:10.0.0.1", "ip:10.0.1.1", 3),
        ("ip:10.0.0.1", "ip:10.0.2.1", 4),
        ("ip:10.0.0.1", "ip:10.0.3.1", 1),
        ("ip:10.0.1.1", silent, 3),
        ("ip:10.0.2.1", "ip:10.0.8.1", 4),
        ("ip:10.0.3.1", "ip:10.0.8.1", 1),
        ("ip:10.0.8.1", "ip:192.0.2.9", 5),
        ("node:a", "ip:10.0.0.1", 8),
    ];
    assert_eq!(told, all);
    assert_eq!(edge(&topology, "ip:10.0.0.1>ip:10.0.1.1").mainstat, Some(0.3));
    assert_eq!(edge(&topology, "ip:10.0.0.1>ip:10.0.2.1").mainstat, None);
    assert!(topology.nodes.iter().all(|vertex| vertex.paths == 1));
}

/// Scenario: fifty nodes, each behind a router of its own, and a silent one between any two; 1,500 routers that one path
/// each leads through; more paths than are looked at.
/// Guarantees: all nodes stay, then the target, then routers with many paths; silent ones go first; what is left out is
/// told.
#[test]
fn too_many() {
    let address = |node: u32| Ipv4Addr::from(0x0a00_0000 + node).to_string();
    let pairs = (0..50_u32).flat_map(|from| (0..50).filter(move |to| *to != from).map(move |to| (from, to)));
    let mut paths: Vec<Path> = pairs
        .map(|(from, to)| {
            let (node, peer) = (format!("n{from}"), format!("n{to}"));
            let router = format!("192.168.{from}.1");
            let hops = [(1, &*router, 0.1, 0.0), (2, SILENT, 0.0, 100.0), (3, &*address(to), 1.0, 0.0)];
            path(&node, &address(to), &peer, &hops)
        })
        .collect();
    let rare: Vec<String> =
        (0..1500_u32).map(|n| Ipv4Addr::from(0xac10_0000 + n * 256).to_string()).collect();
    for chunk in rare.chunks(20) {
        let hops = (1..).zip(chunk).map(|(ttl, host)| (ttl, host.as_str(), 1.0, 0.0));
        let end = [(21, "198.51.100.1", 2.0, 0.0)];
        paths.push(path("n0", "198.51.100.1", "", &hops.chain(end).collect::<Vec<_>>()));
    }
    let topology = of(&paths);
    let count = |kind| topology.nodes.iter().filter(|vertex| vertex.subtitle == kind).count();
    assert_eq!(["node", "target", "silent router"].map(count), [50, 1, 0]);
    let has = |id: &str| topology.nodes.iter().any(|vertex| vertex.id == id);
    assert!((0..50).all(|from| has(&format!("ip:192.168.{from}.1"))), "49 paths lead through each");
    assert!(topology.nodes.is_sorted_by_key(|vertex| &vertex.id));
    assert_eq!((topology.nodes.len(), topology.left_out), (1500, 50 * 49 + 101));
    assert_eq!(topology.paths_left_out, 7);
    assert!(topology.links_left_out > 2 * 50 * 49, "{}", topology.links_left_out);
}

/// Scenario: links of all sizes, at the ends of the address space too; a subnet of three.
/// Guarantees: the other end of a link is the one other address of the smallest subnet that has any.
#[test]
fn other_ends() {
    let known =
        ["0.0.0.0", "0.0.0.1", "10.0.0.4", "10.0.0.6", "10.0.1.8", "10.0.1.15", "10.0.2.1", "10.0.2.9"];
    let more = ["10.0.2.200", "255.255.255.255", "::", "2001:db8::4", "2001:db8::ff", "ffff:ffff::1"];
    let all: BTreeSet<IpAddr> = known.iter().chain(&more).map(|known| known.parse().unwrap()).collect();
    for (of, other) in [
        ("0.0.0.0", Some("0.0.0.1")),
        ("10.0.0.6", Some("10.0.0.4")),
        ("10.0.1.8", Some("10.0.1.15")),
        ("10.0.2.1", None),
        ("255.255.255.255", None),
        ("::", None),
        ("2001:db8::4", Some("2001:db8::ff")),
        ("ffff:ffff::1", None),
    ] {
        let found = alias::other_end(of.parse().unwrap(), &all).map(|found| found.to_string());
        assert_eq!(found.as_deref(), other, "{of}");
    }
}
