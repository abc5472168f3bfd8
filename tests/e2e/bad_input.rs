//! What people get wrong: one sentence with the cause and the fix.

use std::process::{Command, Output};
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::prometheus::get;
use ao_tests::stack::Stack;
use ao_tests::workspace::{binary, free_addresses, root};

fn run(name: &str, yaml: &str, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    std::fs::write(&config, yaml).unwrap();
    let data = folder.path().join("data");
    let mut command = Command::new(binary(name));
    command.arg("--config").arg(config).arg("--data-dir").arg(data).args(args).output().unwrap()
}

/// Scenario: misspelt keys, wrong types, a missing file.
/// Guarantees: exit code 2 and one sentence that names the key's path and what may stand there.
#[test]
fn a_bad_configuration_is_explained() {
    for (name, yaml, words) in [
        ("ao-agent", "latency: {intervall: 5s}", &["latency", "intervall", "interval"][..]),
        ("ao-agent", "batch: {age: 15}", &["batch.age", "15s"]),
        ("ao-agent", "collectors: {cpuu: {}}", &["cpuu", "cpu"]),
        ("ao-agent", "aggregator: {addresses: []}", &["aggregator.addresses", "https://"]),
        ("ao-agent", "aggregator: {addresses: [here]}", &["aggregator.addresses", "here"]),
        (
            "ao-agent",
            "aggregator: {addresses: [\"https://a:1\", \"http://b:1\"]}",
            &["aggregator.addresses", "http://"],
        ),
        ("ao-agent", "batch: {bytes: 1GiB}", &["batch", "4.0MiB"]),
        ("ao-agent", "logs: {max_line: 4MiB}", &["logs.max_line", "2MiB"]),
        ("ao-agent", "otlp: {max_message: 17MiB}", &["otlp.max_message", "16.0MiB"]),
        ("ao-aggregator", "sinks: {lokki: {}}", &["lokki", "loki"]),
        ("ao-aggregator", "sinks: {loki: {url: here}}", &["sinks.loki", "here", "http://"]),
        ("ao-aggregator", "ingest: {listen: here}", &["ingest.listen", "socket address"]),
        ("ao-aggregator", "[", &["config.yaml"]),
    ] {
        let output = run(name, yaml, &["--check-config"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name} {yaml}: {text}");
        assert!(words.iter().all(|word| text.contains(word)), "{name} {yaml}: {text}");
    }
    let output = Command::new(binary("ao-agent")).args(["--config", "/nowhere/a.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/a.yaml"));
}

/// Scenario: an empty file.
/// Guarantees: it is a good configuration.
#[test]
fn an_empty_file_works() {
    for name in ["ao-agent", "ao-aggregator"] {
        let output = run(name, "", &["--check-config"]);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Scenario: the example files that people begin with.
/// Guarantees: they are good configurations.
#[test]
fn the_examples_work() {
    for name in ["agent", "aggregator"] {
        for file in [format!("deploy/{name}.example.yaml"), format!("deploy/local/{name}.yaml")] {
            let mut command = Command::new(binary(&format!("ao-{name}")));
            let command = command.arg("--config").arg(root().join(&file)).arg("--check-config");
            let output = command.env("DATA", "/tmp").output().unwrap();
            assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// Scenario: somebody else has the port.
/// Guarantees: the sentence names the address, what it is for, and the key to change.
#[test]
fn a_port_in_use_is_explained() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    for (name, yaml, key) in [
        ("ao-agent", format!("admin: {{listen: \"{address}\"}}"), "admin.listen"),
        ("ao-aggregator", format!("http: {{listen: \"{address}\"}}"), "http.listen"),
    ] {
        let output = run(name, &yaml, &[]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&address.to_string()) && text.contains(key), "{text}");
    }
}

/// Scenario: the aggregator is away when the agent starts, and its only store is away when the aggregator does.
/// Guarantees: both run, `/readyz` says what is missing, and they find each other when it comes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_away_is_waited_for() {
    let mut stack = Stack::new();
    stack.start_agent("").await;
    let said = async |address, expected: u16, word: &str| {
        let url = format!("http://{address}/readyz");
        eventually(&format!("/readyz speaks of {word}"), Duration::from_secs(30), async || {
            let (status, text) = get(&url).await?;
            if status == expected && text.contains(word) { Ok(()) } else { Err(format!("{status}: {text}")) }
        })
        .await;
    };
    said(stack.admin, 503, "uplink: not ready").await;
    let [nobody] = free_addresses();
    stack.start_aggregator(&format!("{{prometheus: {{url: \"http://{nobody}/api/v1/write\"}}}}"), "").await;
    // Still ready for agents: their data is kept.
    said(stack.http, 200, "prometheus-metrics: ready, but").await;
    eventually("the agent is connected", Duration::from_secs(20), async || {
        let connected = stack.agent_metric("ao_uplink_connected", "").await?;
        if connected == 1.0 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    assert!(stack.agent().stop().await.success() && stack.aggregator().stop().await.success());
}
