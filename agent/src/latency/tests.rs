//! The source as a whole, against this machine's loopback and by paused time.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use ao_common::units::Span;
use ao_proto::v1::{Directives, Target};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::context::Node;
use crate::event::MetricSet;
use crate::net::{Mode, Outcome, Report, ResolveError, TargetSpec};

fn context() -> (Context, mpsc::Receiver<Event>, watch::Sender<Arc<Directives>>) {
    let (events, received) = mpsc::channel(64);
    let (directed, directives) = watch::channel(Arc::default());
    let ctx =
        Context { events, directives, node: Arc::new(Node::default()), shutdown: CancellationToken::new() };
    (ctx, received, directed)
}

const ROOM: Room = Room { pings: true, asks: true, lookups: true };

/// A machine that has time.
fn quiet(at: Instant) -> doubt::Mark {
    doubt::Mark { at, stalled_us: Some(0), dropped: [0, 0] }
}

fn value(set: &MetricSet, series: &str) -> Option<f64> {
    set.exposition().lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

/// Scenario: the loopback address as target, by raw ICMP, ping sockets and TCP, as far as this machine allows each.
/// Guarantees: answers are counted as in smokeping_prober, none lost, all series there.
#[tokio::test]
async fn loopback() {
    for mode in [Mode::Raw, Mode::Ping, Mode::Connect] {
        let (ctx, mut received, _directed) = context();
        let prober = match Prober::start(
            &net::Config { mode: Some(mode), ..Default::default() },
            ctx.shutdown.clone(),
        ) {
            Ok(prober) => prober,
            Err(error) => {
                eprintln!("SKIP loopback {mode}: {error}");
                continue;
            }
        };
        let config = Config {
            targets: vec!["127.0.0.1".into()],
            interval: Span(Duration::from_millis(100)),
            pings: 10,
            export: Span::secs(1),
            ..Config::default()
        };
        let source = tokio::spawn(run(config, ctx.clone(), prober, Alarms::new(1)));
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let event = tokio::time::timeout_at(deadline, received.recv()).await.unwrap().unwrap();
            let Event::Metrics(set) = event else { panic!("{event:?}") };
            if set.group.is_empty() {
                assert_eq!(value(&set, "smokeping_receive_errors_total"), Some(0.0));
                continue;
            }
            assert_eq!((set.source, set.job, set.group.as_str()), ("latency", "smokeping", "127.0.0.1"));
            assert_eq!(set.instance.as_deref(), Some("127.0.0.1"));
            let labels = r#"{host="127.0.0.1",ip="127.0.0.1",source="",tos="0"}"#;
            let get = |name: &str| value(&set, &format!("{name}{labels}")).unwrap();
            let requests = get("smokeping_requests_total");
            let answered = get("smokeping_response_duration_seconds_count");
            assert_eq!(requests, answered, "{mode}: nothing is lost on loopback");
            assert_eq!(get("smokeping_send_errors_total"), 0.0);
            if requests >= 20.0 {
                let rtts = "ao_latency_round_seconds{host=\"127.0.0.1\",ip=\"127.0.0.1\",source=\"\",tos=\"0\",stat=\"median\"}";
                let median = value(&set, rtts).unwrap();
                assert!(median > 0.0 && median < 0.1, "{mode}: {median}");
                break;
            }
        }
        ctx.shutdown.cancel();
        source.await.unwrap();
    }
}

/// Scenario: the aggregator names a second target, then takes it back, while the source runs.
/// Guarantees: it appears at once, and its series are ended by an empty set of its group.
#[tokio::test(start_paused = true)]
async fn directives_apply() {
    let (ctx, mut received, directed) = context();
    let prober = Prober::start(&net::Config::default(), ctx.shutdown.clone()).unwrap();
    let config = Config { targets: vec!["127.0.0.1".into()], ..Config::default() };
    let source = tokio::spawn(run(config, ctx.clone(), prober, Alarms::new(1)));
    let other = Directives {
        latency: vec![Target { host: "127.0.0.2".into(), ..Default::default() }],
        ..Default::default()
    };
    for (directives, samples) in [(other, true), (Directives::default(), false)] {
        directed.send(Arc::new(directives)).unwrap();
        loop {
            let Some(Event::Metrics(set)) = received.recv().await else { panic!("the source has ended") };
            if set.group == "127.0.0.2" && set.samples.is_empty() != samples {
                break;
            }
        }
    }
    ctx.shutdown.cancel();
    while received.recv().await.is_some() {
        if source.is_finished() {
            break;
        }
    }
}

/// Scenario: a target without an address, then with one; an hour of schedule for 50 targets.
/// Guarantees: no pings but send errors while it has none; afterwards the configured number per round.
#[tokio::test(start_paused = true)]
async fn schedule() {
    let config = Config::default();
    let config = Config { targets: (0..50).map(|n| format!("t{n}").as_str().into()).collect(), ..config };
    let mut fleet = Fleet::new(config);
    let start = Instant::now();
    fleet.apply(fleet.plans(&[]), start);
    let mut pings = 0;
    let mut errors = 0.0;
    while Instant::now() < start + Duration::from_secs(3600) {
        fleet.wait().await;
        let now = Instant::now();
        match fleet.due(now, ROOM) {
            Some(Due::Ping(probe)) => {
                pings += 1;
                fleet.report(&Report { key: probe.key, outcome: Outcome::Timeout, gap: None }, quiet(now));
            }
            Some(Due::Resolve(id, host, _)) => {
                let known = now >= start + Duration::from_secs(1800);
                let found =
                    if known { Ok(IpAddr::from([10, 0, 0, 1])) } else { Err(ResolveError::Empty(host)) };
                fleet.resolved(id, found, Duration::ZERO, now);
            }
            Some(Due::Export(set)) => {
                let total = "smokeping_send_errors_total{host=\"t7\",ip=\"\",source=\"\",tos=\"0\"}";
                errors = value(&set, total).unwrap_or(errors);
            }
            Some(Due::Ask(ask)) => panic!("{ask:?}"),
            None => {}
        }
    }
    // 20 a minute for 30 minutes, to each of 50; the lookup that succeeds comes up to 10 s after the half hour.
    assert!((29_500..=30_050).contains(&pings), "{pings}");
    assert!((590.0..=605.0).contains(&errors), "{errors}");
}

/// Scenario: an alert of three rounds with loss, on a target that loses one ping in each round; then none; then the same
/// while the prober is starved.
/// Guarantees: a metric and one log event at the beginning and at the end; a starved round raises nothing.
#[tokio::test(start_paused = true)]
async fn alerts() {
    let yaml = "{targets: [10.0.0.1], interval: 2s, pings: 2, raise: [someloss], alerts: {someloss: {type: loss, \
                pattern: '>0%,>0%,>0%', edgetrigger: true, comment: three in a row}}}";
    let config: Config = serde_yaml_ng::from_str(yaml).unwrap();
    config.check().unwrap();
    let mut fleet = Fleet::new(config);
    fleet.apply(fleet.plans(&[]), Instant::now());
    let (mut pings, mut told, mut raised, mut rounds) = (0, Vec::new(), Vec::new(), Vec::new());
    // Rounds: 4 with loss, 2 without, 4 with loss while answers are dropped.
    while pings < 20 {
        fleet.wait().await;
        let now = Instant::now();
        match fleet.due(now, ROOM) {
            Some(Due::Resolve(id, host, _)) => {
                fleet.resolved(id, Ok(host.parse().unwrap()), Duration::ZERO, now)
            }
            Some(Due::Ping(probe)) => {
                let (round, first) = (pings / 2, pings % 2 == 0);
                pings += 1;
                let lost = first && !(4..6).contains(&round);
                let rtt = Duration::from_millis(3);
                let outcome = if lost { Outcome::Timeout } else { Outcome::Reply { rtt, ttl: None } };
                let dropped = if round < 6 { 0 } else { pings };
                let report = Report { key: probe.key, outcome, gap: Some(Duration::ZERO) };
                fleet.report(&report, doubt::Mark { dropped: [dropped, 0], ..quiet(now) });
                if !first {
                    rounds.push(round);
                }
            }
            Some(Due::Export(_)) | None => {}
            Some(other) => panic!("{other:?}"),
        }
        for event in fleet.events() {
            let Event::Logs(chunk) = event else { panic!("{event:?}") };
            let line: serde_json::Value = serde_json::from_str(&chunk.text).unwrap();
            told.push((rounds.len(), line["state"].as_str().unwrap().to_owned()));
            assert_eq!((&line["alert"], &line["comment"]), (&"someloss".into(), &"three in a row".into()));
        }
        let set = fleet.last().next().unwrap();
        let series =
            "ao_latency_alert{host=\"10.0.0.1\",ip=\"10.0.0.1\",source=\"\",tos=\"0\",alert=\"someloss\"}";
        if raised.len() < rounds.len() {
            raised.push(value(&set, series).unwrap());
        }
        if rounds.len() == 10 {
            let labels = "{host=\"10.0.0.1\",ip=\"10.0.0.1\",source=\"\",tos=\"0\"}";
            assert_eq!(value(&set, &format!("ao_latency_round_starved{labels}")), Some(1.0));
            assert_eq!(value(&set, &format!("ao_latency_starved_rounds_total{labels}")), Some(4.0));
        }
    }
    assert_eq!(told, [(3, "raised".to_owned()), (5, "cleared".to_owned())]);
    assert_eq!(raised, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

/// Scenario: 10,000 targets at a ping a second each, for ten seconds; then the machine sleeps for a minute.
/// Guarantees: each has its pings, evenly over the second; after the sleep one each, not sixty, and the round is starved.
#[tokio::test(start_paused = true)]
async fn ten_thousand_targets() {
    let targets =
        (0..10_000_u32).map(|n| std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string().as_str().into());
    let config = Config { targets: targets.collect(), interval: Span::secs(20), ..Config::default() };
    let mut fleet = Fleet::new(config);
    let start = Instant::now();
    fleet.apply(fleet.plans(&[]), start);
    let by_tick = std::cell::RefCell::new(std::collections::BTreeMap::<u128, u32>::new());
    let run = |fleet: &mut Fleet, now: Instant| {
        let mut pings = 0_u32;
        while let Some(due) = fleet.due(now, ROOM) {
            match due {
                Due::Resolve(id, host, _) => {
                    fleet.resolved(id, Ok(host.parse().unwrap()), Duration::ZERO, now)
                }
                Due::Ping(probe) => {
                    pings += 1;
                    let outcome = Outcome::Reply { rtt: Duration::from_millis(1), ttl: None };
                    fleet.report(&Report { key: probe.key, outcome, gap: Some(Duration::ZERO) }, quiet(now));
                }
                _ => {}
            }
        }
        *by_tick.borrow_mut().entry((now - start).as_millis() / 100).or_default() += pings;
        pings
    };
    let mut pings = 0;
    while Instant::now() < start + Duration::from_secs(10) {
        fleet.wait().await;
        pings += run(&mut fleet, Instant::now());
    }
    assert!((99_000..=100_500).contains(&pings), "{pings}");
    tokio::time::advance(Duration::from_secs(60)).await;
    let woken = run(&mut fleet, Instant::now());
    assert!((9_900..=10_100).contains(&woken), "{woken}");
    // A tenth of a second has a tenth of the pings, but for chance.
    let even =
        by_tick.borrow().iter().filter(|(tick, _)| **tick < 99).all(|(_, n)| (800..=1_200).contains(n));
    assert!(even, "{by_tick:?}");
    let late = fleet.last().filter(|set| set.exposition().contains("ao_latency_round_starved")).count();
    assert_eq!(late, 0, "no round has ended");
    while Instant::now() < start + Duration::from_secs(85) {
        fleet.wait().await;
        run(&mut fleet, Instant::now());
    }
    let starved = |set: &MetricSet| {
        set.exposition().lines().any(|l| l.starts_with("ao_latency_round_starved{") && l.ends_with(" 1"))
    };
    assert_eq!(fleet.last().filter(starved).count(), 10_000);
}

/// Scenario: 450 services that never answer, 100 hosts that do, 500 names that nobody can look up; 256 questions, 16
/// lookups and 50 pings may be under way. Five minutes.
/// Guarantees: addresses and the gateway wait for no name; all room is used, in turn; what is not asked in time is left out
/// and counted; those that answer have all their pings, in time, and no round of theirs is starved.
#[tokio::test(start_paused = true)]
async fn crowded() {
    let services = (0..450).map(|n| format!("10.0.{}.{}", n / 250, n % 250).as_str().into());
    let names = (0..500).map(|n| format!("t{n}").as_str().into()).chain([net::GATEWAY.into()]);
    let icmp: Vec<TargetSpec> = (0..100).map(|n| format!("10.1.0.{n}").as_str().into()).collect();
    let group = serde_yaml_ng::from_str::<Group>("{name: g, probe: icmp}").unwrap();
    let config = Config {
        probe: Kind::Tcp { port: 443 },
        targets: services.chain(names).collect(),
        groups: vec![Group { targets: icmp, ..group }],
        ..Config::default()
    };
    let mut fleet = Fleet::new(config);
    let start = Instant::now();
    fleet.apply(fleet.plans(&[]), start);
    let [mut asks, mut pings] = [const { VecDeque::new() }; 2];
    let (mut lookups, mut gateway) = (VecDeque::<(Instant, u64, String)>::new(), None);
    let (mut asked, mut pinged) = (0, 0);
    let ms = Duration::from_millis;
    while Instant::now() < start + Duration::from_secs(300) {
        fleet.wait().await;
        let now = Instant::now();
        // What is under way ends: questions after two seconds, lookups after five, pings at once.
        while let Some((_, key)) = asks.pop_front_if(|(at, _)| *at <= now) {
            fleet.report(&Report { key, outcome: Outcome::Timeout, gap: None }, quiet(now));
        }
        while let Some((_, id, host)) = lookups.pop_front_if(|(at, ..)| *at <= now) {
            fleet.resolved(id, Err(ResolveError::Empty(host)), Duration::ZERO, now);
        }
        while let Some((_, key)) = pings.pop_front_if(|(at, _)| *at <= now) {
            let outcome = Outcome::Reply { rtt: ms(1), ttl: None };
            fleet.report(&Report { key, outcome, gap: Some(Duration::ZERO) }, quiet(now));
        }
        // As the source does it: so many steps, then the others have their turn.
        for _ in 0..BATCH {
            let room =
                Room { pings: pings.len() < 50, asks: asks.len() < ASKS, lookups: lookups.len() < LOOKUPS };
            match fleet.due(now, room) {
                Some(Due::Ask(ask)) => {
                    asked += 1;
                    asks.push_back((now + ask.timeout, ask.key));
                }
                Some(Due::Ping(probe)) => {
                    pinged += 1;
                    pings.push_back((now + ms(1), probe.key));
                }
                Some(Due::Resolve(id, host, _)) if host == net::GATEWAY => {
                    gateway.get_or_insert(now);
                    fleet.resolved(id, Ok(IpAddr::from([10, 2, 0, 1])), Duration::ZERO, now);
                }
                Some(Due::Resolve(id, host, _)) => {
                    assert!(host.starts_with('t') && lookups.len() < LOOKUPS, "{host}");
                    lookups.push_back((now + Duration::from_secs(5), id, host));
                }
                Some(Due::Export(_)) => {}
                None => break,
            }
        }
    }
    assert!(gateway.unwrap() < start + Duration::from_millis(100));
    // 256 under way for two seconds and up to a tick each; 20 a minute of each host.
    assert!((37_500..=38_400).contains(&asked), "{asked}");
    assert!((9_900..=10_000).contains(&pinged), "{pinged}");
    let sum = |name: &str| {
        let sets = fleet.last().map(|set| set.exposition());
        let lines: Vec<String> =
            sets.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        let of = lines.iter().filter(|line| line.starts_with(name) && line.contains("\"10."));
        of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    assert_eq!(sum("ao_latency_starved_rounds_total{"), 0.0);
    // 150 a second are wanted of the services.
    let left_out = sum("smokeping_send_errors_total{");
    assert!((5_500.0..=7_500.0).contains(&left_out), "{left_out}");
}

/// Scenario: a tree of groups as people write it, with an aggregator that names one host more and one that is there.
/// Guarantees: members inherit, labels add up, a group's host is not pinged twice.
#[test]
fn tree() {
    let yaml = "
targets: [gateway]
pings: 10
labels: {}
";
    assert!(serde_yaml_ng::from_str::<Config>(yaml).is_err(), "the section itself has no labels");
    let yaml = "
targets: [gateway]
pings: 10
groups:
  - name: europe
    labels: {region: eu}
    timeout: 1s
    targets: [{host: 192.0.2.1, labels: {name: hub}}]
    groups:
      - name: web
        probe: {http: {port: 8080, path: /healthz}}
        interval: 300s
        targets: [192.0.2.1, www.example]
      - {name: dns, pings: 5, tos: 184, source: 192.0.2.9, probe: {dns: {query: example.org}}, targets: [192.0.2.53]}
";
    let config: Config = serde_yaml_ng::from_str(yaml).unwrap();
    config.check().unwrap();
    let directed =
        ["192.0.2.53", "192.0.2.77"].map(|host| Target { host: host.into(), ..Default::default() });
    let plans = config.plans(&directed);
    let shown: Vec<String> = plans
        .iter()
        .map(|p| {
            format!(
                "{} {:?} {:?} {}/{:?} {:?} {}",
                p.id,
                p.labels,
                p.probe.label(),
                p.pings,
                p.interval,
                p.timeout,
                p.tos
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"europe/192.0.2.1#hub {"group": "europe", "name": "hub", "region": "eu"} None 10/60s 1s 0"#,
            r#"europe/web/192.0.2.1 {"group": "europe/web", "probe": "http:8080/healthz", "region": "eu"} Some("http:8080/healthz") 10/300s 1s 0"#,
            r#"europe/web/www.example {"group": "europe/web", "probe": "http:8080/healthz", "region": "eu"} Some("http:8080/healthz") 10/300s 1s 0"#,
            r#"europe/dns/192.0.2.53 {"group": "europe/dns", "probe": "dns:example.org", "region": "eu"} Some("dns:example.org") 5/60s 1s 184"#,
            "192.0.2.77 {} None 10/60s 2s 0",
            "gateway {} None 10/60s 2s 0",
        ]
    );
}

/// Scenario: sections with a mistake.
/// Guarantees: each is refused, and the words name the place.
#[test]
fn mistakes() {
    let refuse = |yaml: &str| match serde_yaml_ng::from_str::<Config>(yaml) {
        Ok(config) => config.check().unwrap_err(),
        Err(error) => error.to_string(),
    };
    for (yaml, word) in [
        ("{raise: [x]}", "\"x\""),
        ("{pings: 0}", "pings"),
        ("{groups: [{name: ''}]}", "name"),
        ("{groups: [{name: a/b}]}", "slashes"),
        ("{groups: [{name: a, groups: [{name: b, raise: [y]}]}]}", "[a].groups[b].raise"),
        ("{groups: [{name: a, pings: 2000}]}", "2000"),
        ("{alerts: {x: {type: loss, pattern: '>0'}}}", ">0"),
        ("{alerts: {x: {type: rtt, pattern: '>10%'}}}", ">10%"),
        ("{alerts: {x: {type: speed, pattern: '>10'}}}", "speed"),
        ("{alerts: {x: {type: matcher, pattern: 'CheckLoss(l=>1)'}}}", "x=>"),
        ("{alerts: {x: {type: matcher, pattern: 'Nothing(l=>1)'}}}", "Nothing"),
        ("{probe: ping}", "icmp"),
        ("{probe: {tcp: {port: 0}}}", "icmp"),
        ("{probe: {tcp: {port: 1}, udp: {port: 1}}}", "one of"),
        ("{probe: {dns: {query: example.org, record: WHAT}}}", "WHAT"),
        ("{probe: {http: {path: healthz}}}", "healthz"),
        ("{probe: {http: {method: 'GET / HTTP/1.1\r\nX'}}}", "method"),
    ] {
        let why = refuse(yaml);
        assert!(why.contains(word), "{yaml}: {why}");
    }
}
