//! The source as a whole, against this machine's loopback and by paused time.

use std::net::IpAddr;
use std::time::Duration;

use ao_common::units::Span;
use ao_proto::v1::{Directives, Target};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::context::Node;
use crate::event::MetricSet;
use crate::net::{Mode, Outcome, Report, ResolveError};

fn context() -> (Context, mpsc::Receiver<Event>, watch::Sender<Arc<Directives>>) {
    let (events, received) = mpsc::channel(64);
    let (directed, directives) = watch::channel(Arc::default());
    let ctx =
        Context { events, directives, node: Arc::new(Node::default()), shutdown: CancellationToken::new() };
    (ctx, received, directed)
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
        let source = tokio::spawn(run(config, ctx.clone(), prober));
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let event = tokio::time::timeout_at(deadline, received.recv()).await.unwrap().unwrap();
            let Event::Metrics(set) = event else { panic!("{event:?}") };
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
    let source = tokio::spawn(run(config, ctx.clone(), prober));
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
    let mut fleet = Fleet::new(config);
    let start = Instant::now();
    fleet.apply((0..50).map(|n| TargetSpec::from(format!("t{n}").as_str())).collect(), start);
    let mut pings = 0;
    let mut errors = 0.0;
    while Instant::now() < start + Duration::from_secs(3600) {
        fleet.wait().await;
        let now = Instant::now();
        match fleet.due(now) {
            Some(Due::Ping(probe)) => {
                pings += 1;
                fleet.report(Report { key: probe.key, outcome: Outcome::Timeout, gap: None });
            }
            Some(Due::Resolve(id, host, _)) => {
                let known = now >= start + Duration::from_secs(1800);
                let found =
                    if known { Ok(IpAddr::from([10, 0, 0, 1])) } else { Err(ResolveError::Empty(host)) };
                fleet.resolved(id, found, now);
            }
            Some(Due::Export(set)) => {
                let total = "smokeping_send_errors_total{host=\"t7\",ip=\"\",source=\"\",tos=\"0\"}";
                errors = value(&set, total).unwrap_or(errors);
            }
            None => {}
        }
    }
    // 20 a minute for 30 minutes, to each of 50; the lookup that succeeds comes up to 10 s after the half hour.
    assert!((29_500..=30_050).contains(&pings), "{pings}");
    assert!((590.0..=605.0).contains(&errors), "{errors}");
}
