//! Host metrics into the real Prometheus.

use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::prometheus::{Found, Prometheus};
use ao_tests::stack::{NODE, Stack};

/// Scenario: agent and aggregator run on this host, Prometheus takes remote write.
/// Guarantees: node_exporter's series arrive with their names, the job, instance, node and cluster labels, and this
/// host's values.
#[tokio::test(flavor = "multi_thread")]
async fn host_series_arrive_in_prometheus() {
    let mut stack = Stack::new();
    let prometheus = Prometheus::start(&stack.folder().join("prometheus")).await;
    stack
        .start_aggregator(&format!("{{prometheus: {{url: \"{}/api/v1/write\"}}}}", prometheus.url), "")
        .await;
    stack.start_agent("collectors: {interval: 1s}").await;

    let one = async |promql: &str| -> Found {
        let what = format!("{promql} in Prometheus");
        eventually(&what, Duration::from_secs(30), async || {
            let found = prometheus.query(promql).await?;
            found.into_iter().next().ok_or_else(|| "nothing yet".to_owned())
        })
        .await
    };
    let total = one("node_memory_MemTotal_bytes").await;
    for (label, value) in [("job", "node-exporter"), ("instance", NODE), ("node", NODE), ("cluster", "test")]
    {
        assert_eq!(total.label(label), value, "{label} of {:?}", total.labels);
    }
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kib: f64 = meminfo.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(total.points[0].1, kib * 1024.0);

    let cpus = std::thread::available_parallelism().unwrap().get() as f64;
    assert!(one("count(node_cpu_seconds_total{mode=\"idle\"})").await.points[0].1 >= cpus);
    let boot = one("node_boot_time_seconds").await.points[0].1;
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let btime = stat.lines().find_map(|line| line.strip_prefix("btime ")).unwrap();
    assert_eq!(boot, btime.parse::<f64>().unwrap());
    for series in [
        "node_load1",
        "node_filesystem_size_bytes",
        "node_disk_read_bytes_total",
        "node_network_receive_bytes_total{device=\"lo\"}",
        "node_context_switches_total",
        "node_uname_info",
        "node_time_seconds",
        "rate(node_cpu_seconds_total{mode=\"user\"}[20s])",
        "node_scrape_collector_success{collector=\"cpu\"} == 1",
    ] {
        one(series).await;
    }
}

/// Scenario: an agent pings its target and traces the way to it.
/// Guarantees: round trips arrive under smokeping_prober's names, the path under mtr-exporter's.
#[tokio::test(flavor = "multi_thread")]
async fn latency_and_path_arrive_in_prometheus() {
    let mut stack = Stack::new();
    let prometheus = Prometheus::start(&stack.folder().join("prometheus")).await;
    stack
        .start_aggregator(&format!("{{prometheus: {{url: \"{}/api/v1/write\"}}}}", prometheus.url), "")
        .await;
    stack
        .start_agent(
            "latency: {targets: [127.0.0.1], interval: 4s}\npath: {targets: [127.0.0.1], interval: 5s}",
        )
        .await;
    let at_least = async |promql: &str, bound: f64| {
        let what = format!("{promql} >= {bound}");
        eventually(&what, Duration::from_secs(60), async || {
            let found = prometheus.query(promql).await?;
            let value = found.first().map(|f| f.points[0].1);
            value.filter(|v| *v >= bound).ok_or_else(|| format!("{found:?}"))
        })
        .await
    };
    at_least("smokeping_requests_total{host=\"127.0.0.1\",job=\"smokeping\"}", 3.0).await;
    at_least("smokeping_response_duration_seconds_count{host=\"127.0.0.1\"}", 3.0).await;
    at_least("smokeping_response_duration_seconds_bucket{host=\"127.0.0.1\",le=\"26.2144\"}", 3.0).await;
    let hops = at_least("mtr_report_count_hubs{dst=\"127.0.0.1\",job=\"mtr\"}", 1.0).await;
    assert_eq!(hops, 1.0);
}
