//! An hour without stores, in a minute.

use std::time::{Duration, Instant};

use ao_tests::eventually::eventually;
use ao_tests::link::{Link, Weather};
use ao_tests::load::{self, Load, counter};
use ao_tests::loki::Loki;
use ao_tests::prometheus::Prometheus;
use ao_tests::stack::{Stack, metric};
use ao_tests::tempo::Tempo;
use ao_tests::verdict::{self, SKIPPED, now_s};
use ao_tests::workspace::report;

/// An hour at an interval of a minute, sixty times as fast.
const ROUNDS: u32 = 60;
const INTERVAL: Duration = Duration::from_secs(1);

/// Scenario: the host is read sixty times, as in an hour at an interval of a minute, while no store can be reached, and for the second half the
/// aggregator cannot either; in the middle both processes are killed and started again. Lines and spans flow meanwhile.
/// Guarantees: afterwards new data is at the stores within seconds; every line, span and sample is there, once; the
/// counter in Prometheus has no gap but the moments without an agent.
#[tokio::test(flavor = "multi_thread")]
async fn an_hour_without_stores_loses_nothing() {
    let mut stack = Stack::new();
    let prometheus = Prometheus::start(&stack.folder().join("prometheus")).await;
    let (loki, tempo) = (Loki::start().await, Tempo::start().await);
    let link = |url: &str| Link::to(url.trim_start_matches("http://").parse().unwrap());
    let stores = [link(&prometheus.url), link(&loki.url), link(&tempo.url)];
    let uplink = Link::to(stack.ingest);
    stack.uplink = Some(uplink.address);
    let (begin, began_s) = (Instant::now(), now_s());
    let proc = stack.folder().join("proc");
    let clock = counter::start(&proc, begin);
    let [to_prometheus, to_loki, to_tempo] = stores.each_ref().map(|link| link.address);
    let sinks = format!(
        "{{prometheus: {{url: \"http://{to_prometheus}/api/v1/write\"}}, \
         loki: {{url: \"http://{to_loki}/loki/api/v1/push\"}}, tempo: {{url: \"http://{to_tempo}\"}}}}"
    );
    stack.start_aggregator(&sinks, "fanout: {retry_cap: 500ms}").await;
    let agent = |collectors: &[&str]| counter::agent(&proc, INTERVAL, collectors);
    stack.start_agent(&agent(&counter::COLLECTORS)).await;
    let load = Load::default();
    load::lines::start(&load, &stack.pods(), &stack.files());
    load::spans::start(&load, stack.otlp);
    let newest = async || match prometheus.query(counter::METRIC).await?.first() {
        Some(series) => Ok(Duration::from_millis(series.points[0].1 as u64)),
        None => Err("no sample".to_owned()),
    };
    let arrives = async |what: &str| {
        let since = begin.elapsed();
        eventually(what, Duration::from_secs(30), async || match newest().await? {
            newest if newest > since => Ok(()),
            newest => Err(format!("the newest sample is {:?} old", begin.elapsed().saturating_sub(newest))),
        })
        .await;
        begin.elapsed() - since
    };
    arrives("data flows").await;

    stores.iter().for_each(|link| link.set(Weather::Cut));
    tokio::time::sleep(INTERVAL * ROUNDS / 2).await;
    uplink.set(Weather::Cut);
    let admin = stack.admin;
    let skipped = async || metric(admin, SKIPPED, "").await.unwrap();
    let skipped_before = skipped().await;
    let killed = Instant::now();
    stack.agent().kill();
    stack.aggregator().kill();
    stack.restart_agent().await;
    let without_agent = killed.elapsed();
    stack.restart_aggregator().await;
    tokio::time::sleep(INTERVAL * ROUNDS / 2).await;
    uplink.set(Weather::Fine);
    stores.iter().for_each(|link| link.set(Weather::Fine));
    let back = arrives("new data after the outage").await;

    load.end();
    let (mut at_loki, mut at_tempo) = (verdict::Lines::default(), verdict::Spans::default());
    eventually("every line and span", Duration::from_secs(90), async || {
        let owed = load.owed().clone();
        let (lines, spans) = (at_loki.look(&owed, &loki), at_tempo.look(&owed, &tempo));
        if lines.lost + spans.lost == 0 { Ok(()) } else { Err(format!("{lines:?} {spans:?}")) }
    })
    .await;
    let skipped = skipped_before + skipped().await;
    // Without its collectors, so that what is spooled does not grow.
    assert!(stack.agent().stop().await.success());
    stack.start_agent(&agent(&[])).await;
    let (samples, gap_s) = eventually("every sample", Duration::from_secs(60), async || {
        let (samples, gap) =
            verdict::of_samples(&prometheus.url, stack.admin, began_s, &clock.stalls()).await?;
        if samples.lost == 0 { Ok((samples, gap)) } else { Err(format!("{samples:?}")) }
    })
    .await;
    let owed = load.owed().clone();
    let (lines, spans) = (at_loki.look(&owed, &loki), at_tempo.look(&owed, &tempo));
    for signal in [&samples, &lines, &spans] {
        assert!(signal.sent > 0 && signal.double == 0, "{signal:?}");
    }
    // The round before, the one behind, and what the agent says that it has left out.
    let may_be = without_agent.as_secs_f64() + (2.0 + skipped) * INTERVAL.as_secs_f64();
    assert!(
        gap_s < may_be,
        "{gap_s} s without a sample, {without_agent:?} without an agent, {skipped} rounds left out"
    );
    report(
        "outage",
        &serde_json::json!({
            "rounds": ROUNDS, "samples": samples, "lines": lines, "spans": spans,
            "longest_gap_seconds": gap_s, "without_agent_seconds": without_agent.as_secs_f64(), "fresh_after_seconds": back.as_secs_f64(),
        }),
    );
}
