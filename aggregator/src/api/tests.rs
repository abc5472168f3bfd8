//! Tests of the answers, over a real listener.

use std::sync::Arc;

use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::model::{Labels, STALE_NAN, Series};
use ao_proto::v1::{Class, FrameHeader};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::status::{Fanout, Mood, Sink};
use super::*;
use crate::ledger::{Count, Entry, Ledger};
use crate::nodes::Nodes;
use crate::sink::api::{Decoded, Telemetry};
use crate::sink::embedded::{Config, Store};
use crate::verify::{Parts, Verifier};

struct Sinks;

impl Fanout for Sinks {
    fn sinks(&self) -> Vec<Sink> {
        let why = "connection refused".to_owned();
        vec![Sink {
            name: "prometheus".to_owned(),
            classes: vec!["metrics"],
            state: Mood::Retrying,
            why,
            ..<_>::default()
        }]
    }
}

fn state() -> ApiState {
    let about = About { started_ms: now_ms() - 60_000, ..About::default() };
    let store = Store::new(&Config::default());
    let (ledger, nodes) = (Ledger::default(), Nodes::default());
    let verifier = Verifier::new(Parts { nodes: nodes.clone(), ledger: ledger.clone(), ..Parts::default() });
    ApiState { store, ledger, nodes, fanout: Arc::new(Sinks), verifier, about: Arc::new(about) }
}

fn header(records: u64) -> FrameHeader {
    let class = Class::Metrics.into();
    FrameHeader {
        agent: vec![7; 16],
        source: "collector".to_owned(),
        class,
        records,
        ..FrameHeader::default()
    }
}

/// Name, labels, value.
type Sample<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// Series with one value each, at a time.
fn put(store: &Store, at_ms: i64, samples: &[Sample<'_>]) {
    let series = samples.iter().map(|(name, labels, _)| {
        let pairs = labels.iter().copied().chain([("__name__", *name), ("node", "n")]);
        Series { labels: Labels::from_pairs(pairs), family: 0 }
    });
    let series: Vec<Series> = series.collect();
    let values: Vec<f64> = samples.iter().map(|(.., value)| *value).collect();
    let keyframe = Keyframe { values: vec![0.0; series.len()], series, ..Keyframe::default() };
    let frame = MetricsFrame { at_ms, values, ..MetricsFrame::default() };
    let telemetry = Telemetry::Metrics(Arc::new(keyframe), frame);
    store.absorb(&Decoded { header: header(samples.len() as u64), end: <_>::default(), telemetry });
}

/// Asks each path in turn; gives status and JSON.
async fn ask(state: ApiState, paths: &[&str]) -> Vec<(u16, Value)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { axum::serve(listener, router(state)).await });
    let mut answers = Vec::new();
    for path in paths {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        answers.push((
            status,
            serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}")),
        ));
    }
    server.abort();
    answers
}

/// Scenario: every path, on an empty store.
/// Guarantees: each answers in JSON; what is not there yet is an empty list or a sentence, never a fault.
#[tokio::test]
async fn an_empty_store_answers() {
    let views = ["overview", "host", "logs", "latency", "path", "mesh", "map", "traces", "ledger"];
    let polls: Vec<String> = views.iter().map(|view| format!("/api/v1/poll?view={view}")).collect();
    let mut paths: Vec<&str> = polls.iter().map(String::as_str).collect();
    for name in [
        "overview", "nodes", "sinks", "logs", "latency", "paths", "mesh", "topology", "traces", "ledger",
        "series",
    ] {
        paths.push(Box::leak(format!("/api/v1/{name}").into_boxed_str()));
    }
    for (path, (status, body)) in paths.iter().zip(ask(state(), &paths).await) {
        assert_eq!(status, 200, "{path}: {body}");
    }
    let (status, body) = ask(state(), &["/api/v1/host"]).await.remove(0);
    assert_eq!((status, &body["error"]), (404, &Value::from("no node has reported yet")));
}

/// Scenario: parameters that are out of bounds, unknown, too long or not encoded, and a path that is not there.
/// Guarantees: each is refused in a JSON sentence that names what is wrong.
#[tokio::test]
async fn bad_requests_get_a_sentence() {
    let long = format!("/api/v1/logs?q={}", "x".repeat(301));
    let cases = [
        ("/api/v1/logs?limit=0", "limit is a whole number from 1 to 1000, not \"0\""),
        ("/api/v1/logs?limit=9999", "limit is a whole number from 1 to 1000, not \"9999\""),
        ("/api/v1/logs?level=loud", "level is error, warn, info or debug, not \"loud\""),
        ("/api/v1/logs?lvl=warn", "\"lvl\" is no parameter here; there are node, q, level, limit, after"),
        ("/api/v1/ledger?x=1", "\"x\" is no parameter here; there are node"),
        ("/api/v1/verify", "token must be given"),
        ("/api/v1/verify?token=0", "no canary of that token is known (any more)"),
        ("/api/v1/nodes?x=1", "this path takes no parameters"),
        ("/api/v1/latency?minutes=31", "minutes is a whole number from 1 to 30, not \"31\""),
        ("/api/v1/poll", "view must be given"),
        (&long, "q is longer than 300 bytes"),
        ("/api/v1/traces?id=zz", "no such trace is kept (any more)"),
        ("/api/v1/series?name=nope", "there is no series \"nope\"; without a name all names are listed"),
        ("/api/v1/hosts", "there is no such path; /api/v1/overview is a good place to begin"),
    ];
    let paths = cases.map(|(path, _)| path);
    for ((path, sentence), (status, body)) in cases.iter().zip(ask(state(), &paths).await) {
        assert!(status == 400 || status == 404, "{path}");
        assert_eq!(body["error"], *sentence, "{path}");
    }
}

/// Scenario: two CPUs over a minute; one of them begins again at zero in the middle; some time is spent in a mode that
/// the console does not know.
/// Guarantees: shares add up to what is not idle, the reset neither loses a minute nor goes below zero, an unknown
/// mode counts as system.
#[tokio::test]
async fn cpu_shares() {
    let state = state();
    let now = now_ms();
    for second in (0..=60).step_by(5) {
        let at = f64::from(second);
        let since_reset = if second > 30 { at - 30.0 } else { at + 1_000.0 };
        let sample = |cpu, mode, value| ("node_cpu_seconds_total", [("cpu", cpu), ("mode", mode)], value);
        let samples = [
            sample("0", "idle", at * 0.5),
            sample("0", "user", at * 0.3),
            sample("0", "system", at * 0.1),
            sample("0", "guest_of_tomorrow", at * 0.1),
            sample("1", "idle", since_reset * 0.9),
            sample("1", "iowait", since_reset * 0.1),
        ];
        let samples: Vec<Sample<'_>> =
            samples.iter().map(|(name, labels, value)| (*name, &labels[..], *value)).collect();
        put(&state.store, now - 60_000 + i64::from(second) * 1_000, &samples);
    }
    let body = ask(state, &["/api/v1/host?minutes=5"]).await.remove(0).1;
    let near = |value: &Value, expect: f64| {
        assert!((value.as_f64().unwrap() - expect).abs() < 1e-3, "{value} is not {expect}");
    };
    near(&body["cpu"]["busy"], 0.25);
    near(&body["cpu"]["each"][0], 0.5);
    near(&body["cpu"]["each"][1], 0.0);
    for (mode, expect) in [("system", 0.1), ("user", 0.15), ("iowait", 0.05)] {
        let modes = body["cpu"]["modes"].as_array().unwrap();
        let cells = &modes.iter().find(|m| m[0] == mode).unwrap()[1];
        let known: Vec<&Value> = cells.as_array().unwrap().iter().filter(|cell| !cell.is_null()).collect();
        assert!(known.len() >= 11);
        for cell in known {
            near(cell, expect);
        }
    }
    assert_eq!(body["about"]["cpus"], 2);
}

/// Scenario: round trips of which one in ten is lost, then a series that ends.
/// Guarantees: the median lies in its bucket, loss is the share without answer; an ended target disappears.
#[tokio::test]
async fn latency_and_its_end() {
    let state = state();
    let now = now_ms();
    let tell = |at: i64, scale: f64| {
        let base = [("host", "gw"), ("ip", "192.0.2.1")];
        let bucket = |le: &'static str| [base[0], base[1], ("le", le)];
        let (low, high, all) = (bucket("0.001"), bucket("0.002"), bucket("+Inf"));
        let name = "smokeping_response_duration_seconds_bucket";
        // Arithmetic would turn the marker into another NaN.
        let times = |count: f64| if scale.is_nan() { scale } else { scale * count };
        put(
            &state.store,
            at,
            &[
                ("smokeping_requests_total", &base, times(10.0)),
                (name, &low, times(0.0)),
                (name, &high, times(9.0)),
                (name, &all, times(9.0)),
                ("ao_latency_starved_rounds_total", &base, times(1.0)),
                ("ao_probe_info", &[("mode", "raw")], times(1.0)),
            ],
        );
    };
    for round in 0..10_i32 {
        tell(now - 120_000 + i64::from(round) * 10_000, f64::from(round));
    }
    let target = ask(state.clone(), &["/api/v1/latency?minutes=5"]).await.remove(0).1["targets"][0].clone();
    assert_eq!((target["target"].as_str(), target["address"].as_str()), (Some("gw"), Some("192.0.2.1")));
    let median = target["overall"]["median"].as_f64().unwrap();
    assert!(median > 0.001 && median < 0.002, "{median}");
    assert!((target["overall"]["loss"].as_f64().unwrap() - 0.1).abs() < 1e-6);
    assert_eq!((&target["mode"], &target["starved"][19]), (&Value::from("raw"), &Value::from(false)));
    assert!(target["starved"].as_array().unwrap().contains(&Value::from(true)));
    tell(now, f64::from_bits(STALE_NAN));
    let body = ask(state, &["/api/v1/latency"]).await.remove(0).1;
    assert_eq!(body["targets"], Value::Array(Vec::new()));
}

/// Scenario: an agent sends five pings between two exports, which are not in step with the grid, and loses one of twenty;
/// another prober's counters do the same.
/// Guarantees: every ping that the agent lost is in a column, whatever the columns' width; of the other prober, whose
/// newest request may not have been answered yet, less than a request is no loss.
#[tokio::test]
async fn single_losses_are_seen() {
    for (agent, minutes) in [(true, 5), (true, 15), (true, 30), (false, 5)] {
        let state = state();
        let begin = now_ms().div_euclid(60_000) * 60_000 - 240_000 + 9_000;
        for export in 0..=16_i32 {
            let base = [("host", "gw")];
            let all = [base[0], ("le", "+Inf")];
            let (asked, lost) = (f64::from(export * 5), f64::from((export + 2) / 4));
            let mut samples: Vec<Sample<'_>> = vec![
                ("smokeping_requests_total", &base, asked),
                ("smokeping_response_duration_seconds_bucket", &all, asked - lost),
            ];
            samples.extend(agent.then_some(("ao_latency_starved_rounds_total", &base[..], 0.0)));
            put(&state.store, begin + i64::from(export) * 15_000, &samples);
        }
        let path = format!("/api/v1/latency?minutes={minutes}");
        let target = ask(state, &[&path]).await.remove(0).1["targets"][0].clone();
        let column = |name: &str| -> Vec<f64> {
            target[name].as_array().unwrap().iter().map(|cell| cell.as_f64().unwrap_or(0.0)).collect()
        };
        let lost: f64 = column("sent").iter().zip(column("loss")).map(|(sent, loss)| sent * loss).sum();
        let expected = if agent { 4.0 } else { 0.0 };
        assert!((lost - expected).abs() < 0.01, "{lost} of 4 in {minutes} minutes");
    }
}

/// Scenario: records delivered, refused, shed by the journal and still under way.
/// Guarantees: received = delivered + dropped + in flight for every sink that takes the class, and for no other.
#[tokio::test]
async fn the_ledger_balances() {
    let state = state();
    put(&state.store, now_ms(), &[("x", &[], 1.0)]);
    let add = |entry, records| state.ledger.add(&header(0), entry, Count { records, bytes: records * 8 });
    add(Entry::Received, 100);
    add(Entry::Delivered("prometheus"), 60);
    add(Entry::Dropped("prometheus", "too_old"), 5);
    add(Entry::Dropped("journal", "shed"), 10);
    add(Entry::Delivered("embedded"), 90);
    let body = ask(state.clone(), &["/api/v1/ledger"]).await.remove(0).1;
    assert_eq!(body["sinks"], serde_json::json!(["prometheus", "embedded"]));
    let row = &body["rows"][0];
    assert_eq!((&row["node"], &row["received"]["records"]), (&Value::from("n"), &Value::from(100)));
    let fate =
        |name: &str| row["sinks"].as_array().unwrap().iter().find(|fate| fate["sink"] == name).unwrap();
    assert_eq!(fate("prometheus")["in_flight"], serde_json::json!({"records": 25, "bytes": 200}));
    assert_eq!(fate("prometheus")["dropped"]["too_old"]["records"], 5);
    assert_eq!(fate("embedded")["in_flight"]["records"], 0);
    assert_eq!((&row["verdict"], &body["balanced"]), (&Value::from("moving"), &Value::from(true)));
    assert_eq!(
        row["says"],
        "node n, collector (samples): 100 at the aggregator, 25 on the way to prometheus"
    );
    add(Entry::Delivered("embedded"), 1);
    let body = ask(state.clone(), &["/api/v1/ledger?node=n"]).await.remove(0).1;
    assert_eq!((&body["verdict"], &body["balanced"]), (&Value::from("off"), &Value::from(false)));
    let says =
        "node n, collector (samples): 100 (800 bytes) received, and -1 (-8 bytes) left over at embedded";
    assert_eq!(body["says"][0], says);
}

/// Scenario: an agent tells its figures: some in its spool; more acknowledged than was received here; a sum that does not
/// come out; another node has none.
/// Guarantees: its half stands beside ours; each case has its verdict and its sentence.
#[tokio::test]
async fn the_agents_half_of_the_ledger() {
    let cases: [([f64; 4], &str, &str); 4] = [
        ([100.0, 100.0, 0.0, 0.0], "settled", ""),
        ([102.0, 100.0, 0.0, 2.0], "moving", "102 read, 100 at the aggregator, 2 in the spool"),
        ([130.0, 120.0, 3.0, 7.0], "away", "120 acknowledged, 100 of them received here, 20 elsewhere"),
        (
            [130.0, 100.0, 3.0, 7.0],
            "off",
            "130 (1040 bytes) read at the agent, 110 (880 bytes) accounted for there",
        ),
    ];
    for ([read, delivered, shed, flying], verdict, words) in cases {
        let state = state();
        put(&state.store, now_ms(), &[("x", &[], 1.0)]);
        for entry in [Entry::Received, Entry::Delivered("prometheus")] {
            state.ledger.add(&header(0), entry, Count { records: 100, bytes: 800 });
        }
        let own = [("job", "ao-agent"), ("source", "collector"), ("class", "metrics")];
        let shed_by = [own[0], own[1], own[2], ("reason", "shed")];
        put(
            &state.store,
            now_ms(),
            &[
                ("ao_ledger_read_records_total", &own, read),
                ("ao_ledger_read_bytes_total", &own, read * 8.0),
                ("ao_ledger_delivered_records_total", &own, delivered),
                ("ao_ledger_delivered_bytes_total", &own, delivered * 8.0),
                ("ao_ledger_resent_records_total", &own, 0.0),
                ("ao_ledger_resent_bytes_total", &own, 0.0),
                ("ao_ledger_dropped_records_total", &shed_by, shed),
                ("ao_ledger_dropped_bytes_total", &shed_by, shed * 8.0),
                ("ao_ledger_in_flight_records", &own, flying),
                ("ao_ledger_in_flight_bytes", &own, flying * 8.0),
                // A scraped aggregator's figures are not the agent's.
                ("ao_ledger_delivered_records_total", &[("job", "ao-aggregator"), own[1], own[2]], 1e6),
            ],
        );
        let body = ask(state, &["/api/v1/ledger"]).await.remove(0).1;
        let row = &body["rows"][0];
        assert_eq!(row["agent"]["dropped"]["shed"]["records"], shed);
        assert_eq!(row["verdict"], verdict, "{row}");
        let says = row["says"].as_str().unwrap();
        assert!(says.ends_with(words) && says.is_empty() == words.is_empty(), "{says}");
        assert_eq!(body["balanced"], verdict != "off");
    }
}

/// Scenario: a form of another page posts to the verifier; then JSON with nonsense in it.
/// Guarantees: what a browser sends without asking first is refused, and so is what is not understood.
#[tokio::test]
async fn canaries_are_not_for_foreign_pages() {
    let state = state();
    for (kind, body, sentence) in [
        ("application/x-www-form-urlencoded", "node=x", "application/json"),
        ("text/plain", "{}", "application/json"),
        ("application/json", "{\"nodes\": 1}", "unknown field `nodes`"),
        ("application/json", "{\"timeout_ms\": 0}", "timeout_ms is from 1 to 600000"),
        ("application/json", "{}", "no agent is connected"),
    ] {
        let router = router(state.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let head =
            format!("POST /api/v1/verify HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}");
        stream
            .write_all(format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 4") && answer.contains(sentence), "{answer}");
        server.abort();
    }
}

/// Scenario: an agent that may not open raw sockets.
/// Guarantees: the overview says so, with the command that would allow more; what may still come is missed only later.
#[tokio::test]
async fn what_is_missing_comes_with_a_command() {
    let state = state();
    let probe =
        [("mode", "connect"), ("reason", "ICMP is not used."), ("command", "sudo setcap cap_net_raw+ep x")];
    put(&state.store, now_ms(), &[("ao_probe_info", &probe, 1.0)]);
    let before = ask(state.clone(), &["/api/v1/overview"]).await.remove(0).1;
    assert_eq!(before["missing"].as_array().unwrap().len(), 2, "{}", before["missing"]);
    let nodes = nodes::of(&state.store, now_ms() + 31_000, false);
    let body = serde_json::json!({ "missing": missing::of(&state.store, &nodes, now_ms() + 31_000) });
    let missing = body["missing"].as_array().unwrap();
    let icmp = missing.iter().find(|gap| gap["what"] == "n: round trips without ICMP").unwrap();
    assert_eq!(icmp["command"], "sudo setcap cap_net_raw+ep x");
    assert!(missing.iter().any(|gap| gap["what"] == "No host figures from n"));
    assert!(missing.iter().all(|gap| gap["why"].as_str().is_some_and(|why| why.ends_with('.'))));
}

/// Scenario: two nodes see each other: one way is fine, the other has a dead port, is slower than it was, and loses; a
/// third figure is old.
/// Guarantees: a cell for each way with what is wrong, in words; zones with their nodes; what is old says nothing; the
/// graph knows both nodes by their names.
#[tokio::test]
async fn who_sees_whom() {
    let state = state();
    let way =
        |peer: &'static str| [("peer", peer), ("zone", "ham"), ("peer_zone", "ber"), ("stat", "median")];
    let [good, bad] = [way("b"), way("c")];
    let forward = [&bad[..], &[("direction", "forward")]].concat();
    let hop = [("peer", "b"), ("dst", "10.0.0.2"), ("host", "10.0.0.2"), ("count", "1")];
    let link = [("target", "10.0.0.2"), ("ttl", "1"), ("from", "n"), ("to", "10.0.0.2"), ("silent", "0")];
    put(
        &state.store,
        now_ms(),
        &[
            ("netmesh_echo_rtt_seconds", &good, 0.000_4),
            ("netmesh_echo_loss_ratio", &good, 0.0),
            ("netmesh_echo_rtt_seconds", &bad, 0.000_4),
            ("netmesh_echo_loss_ratio", &bad, 0.05),
            ("netmesh_ports", &bad, 16.0),
            ("netmesh_ports_dead", &bad, 3.0),
            ("netmesh_delay_change_seconds", &forward, 0.004),
            ("mtr_report_loss", &hop, 0.0),
            ("mtr_report_avg", &hop, 0.4),
            ("netpath_link_flows", &link, 5.0),
        ],
    );
    put(&state.store, now_ms() - 600_000, &[("netmesh_echo_rtt_seconds", &way("old"), 1.0)]);
    let mut answers = ask(state, &["/api/v1/mesh", "/api/v1/topology"]).await;
    let (_, graph) = answers.remove(1);
    let (_, mesh) = answers.remove(0);
    let nodes: Vec<_> = mesh["nodes"].as_array().unwrap().iter().map(|node| &node["node"]).collect();
    assert_eq!(nodes, ["b", "c", "n"]);
    let moods: Vec<_> = mesh["cells"].as_array().unwrap().iter().map(|cell| &cell["mood"]).collect();
    assert_eq!(moods, ["good", "bad"]);
    assert_eq!(
        mesh["cells"][1]["why"],
        serde_json::json!([
            "5 % of the UDP echoes are lost",
            "3 of 16 source ports are dead: one of several paths is bad",
            "4.0 ms longer towards the peer than usual"
        ])
    );
    let ids: Vec<_> = graph["nodes"].as_array().unwrap().iter().map(|vertex| &vertex["id"]).collect();
    assert_eq!(ids, ["node:b", "node:n"]);
    assert_eq!(graph["edges"][0]["id"], "node:n>node:b");
    assert_eq!(graph["edges"][0]["mainstat"], 0.4);
    assert_eq!(graph["edges"][0]["detail__flows"], 5);
}

/// Scenario: a peer that answered dies, so that its rounds tell no round trips; others lose more or less.
/// Guarantees: no round trip of an older round stands beside what the newest one lost; percents are rounded as people
/// would.
#[tokio::test]
async fn what_a_dead_peer_shows() {
    let state = state();
    let tell = |ago_ms: i64, [rtt, loss]: [f64; 2]| {
        let median = [("peer", "b"), ("stat", "median")];
        let (ping, echo) = ("ao_latency_round_loss_ratio", "netmesh_echo_loss_ratio");
        let [times, echoes] = ["ao_latency_round_seconds", "netmesh_echo_rtt_seconds"];
        let samples = [
            (times, &median[..], rtt),
            (echoes, &median, rtt),
            (ping, &median[..1], loss),
            (echo, &median[..1], loss),
        ];
        put(&state.store, now_ms() - ago_ms, &samples);
    };
    for (nth, (loss, says)) in
        [(0.55, "55"), (0.001, "1"), (0.995, "99"), (1.0, "100")].into_iter().enumerate()
    {
        let is_dead = loss >= 1.0;
        tell(100_000 - nth as i64 * 20_000, [if is_dead { f64::NAN } else { 0.01 }, loss]);
        let cell = ask(state.clone(), &["/api/v1/mesh"]).await.remove(0).1["cells"][0].clone();
        let rtt = if is_dead { Value::Null } else { Value::from(0.01) };
        assert_eq!((&cell["rtt"], &cell["echo_rtt"]), (&rtt, &rtt));
        let why = ["pings", "UDP echoes"].map(|what| format!("{says} % of the {what} are lost"));
        assert_eq!(cell["why"], serde_json::json!(why));
    }
}

/// Scenario: a path takes another router three seconds after its round before, whose series have not ended yet.
/// Guarantees: no hop of one round stands beside those of another.
#[tokio::test]
async fn rounds_do_not_mix() {
    let state = state();
    for (ago_ms, first) in [(3_000, "10.0.0.1"), (0, "10.0.0.2")] {
        let hop = |count, host| [("dst", "192.0.2.9"), ("count", count), ("host", host)];
        let [first, last] = [hop("1", first), hop("2", "192.0.2.9")];
        put(
            &state.store,
            now_ms() - ago_ms,
            &[("mtr_report_loss", &first, 0.0), ("mtr_report_loss", &last, 0.0)],
        );
    }
    let path = ask(state, &["/api/v1/paths"]).await.remove(0).1["paths"][0].clone();
    let hosts: Vec<_> = path["hops"].as_array().unwrap().iter().map(|hop| &hop["host"]).collect();
    assert_eq!(hosts, ["10.0.0.2", "192.0.2.9"]);
}
