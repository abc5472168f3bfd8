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

/// Scenario: a host with two network devices, of which one vanishes.
/// Guarantees: the vanished one's series end with a staleness marker: gone at once, not after Prometheus's five minutes;
/// the other's go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_device_ends() {
    let mut stack = Stack::new();
    let prometheus = Prometheus::start(&stack.folder().join("prometheus")).await;
    stack
        .start_aggregator(&format!("{{prometheus: {{url: \"{}/api/v1/write\"}}}}", prometheus.url), "")
        .await;
    let proc = stack.folder().join("proc");
    let devices = proc.join("net/dev");
    std::fs::create_dir_all(proc.join("net")).unwrap();
    let write = |names: &[&str]| {
        let row = |name: &&str| format!("{name}: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
        let text: String = names.iter().map(row).collect();
        // Renamed into place: a file half written would be a host of its own.
        std::fs::write(proc.join("new"), format!("Inter-|Receive|Transmit\n face |bytes|bytes\n{text}"))
            .unwrap();
        std::fs::rename(proc.join("new"), &devices).unwrap();
    };
    write(&["eth0", "eth1"]);
    stack.start_agent(&format!("collectors: {{interval: 1s}}\nhost: {{proc: {proc:?}}}")).await;
    let are = async |expect: &[&str]| {
        eventually(&format!("the devices are {expect:?}"), Duration::from_secs(30), async || {
            let found = prometheus.query("node_network_receive_bytes_total").await?;
            let mut names: Vec<&str> = found.iter().map(|series| series.label("device")).collect();
            names.sort_unstable();
            if names == expect { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    };
    are(&["eth0", "eth1"]).await;
    write(&["eth0"]);
    are(&["eth0"]).await;
}
