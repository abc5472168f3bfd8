//! kill -9 of the aggregator while data flows.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::loki::Loki;
use ao_tests::prometheus::Prometheus;
use ao_tests::script::Reply;
use ao_tests::stack::{Stack, metric};
use ao_tests::verdict::{self, SKIPPED};
use ao_tests::workspace::report;

use crate::writer::{CriFile, container};

const LINES: u64 = 100_000;
const KILLS: usize = 2;
/// What sends to Loki, each one request at a time: one sends what is fresh, one what the sink was behind with.
const WORKERS: usize = 2;

/// Scenario: 100,000 numbered lines and a counter a second flow; the aggregator is killed twice, once right after
/// Loki took a request whose answer was lost.
/// Guarantees: every line is at Loki; a line that is there twice came in two requests of the same bytes and is
/// counted as resent, at most one request a worker and kill; in Prometheus no second of the counter is missing.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_aggregator_is_killed() {
    let mut stack = Stack::new();
    let loki = Loki::start().await;
    let prometheus = Prometheus::start(&stack.folder().join("prometheus")).await;
    let sinks = format!(
        "{{loki: {{url: \"{}/loki/api/v1/push\"}}, prometheus: {{url: \"{}/api/v1/write\"}}}}",
        loki.url, prometheus.url
    );
    stack.start_aggregator(&sinks, "").await;
    stack.start_agent("collectors: {interval: 1s}").await;
    let folder = container(&stack.pods(), "shop", "web-1", "uid-1", "app");
    let writing = tokio::task::spawn_blocking(move || {
        let mut file = CriFile::create(&folder.join("0.log"));
        let pause = std::sync::mpsc::sync_channel::<()>(0).1;
        for block in 0..LINES / 500 {
            file.number("line", block * 500..(block + 1) * 500);
            // Spreads the lines over some ten seconds; nobody sends, so this only waits.
            let _timeout = pause.recv_timeout(Duration::from_millis(50));
        }
    });
    let arrived = |loki: &Loki| loki.recorded().lines.len() as u64;
    let at_least = async |count: u64| {
        eventually(&format!("{count} lines"), Duration::from_secs(90), async || {
            let now = arrived(&loki);
            if now >= count { Ok(()) } else { Err(format!("{now} lines")) }
        })
        .await;
    };
    at_least(LINES / 10).await;
    // Loki takes this one, but the aggregator is killed before it can know.
    loki.script.push([Reply::AcceptAndHang]);
    eventually("the request in doubt", Duration::from_secs(20), async || {
        if loki.script.left() == 0 { Ok(()) } else { Err("not yet") }
    })
    .await;
    stack.aggregator().kill();
    stack.restart_aggregator().await;
    at_least(LINES / 2).await;
    stack.aggregator().kill();
    stack.restart_aggregator().await;
    writing.await.unwrap();

    let mut seen = HashMap::<u64, Vec<usize>>::new();
    eventually("every line", Duration::from_secs(120), async || {
        seen.clear();
        for line in &loki.recorded().lines {
            let number = line.text.rsplit(' ').next().and_then(|n| n.parse().ok());
            seen.entry(number.ok_or("a split line")?).or_default().push(line.request);
        }
        if seen.len() as u64 == LINES { Ok(()) } else { Err("lines are missing") }
    })
    .await;
    let twice: Vec<_> = seen.values().filter(|requests| requests.len() > 1).collect();
    let double = twice.len() as u64;
    let requests = {
        let bodies = &loki.recorded().bodies;
        for requests in &twice {
            let first = &bodies[requests[0]];
            assert!(requests.iter().all(|&n| bodies[n] == *first), "a line came again in other bytes");
        }
        bodies.len() - bodies.iter().collect::<HashSet<_>>().len()
    };
    assert!(double > 0, "the scripted doubt makes a double");
    assert!(requests <= KILLS * WORKERS, "{requests} requests came twice, at {KILLS} kills");
    let labels = "sink=\"loki\"";
    let resent = stack.aggregator_metric("ao_ledger_resent_records_total", labels).await.unwrap();
    assert!(resent >= double as f64, "{resent} counted as resent, {double} came twice");

    let samples = eventually("the counter", Duration::from_secs(60), async || {
        let found = prometheus.query("node_context_switches_total[10m]").await?;
        let series = found.into_iter().next().ok_or("nothing yet")?;
        if series.points.len() > 10 { Ok::<_, String>(series.points) } else { Err("too few".to_owned()) }
    })
    .await;
    verdict::every_second(&samples, stack.admin).await.unwrap();
    let skipped = metric(stack.admin, SKIPPED, "").await.unwrap();
    report(
        "kill-aggregator",
        &serde_json::json!({
            "written": LINES, "delivered": seen.len(), "lost": LINES - seen.len() as u64,
            "double": double, "resent": resent, "requests_twice": requests,
            "counter_samples": samples.len(), "rounds_left_out": skipped,
        }),
    );
}
