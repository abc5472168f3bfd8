//! Agents that measure each other, as the aggregator plans it; figures in the real Prometheus, events at Loki.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::loki::Loki;
use ao_tests::prometheus::{Prometheus, get};
use ao_tests::stack::Stack;
use serde_json::Value;

/// Nodes with their zones.
const NODES: [(&str, &str); 3] = [("alpha", "ham"), ("beta", "ham"), ("gamma", "ber")];
/// Every figure is there by then: rounds take two seconds here.
const LONG: Duration = Duration::from_secs(60);

/// Pairs of nodes and a value each.
type Cells = BTreeMap<(String, String), f64>;

fn address(nth: usize) -> IpAddr {
    IpAddr::from([127, 0, 7, 1 + nth as u8])
}

async fn agents(stack: &Stack) -> Vec<Stack> {
    let bootstrap = stack.folder().join("ao-aggregator-data/identity/bootstrap");
    let mut agents = Vec::new();
    for (nth, (node, zone)) in NODES.into_iter().enumerate() {
        let mut agent = Stack::new();
        (agent.ingest, agent.node) = (stack.ingest, node.to_owned());
        agent.tls = Some(format!("{{bootstrap_file: {bootstrap:?}}}"));
        // One port each: they share this host, and each answers at every address.
        let free = UdpSocket::bind((address(nth), 0)).expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let mesh = format!(
            "mesh: {{address: \"{}\", port: {port}, zone: {zone}, interval: 100ms, round: 2s, timeout: 500ms, \
             ports: 4, export: 1s, clocks_synchronised: {}}}\nlatency: {{targets: [], interval: 2s, export: 1s}}\n\
             path: {{targets: [], interval: 5s}}",
            address(nth),
            node != "gamma",
        );
        agent.start_agent(&mesh).await;
        agents.push(agent);
    }
    agents
}

/// The newest value by node and peer; several series of a pair must agree.
async fn cells(prometheus: &Prometheus, query: &str) -> Result<Cells, String> {
    let found = prometheus.query(query).await?;
    Ok(found
        .iter()
        .map(|one| ((one.label("node").to_owned(), one.label("peer").to_owned()), one.points[0].1))
        .collect())
}

/// Scenario: three nodes of two zones at one aggregator; one of them is killed; the aggregator is killed and comes back.
/// Guarantees: each measures both others: round trips by UDP and ICMP, clock offset within its bound (they share a
/// clock), the loopback's MTU, no dead port, one-way delays only where both say that their clocks are synchronised; zones
/// are labels; the killed one is lost to both others, within two rounds, looked at by both, and is still measured.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_measure_each_other() {
    let mut stack = Stack::new();
    let prometheus = Prometheus::start(&stack.folder().join("prometheus")).await;
    let loki = Loki::start().await;
    let sinks = format!(
        "{{prometheus: {{url: \"{}/api/v1/write\"}}, loki: {{url: \"{}/loki/api/v1/push\"}}}}",
        prometheus.url, loki.url
    );
    stack.start_aggregator(&sinks, "").await;
    let mut agents = agents(&stack).await;
    let names: BTreeSet<(String, String)> = NODES
        .iter()
        .flat_map(|(a, _)| {
            NODES.iter().filter(move |(b, _)| a != b).map(move |(b, _)| ((*a).to_owned(), (*b).to_owned()))
        })
        .collect();
    let whole = async |query: &str, right: &dyn Fn(f64) -> bool| {
        eventually(query, LONG, async || {
            let cells = cells(&prometheus, query).await?;
            let all = cells.keys().cloned().collect::<BTreeSet<_>>() == names;
            if all && cells.values().all(|value| right(*value)) { Ok(()) } else { Err(format!("{cells:?}")) }
        })
        .await;
    };
    whole("netmesh_echo_loss_ratio", &|loss| loss == 0.0).await;
    whole("netmesh_echo_rtt_seconds{stat=\"median\"}", &|rtt| rtt > 0.0 && rtt < 0.1).await;
    // By the same clock on both ends: nothing but the bound may be seen.
    whole("abs(netmesh_clock_offset_seconds) <= netmesh_clock_offset_bound_seconds", &|_| true).await;
    whole("netmesh_clock_offset_bound_seconds", &|bound| bound > 0.0 && bound < 0.05).await;
    whole("netmesh_path_mtu_bytes", &|mtu| mtu == 9216.0).await;
    whole("netmesh_ports_dead", &|dead| dead == 0.0).await;
    whole("abs(netmesh_delay_change_seconds{direction=\"forward\"})", &|change| change < 0.05).await;
    whole("smokeping_requests_total", &|requests| requests > 0.0).await;
    whole("sum by (node, peer) (smokeping_response_duration_seconds_count)", &|replies| replies > 0.0).await;
    let one_way = cells(&prometheus, "netmesh_one_way_delay_seconds{direction=\"forward\"}").await.unwrap();
    let synchronised = [("alpha", "beta"), ("beta", "alpha")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(one_way.keys().cloned().collect::<Vec<_>>(), synchronised);
    assert!(one_way.values().all(|delay| (0.0..0.05).contains(delay)), "{one_way:?}");
    let query = "count by (zone, peer_zone, node, peer) (netmesh_ports{zone=\"ham\", peer_zone=\"ber\"})";
    assert_eq!(cells(&prometheus, query).await.unwrap().len(), 2);

    agents[2].agent().kill();
    let towards = "netmesh_echo_loss_ratio{peer=\"gamma\", node!=\"gamma\"}";
    eventually("gamma is lost", LONG, async || {
        let cells = cells(&prometheus, towards).await?;
        let lost = cells.len() == 2 && cells.values().all(|loss| *loss == 1.0);
        if lost { Ok(()) } else { Err(format!("{cells:?}")) }
    })
    .await;
    let others =
        cells(&prometheus, "netmesh_echo_loss_ratio{peer!=\"gamma\", node!=\"gamma\"}").await.unwrap();
    assert!(others.len() == 2 && others.values().all(|loss| *loss < 0.5), "{others:?}");

    // The flight recorder: one event each, and the trace that it names.
    let events = eventually("two incidents", LONG, async || {
        let lines = loki.lines("event=\"incident\"");
        let events: Vec<Value> =
            lines.iter().filter_map(|line| serde_json::from_str(&line.text).ok()).collect();
        let of_gamma: Vec<Value> = events.into_iter().filter(|event| event["peer"] == "gamma").collect();
        if of_gamma.len() == 2 { Ok(of_gamma) } else { Err(format!("{lines:?}")) }
    })
    .await;
    for event in &events {
        // Pings come through: this host answers them for all three.
        assert_eq!(
            (&event["trouble"], &event["verdict"]),
            (&Value::from("loss"), &Value::from("receiver_host")),
            "{event}"
        );
        assert_eq!(
            (&event["echoes"], &event["echoes_lost"]),
            (&Value::from(100), &Value::from(100)),
            "{event}"
        );
        assert_eq!(event["forward"][0]["host"], address(2).to_string(), "{event}");
        let url = format!("http://{}/api/v1/traces?id={}", stack.http, event["trace_id"].as_str().unwrap());
        let spans = eventually("its trace", LONG, async || {
            let (status, text) = get(&url).await?;
            if status == 200 { Ok(text) } else { Err(text) }
        })
        .await;
        for span in ["incident: loss", "path to the peer", "hop 1 127.0.7.3", "counters here"] {
            assert!(spans.contains(span), "{span} in {spans}");
        }
    }
    let verdicts = "netmesh_incidents_total{verdict=\"receiver_host\", peer=\"gamma\"}";
    eventually(verdicts, LONG, async || {
        let cells = cells(&prometheus, verdicts).await?;
        if cells.len() == 2 && cells.values().all(|count| *count == 1.0) {
            Ok(())
        } else {
            Err(format!("{cells:?}"))
        }
    })
    .await;

    // A restart of the aggregator changes nobody's peers: the nodes are known before they greet.
    stack.aggregator().kill();
    stack.restart_aggregator().await;
    eventually("still measured", LONG, async || {
        let cells = cells(&prometheus, &format!("count_over_time({towards}[3s])")).await?;
        if cells.len() == 2 { Ok(()) } else { Err(format!("{cells:?}")) }
    })
    .await;
}
