//! `up` of a node in the real Prometheus: from the aggregator, which knows who should be there.

use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::prometheus::Prometheus;
use ao_tests::stack::{NODE, Stack};

/// How soon a silent node must be called down; the silence itself is shorter here.
const WITHIN: Duration = Duration::from_secs(30);

/// Scenario: a node reports, its agent is killed, the aggregator restarts meanwhile, the agent comes back.
/// Guarantees: `up` of each job is 1, 0 within 30 s, still 0 behind the restart, and 1 again; with the labels that boards
/// select by.
#[tokio::test(flavor = "multi_thread")]
async fn up_follows_the_agent() {
    let mut stack = Stack::new();
    let prometheus = Prometheus::start(&stack.folder().join("prometheus")).await;
    let sinks = format!("{{prometheus: {{url: \"{}/api/v1/write\"}}}}", prometheus.url);
    stack.start_aggregator(&sinks, "up: {interval: 1s, silence: 5s}").await;
    stack.start_agent("collectors: {interval: 1s}").await;
    let is = async |value: f64| {
        eventually(&format!("up is {value}"), WITHIN, async || {
            let labels = format!("instance=\"{NODE}\",node=\"{NODE}\",cluster=\"test\"");
            // The samples themselves: nothing is made up for those that are missing.
            let found = prometheus.query(&format!("last_over_time(up{{{labels}}}[4s])")).await?;
            let mut jobs: Vec<&str> = found.iter().map(|series| series.label("job")).collect();
            jobs.sort_unstable();
            let all = found.iter().all(|series| series.points[0].1 == value);
            match jobs == ["ao-agent", "cadvisor", "node-exporter"] && all {
                true => Ok(()),
                false => Err(format!("{found:?}")),
            }
        })
        .await;
    };
    is(1.0).await;
    stack.agent().kill();
    is(0.0).await;
    stack.aggregator().kill();
    stack.restart_aggregator().await;
    is(0.0).await;
    stack.restart_agent().await;
    is(1.0).await;
}
