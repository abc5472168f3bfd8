//! Latency and paths in a real network of namespaces, against what is known to be true of it.
//!
//! Each test lays out a world (`world.rs`), then runs this binary again inside the client's namespace, where the
//! case of that name measures and asserts. Needs root and iproute2; says why where it must skip, and fails instead
//! with REQUIRE_NETNS=1.
//!
//! | file | room |
//! |---|---|
//! | `world.rs` | one small network, for tests of their own |
//! | `scenarios.rs` | all files of `scenarios/`, side by side, and the report |
//! | `scenario.rs` | what stands in such a file |
//! | `lab.rs` | its namespaces |
//! | `responder.rs`, `wire.rs`, `tun.rs` | its network in user space |
//! | `wires.rs` | links between its namespaces that lose and delay |
//! | `referee.rs` | our answer against the truth |
//! | `incident.rs`, `other.rs` | two agents that measure each other, and what they say of trouble |
//! | `peers.rs` | mtr and fping in the same network |
//!
//! `AO_NETNS_ONLY=ecmp cargo test -p ao-agent --test netns scenarios` runs those whose names begin so.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "all of this is test code, its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ao_agent::context::{Context, Node, Roots};
use ao_agent::event::{Event, MetricSet};
use ao_agent::net::{self, Mode, Prober, TargetSpec};
use ao_agent::trouble::Alarms;
use ao_agent::{latency, path};
use ao_common::units::Span;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

mod incident;
mod lab;
mod other;
mod peers;
mod pings;
mod referee;
mod responder;
mod scenario;
mod scenarios;
mod tun;
mod wire;
mod wires;
mod world;

use world::{BLACKHOLE, Change, SERVER, SERVER6, World};

const MODES: [Mode; 3] = [Mode::Raw, Mode::Ping, Mode::Connect];

/// Scenario: client - router - router - server, IPv4 and IPv6, in all three modes.
/// Guarantees: the hops are exactly the truth, without loss, their round trips plausible.
#[test]
fn path_is_the_truth() {
    world::within("path_is_the_truth", &[]);
}

/// Scenario: the second router answers nothing itself, but forwards.
/// Guarantees: an unknown hop with 100 % loss in its place, none at the target.
#[test]
fn silent_router() {
    world::within("silent_router", &[Change::SilenceRouter2]);
}

/// Scenario: an address whose packets the second router swallows.
/// Guarantees: the path ends behind the first router with 100 % loss.
#[test]
fn unreachable_path() {
    world::within("unreachable_path", &[]);
}

/// Scenario: the first router begins to forward through another second router.
/// Guarantees: one log event with both paths, after three rounds; the metrics show the new hop.
#[test]
fn path_changes() {
    world::within("path_changes", &[]);
}

/// Scenario: pings to the server and into the hole, in all three modes.
/// Guarantees: no loss at the one, only loss at the other, requests counted only when they have ended.
#[test]
fn latency_and_loss() {
    world::within("latency_and_loss", &[]);
}

/// Scenario: the first router spreads flows over two second routers.
/// Guarantees: all probes to one target take one way, whatever their sequence; different targets take both.
#[test]
fn flows_stay() {
    world::within("flows_stay", &[Change::ThroughBoth]);
}

/// Scenario: `ao-agent ping` and fping with the same options, to hosts that answer, that are silent, and that are none.
/// Guarantees: the same lines but for the figures, and the same exit codes.
#[test]
fn pings_like_fping() {
    world::within("pings_like_fping", &[]);
}

/// Scenario: the interface goes down and comes back, and so does the address that is sent from.
/// Guarantees: meanwhile pings are not sent, which is told, and not lost; afterwards they are answered again.
#[test]
fn interface_goes() {
    world::within("interface_goes", &[]);
}

/// Scenario: started again by [`world::within`] inside its namespace, with the case to run.
/// Guarantees: what that case does; nothing where none is named.
#[test]
fn inner() {
    let Ok(case) = std::env::var(world::CASE) else { return };
    world::runtime().block_on(async {
        awake().await;
        match case.as_str() {
            "path_is_the_truth" => inside_truth().await,
            "silent_router" => inside_silent().await,
            "unreachable_path" => inside_unreachable().await,
            "path_changes" => inside_changes().await,
            "flows_stay" => inside_flows().await,
            "pings_like_fping" => pings::beside_fping(),
            "interface_goes" => pings::interface_goes().await,
            "latency_and_loss" => inside_latency().await,
            other => panic!("no case {other}"),
        }
    });
}

/// Waits until the new links carry packets both ways.
async fn awake() {
    let prober = Prober::start(&net::Config::default(), CancellationToken::new()).unwrap();
    let mut client = prober.client(1);
    let deadline = Instant::now() + Duration::from_secs(20);
    for target in [SERVER, SERVER6] {
        let dest = target.parse().unwrap();
        let timeout = Duration::from_millis(300);
        loop {
            let probe = net::Probe { timeout, ..net::Probe::to(dest) };
            client.send(probe).await.unwrap();
            match client.recv().await.unwrap().outcome {
                net::Outcome::Reply { .. } => break,
                other => assert!(Instant::now() < deadline, "{target}: {other:?}"),
            }
        }
    }
}

async fn inside_truth() {
    for mode in MODES {
        for (target, hops) in
            [(SERVER, ["10.77.1.1", "10.77.2.2", SERVER]), (SERVER6, ["fd77:1::1", "fd77:2::2", SERVER6])]
        {
            let mut source = Source::paths(mode, target, 1);
            let set = source.metrics(|_| true).await;
            let figures = hop_figures(&set);
            let found: Vec<&str> = figures.iter().map(|hop| hop["host"].as_str()).collect();
            assert_eq!(found, hops, "{mode} {target}\n{}", set.exposition());
            for hop in &figures {
                assert_eq!(hop["loss"], "0", "{mode} {target} {hop:?}");
                let rtt: f64 = hop["last"].parse().unwrap();
                assert!(rtt > 0.0 && rtt < 200.0, "{mode} {target} {hop:?}");
            }
            eprintln!("{mode} {target}: {}", summary(&figures));
        }
    }
}

async fn inside_silent() {
    for mode in MODES {
        let mut source = Source::paths(mode, SERVER, 2);
        let figures = hop_figures(&source.metrics(|_| true).await);
        let found: Vec<(&str, &str)> =
            figures.iter().map(|hop| (hop["host"].as_str(), hop["loss"].as_str())).collect();
        assert_eq!(found, [("10.77.1.1", "0"), ("???", "100"), (SERVER, "0")], "{mode}");
    }
}

async fn inside_unreachable() {
    for mode in MODES {
        let mut source = Source::paths(mode, BLACKHOLE, 1);
        let set = source.metrics(|_| true).await;
        let figures = hop_figures(&set);
        let found: Vec<(&str, &str, &str)> = figures
            .iter()
            .map(|hop| (hop["host"].as_str(), hop["loss"].as_str(), hop["hop"].as_str()))
            .collect();
        assert_eq!(found, [("10.77.1.1", "0", "first"), ("???", "100", "last")], "{mode}");
    }
}

async fn inside_changes() {
    let mut source = Source::paths(Mode::Raw, SERVER, 1);
    let before = hop_figures(&source.metrics(|_| true).await);
    assert_eq!(before[1]["host"], "10.77.2.2");
    World::from_env().apply(Change::ThroughRouter3);
    let (mut rounds, deadline) = (0, Instant::now() + Duration::from_secs(30));
    let mut hops = 0;
    let line = loop {
        match timeout_at(deadline, source.events.recv()).await.unwrap().unwrap() {
            Event::Metrics(_) => rounds += 1,
            Event::Spans(chunk) => hops = chunk.spans - 1,
            Event::Logs(chunk) => break chunk,
            other => panic!("{other:?}"),
        }
    };
    // The round under way at the change may show either path.
    assert!((3..=4).contains(&rounds), "{rounds}");
    assert_eq!(hops, 3, "a trace with a span for each hop");
    let (text, trace_id) = line.text.rsplit_once(r#","trace_id":""#).unwrap();
    assert_eq!(trace_id.len(), 34);
    assert_eq!(
        text,
        r#"{"address":"10.77.99.9","after":["10.77.1.1","10.77.4.2","10.77.99.9"],"before":["10.77.1.1","10.77.2.2","10.77.99.9"],"event":"path_change","kind":"route","sets":[{"after":["10.77.4.2"],"before":["10.77.2.2"],"ttl":2}],"target":"10.77.99.9""#
    );
    assert_eq!(line.labels.get("job"), Some("netpath"));
    let after = source.metrics(|_| true).await;
    assert_eq!(hop_figures(&after)[1]["host"], "10.77.4.2");
}

async fn inside_flows() {
    for mode in MODES {
        let config = net::Config { mode: Some(mode), ..net::Config::default() };
        let prober = Prober::start(&config, CancellationToken::new()).unwrap();
        let mut client = prober.client(64);
        let mut ways = BTreeMap::<IpAddr, BTreeSet<IpAddr>>::new();
        // A router answers six at once, then one a second (icmp_ratelimit): the rest times out, which does no harm.
        for n in [1, 1, 1, 1].into_iter().chain(2..24) {
            let dest = IpAddr::from([10, 78, 0, n]);
            let timeout = Duration::from_millis(100);
            let probe =
                net::Probe { ttl: Some(2), size: 36, timeout, key: u64::from(n), ..net::Probe::to(dest) };
            client.send(probe).await.unwrap();
            if let net::Outcome::Expired { from, .. } = client.recv().await.unwrap().outcome {
                ways.entry(dest).or_default().insert(from);
            }
        }
        assert!(ways.values().all(|way| way.len() == 1), "{mode}: {ways:?}");
        let both: BTreeSet<IpAddr> = ways.values().flatten().copied().collect();
        let routers = ["10.77.2.2", "10.77.4.2"].map(|router| router.parse().unwrap());
        assert_eq!(both, BTreeSet::from(routers), "{mode}: {ways:?}");
    }
}

async fn inside_latency() {
    for mode in MODES {
        let mut source = Source::latency(mode, &[SERVER, SERVER6, BLACKHOLE]);
        for (target, lost) in [(SERVER, false), (SERVER6, false), (BLACKHOLE, true)] {
            let get = |set: &MetricSet, name: &str| sample(set, name);
            let set = source
                .metrics(|set| set.group == target && get(set, "smokeping_requests_total") >= 100.0)
                .await;
            let (requests, answered) = (
                get(&set, "smokeping_requests_total"),
                get(&set, "smokeping_response_duration_seconds_count"),
            );
            assert_eq!(answered, if lost { 0.0 } else { requests }, "{mode} {target}");
            let unsent = get(&set, "smokeping_send_errors_total");
            assert_eq!(unsent, 0.0, "{mode} {target}");
            let sum = get(&set, "smokeping_response_duration_seconds_sum");
            if !lost {
                let mean = sum / answered;
                assert!(mean > 1e-6 && mean < 0.1, "{mode} {target}: {mean}");
                eprintln!("{mode} {target}: {requests} pings, mean {:.1} us", mean * 1e6);
            }
        }
    }
}

/// A running source.
struct Source {
    events: mpsc::Receiver<Event>,
    shutdown: CancellationToken,
    directed: watch::Sender<Arc<ao_proto::v1::Directives>>,
}

impl Source {
    fn start(mode: Mode) -> (Context, Arc<Prober>, Self) {
        let (sender, events) = mpsc::channel(64);
        let (directed, directives) = watch::channel(Arc::default());
        let shutdown = CancellationToken::new();
        // Whether the machine is busy, which others make it, is not told.
        let roots = Roots { proc: "/nowhere".into(), ..Roots::default() };
        let node = Node { name: "client".into(), roots, ..Node::default() };
        let ctx = Context { events: sender, directives, node: Arc::new(node), shutdown: shutdown.clone() };
        let config = net::Config { mode: Some(mode), ..net::Config::default() };
        let prober = Prober::start(&config, shutdown.clone()).unwrap();
        (ctx, prober, Self { events, shutdown, directed })
    }

    /// What the aggregator tells.
    fn direct(&self, directives: ao_proto::v1::Directives) {
        self.directed.send_replace(Arc::new(directives));
    }

    fn paths(mode: Mode, target: &str, queries: u32) -> Self {
        let config = path::Config {
            targets: vec![TargetSpec::from(target)],
            interval: Span::secs(1),
            timeout: Span(Duration::from_millis(500)),
            max_unknown: 4,
            queries,
            // One flow, so that rounds are as quick as they can be.
            flows: 1,
            // There is no name server: a router's refusals of those packets would count against its limit of errors.
            names: false,
            ..path::Config::default()
        };
        Self::path(mode, config)
    }

    fn path(mode: Mode, config: path::Config) -> Self {
        let (ctx, prober, source) = Self::start(mode);
        tokio::spawn(path::run(config, ctx, prober, Alarms::new(1)));
        source
    }

    fn latency(mode: Mode, targets: &[&str]) -> Self {
        let (ctx, prober, source) = Self::start(mode);
        let config = latency::Config {
            targets: targets.iter().map(|target| TargetSpec::from(*target)).collect(),
            interval: Span::secs(1),
            pings: 100,
            export: Span::secs(1),
            timeout: Span(Duration::from_millis(500)),
            ..latency::Config::default()
        };
        tokio::spawn(latency::run(config, ctx, prober, Alarms::new(1)));
        source
    }

    /// The next metrics that are `wanted`.
    async fn metrics(&mut self, wanted: impl Fn(&MetricSet) -> bool) -> MetricSet {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let event = timeout_at(deadline, self.events.recv()).await.expect("no metrics in time").unwrap();
            if let Event::Metrics(set) = event
                && wanted(&set)
            {
                return set;
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// The value of the only series of that name.
fn sample(set: &MetricSet, name: &str) -> f64 {
    let mut found = set.samples.iter().filter(|sample| {
        let family = set.text(&set.families[sample.family as usize].name);
        name.strip_prefix(family) == Some(sample.suffix)
    });
    let value = found.next().unwrap_or_else(|| panic!("no {name}")).value;
    assert!(found.next().is_none(), "{name} has several series");
    value
}

/// By hop: its labels, and its `mtr_report_*` values as texts.
fn hop_figures(set: &MetricSet) -> Vec<BTreeMap<String, String>> {
    let mut hops: BTreeMap<u32, BTreeMap<String, String>> = BTreeMap::new();
    for sample in &set.samples {
        let labels: BTreeMap<_, _> = set.labels_of(sample).collect();
        let family = set.text(&set.families[sample.family as usize].name);
        if let (Some(count), Some(column)) = (labels.get("count"), family.strip_prefix("mtr_report_")) {
            let hop = hops.entry(count.parse().unwrap()).or_default();
            hop.insert(column.to_owned(), sample.value.to_string());
            hop.extend(["host", "hop"].map(|label| (label.to_owned(), labels[label].to_owned())));
        }
    }
    assert_eq!(sample_count(set), hops.len() as f64);
    hops.into_values().collect()
}

fn sample_count(set: &MetricSet) -> f64 {
    sample(set, "mtr_report_count_hubs")
}

fn summary(figures: &[BTreeMap<String, String>]) -> String {
    let hop = |hop: &BTreeMap<String, String>| format!("{} {} ms", hop["host"], hop["last"]);
    figures.iter().map(hop).collect::<Vec<_>>().join(", ")
}
