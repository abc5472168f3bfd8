//! Agents that measure each other, as the aggregator plans it; figures in the real Prometheus, events at Loki.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::loki::{Line, Loki};
use ao_tests::prometheus::{Prometheus, get};
use ao_tests::stack::Stack;
use ao_tests::writer::now_ns;
use serde_json::Value;

/// Nodes with their zones.
const NODES: [(&str, &str); 3] = [("alpha", "ham"), ("beta", "ham"), ("gamma", "ber")];
/// Who sees the end of gamma.
const WATCHERS: [&str; 2] = ["alpha", "beta"];
/// Every figure is there by then: rounds take two seconds here.
const LONG: Duration = Duration::from_secs(60);
/// Times that gamma is killed until nothing else has happened meanwhile.
const KILLS: usize = 4;
/// An event names the logs from so long before its beginning to so long after its end.
const AROUND_NS: i64 = 30_000_000_000;

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
             ports: 4, export: 1s, recordings_per_way: 20, recordings_per_node: 60, clocks_synchronised: {}}}\nlatency: {{targets: [], interval: 2s, export: 1s}}\n\
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

/// What a watcher has recorded of gamma.
struct Incident {
    watcher: &'static str,
    /// The nanoseconds in which it was recorded.
    time: RangeInclusive<i64>,
    event: Value,
}

impl Incident {
    fn of(line: &Line) -> Option<Self> {
        let event: Value = serde_json::from_str(&line.text).ok()?;
        let is_from = |node: &&&str| line.labels.contains(&format!("node_name={node:?}"));
        let watcher = WATCHERS.iter().find(is_from)?;
        let logs = &event["logs"];
        let time = logs["from_ns"].as_i64()? + AROUND_NS..=logs["to_ns"].as_i64()? - AROUND_NS;
        (event["peer"] == "gamma").then_some(Self { watcher, time, event })
    }

    fn all(loki: &Loki) -> Vec<Self> {
        loki.lines("event=\"incident\"").iter().filter_map(Self::of).collect()
    }

    /// It is not of the kill alone, by its own evidence: something had got worse before, or the watcher itself stood still.
    fn is_of_more(&self, killed_ns: i64) -> bool {
        let stood_still = |evidence: &Value| {
            evidence.as_str().is_some_and(|text| text.starts_with("the agent did not run for"))
        };
        let evidence = self.event["evidence"].as_array();
        *self.time.start() < killed_ns || evidence.is_some_and(|all| all.iter().any(stood_still))
    }
}

/// Kills gamma, which has been well for some time: one incident for each watcher, as soon as it is there. A machine that
/// stands still makes true incidents of its own, before the kill and in a watcher: then gamma comes back, and is killed again.
async fn kill_gamma(gamma: &mut Stack, prometheus: &Prometheus, loki: &Loki) -> Vec<Incident> {
    for _ in 0..KILLS {
        let lately = "max_over_time(netmesh_echo_loss_ratio{peer=\"gamma\", node!=\"gamma\"}[10s])";
        eventually("gamma is well", LONG, async || {
            let cells = cells(prometheus, lately).await?;
            let well = cells.len() == WATCHERS.len() && cells.values().all(|loss| *loss == 0.0);
            if well { Ok(()) } else { Err(format!("{cells:?}")) }
        })
        .await;
        let killed_ns = i64::try_from(now_ns()).unwrap();
        gamma.agent().kill();
        let incidents = eventually("an incident for each watcher", LONG, async || {
            let mut all = Incident::all(loki);
            all.retain(|incident| *incident.time.end() >= killed_ns);
            let seen = |watcher: &&str| all.iter().any(|incident| incident.watcher == *watcher);
            if WATCHERS.iter().all(seen) { Ok(all) } else { Err(format!("{:?}", loki.lines("incident"))) }
        })
        .await;
        if !incidents.iter().any(|incident| incident.is_of_more(killed_ns)) {
            assert_eq!(incidents.len(), WATCHERS.len(), "one for each");
            return incidents;
        }
        gamma.restart_agent().await;
    }
    panic!("this machine stood still at each of {KILLS} kills");
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
    let synchronised =
        BTreeSet::from([("alpha", "beta"), ("beta", "alpha")].map(|(a, b)| (a.into(), b.into())));
    eventually("one-way delays", LONG, async || {
        let one_way = cells(&prometheus, "netmesh_one_way_delay_seconds{direction=\"forward\"}").await?;
        let pairs: BTreeSet<(String, String)> = one_way.keys().cloned().collect();
        assert!(pairs.is_subset(&synchronised), "{one_way:?}");
        let right = one_way.values().all(|delay| (0.0..0.05).contains(delay));
        // A round without an echo has none.
        if right && pairs == synchronised { Ok(()) } else { Err(format!("{one_way:?}")) }
    })
    .await;
    let query = "count by (zone, peer_zone, node, peer) (netmesh_ports{zone=\"ham\", peer_zone=\"ber\"})";
    eventually("zones are labels", LONG, async || {
        let cells = cells(&prometheus, query).await?;
        if cells.len() == 2 { Ok(()) } else { Err(format!("{cells:?}")) }
    })
    .await;

    let incidents = kill_gamma(&mut agents[2], &prometheus, &loki).await;
    let towards = "netmesh_echo_loss_ratio{peer=\"gamma\", node!=\"gamma\"}";
    eventually("gamma is lost", LONG, async || {
        let cells = cells(&prometheus, towards).await?;
        let lost = cells.len() == 2 && cells.values().all(|loss| *loss == 1.0);
        if lost { Ok(()) } else { Err(format!("{cells:?}")) }
    })
    .await;
    let others = "netmesh_echo_loss_ratio{peer!=\"gamma\", node!=\"gamma\"}";
    eventually("the others are not", LONG, async || {
        let cells = cells(&prometheus, others).await?;
        let well = cells.len() == 2 && cells.values().all(|loss| *loss < 0.5);
        if well { Ok(()) } else { Err(format!("{cells:?}")) }
    })
    .await;

    // The flight recorder: one event each, and the trace that it names.
    for Incident { event, .. } in &incidents {
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
    // Earlier ones, which this machine may have made, are counted, too.
    let verdicts = "netmesh_incidents_total{verdict=\"receiver_host\", peer=\"gamma\"}";
    eventually(verdicts, LONG, async || {
        let mut recorded = Cells::new();
        for Incident { watcher, event, .. } in Incident::all(&loki) {
            let count = recorded.entry((watcher.to_owned(), "gamma".to_owned())).or_default();
            *count += f64::from(u8::from(event["verdict"] == "receiver_host"));
        }
        let mut cells = cells(&prometheus, verdicts).await?;
        cells.retain(|(node, _), _| node != "gamma");
        if cells == recorded { Ok(()) } else { Err(format!("{cells:?}, recorded {recorded:?}")) }
    })
    .await;

    let since = incidents.iter().map(|incident| *incident.time.start()).min().unwrap();
    let all = Incident::all(&loki);
    let newest = all.iter().filter(|incident| *incident.time.end() >= since);
    assert_eq!(newest.count(), WATCHERS.len(), "no more came of it");

    // A restart of the aggregator changes nobody's peers: the nodes are known before they greet.
    stack.aggregator().kill();
    stack.restart_aggregator().await;
    eventually("still measured", LONG, async || {
        let cells = cells(&prometheus, &format!("count_over_time({towards}[3s])")).await?;
        if cells.len() == 2 { Ok(()) } else { Err(format!("{cells:?}")) }
    })
    .await;
}
