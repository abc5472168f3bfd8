//! Log files into a server that holds Loki's protocol.

use std::io::Write;
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::loki::Loki;
use ao_tests::stack::{NODE, Stack};

use crate::writer::{CriFile, container, numbers};

/// Scenario: a pod writes in CRI form, a program to a plain file; some lines were there before the agent.
/// Guarantees: every line arrives once and in order, with its stream's labels, and its pod's UID as metadata; the CRI head
/// is gone.
#[tokio::test(flavor = "multi_thread")]
async fn lines_arrive_once_and_in_order() {
    let mut stack = Stack::new();
    let loki = Loki::start().await;
    let folder = container(&stack.pods(), "shop", "web-1", "uid-1", "app");
    let mut pod = CriFile::create(&folder.join("0.log"));
    pod.number("before the agent", 0..100);
    stack.start_aggregator(&format!("{{loki: {{url: \"{}/loki/api/v1/push\"}}}}", loki.url), "").await;
    stack.start_agent("").await;
    pod.number("with the agent", 100..1_000);
    let mut plain = std::fs::File::create(stack.files().join("app.log")).unwrap();
    for n in 0..50 {
        writeln!(plain, "plain {n}").unwrap();
    }
    let arrived = async |labels: &str, count: usize| {
        eventually(&format!("{count} lines of {labels}"), Duration::from_secs(20), async || {
            let lines = loki.lines(labels);
            if lines.len() >= count { Ok(lines) } else { Err(format!("{} lines", lines.len())) }
        })
        .await
    };
    let lines = arrived(r#"pod="web-1""#, 1_000).await;
    assert_eq!(numbers(lines.iter().map(|l| l.text.as_str())), (0..1_000).collect::<Vec<_>>());
    assert!(lines.windows(2).all(|w| w[0].at_ns < w[1].at_ns), "times ascend within a stream");
    assert_eq!(lines[0].text, "before the agent 0");
    for label in [
        r#"namespace="shop""#,
        r#"container="app""#,
        r#"stream="stdout""#,
        r#"cluster="test""#,
        &format!("node_name={NODE:?}"),
    ] {
        assert!(lines[0].labels.contains(label), "{label} in {}", lines[0].labels);
    }
    let uid = [("pod_uid".to_owned(), "uid-1".to_owned())];
    assert!(lines.iter().all(|line| line.metadata == uid && !line.labels.contains("pod_uid")));
    let lines = arrived("app.log", 50).await;
    assert_eq!(lines[0].metadata, []);
    assert_eq!(numbers(lines.iter().map(|l| l.text.as_str())), (0..50).collect::<Vec<_>>());
    assert!(loki.recorded().violations.is_empty(), "{:?}", loki.recorded().violations);
}

/// Scenario: a pipeline makes a label and drops every second line; another file is dropped as a whole; the agent is
/// killed while lines are written, and started again.
/// Guarantees: what is kept arrives once, with the label; what is dropped is in the ledger by its reason, to the byte.
#[tokio::test(flavor = "multi_thread")]
async fn what_stages_drop_is_counted_over_a_kill() {
    let mut stack = Stack::new();
    let loki = Loki::start().await;
    let folder = container(&stack.pods(), "shop", "web-1", "uid-1", "app");
    let (odd, all) = (folder.join("0.log"), stack.files().join("all.log"));
    let mut pod = CriFile::create(&odd);
    std::fs::write(&all, "nobody wants this\n".repeat(100)).unwrap();
    stack.start_aggregator(&format!("{{loki: {{url: \"{}/loki/api/v1/push\"}}}}", loki.url), "").await;
    let stages = r#"pipeline:
  stages:
    - match: {selector: '{filename=~".*/all.log"}', action: drop, drop_counter_reason: all}
    - drop: {expression: '[13579]$', drop_counter_reason: odd}
    - regex: {expression: '^(?P<kind>\w+)'}
    - labels: {kind: }
"#;
    stack.start_agent(stages).await;
    pod.number("line", 0..3_000);
    stack.agent().kill();
    pod.number("line", 3_000..6_000);
    stack.restart_agent().await;
    let lines = eventually("3,000 lines", Duration::from_secs(30), async || {
        let lines = loki.lines(r#"kind="line""#);
        if lines.len() >= 3_000 { Ok(lines) } else { Err(format!("{} lines", lines.len())) }
    })
    .await;
    let even: Vec<_> = (0..3_000).map(|n| 2 * n).collect();
    assert_eq!(numbers(lines.iter().map(|l| l.text.as_str())), even);
    let text = std::fs::read_to_string(&odd).unwrap();
    let is_odd = |line: &&str| line.ends_with(['1', '3', '5', '7', '9']);
    let odd_bytes: usize = text.lines().filter(is_odd).map(|line| line.len() + 1).sum();
    let all_bytes = std::fs::metadata(&all).unwrap().len();
    for (reason, records, bytes) in [("odd", 3_000, odd_bytes as u64), ("all", 100, all_bytes)] {
        for (unit, expect) in [("records", records), ("bytes", bytes)] {
            let name = format!("ao_ledger_dropped_{unit}_total");
            let label = format!("reason={reason:?}");
            eventually(
                &format!("{expect} {unit} dropped as {reason}"),
                Duration::from_secs(20),
                async || {
                    let found = stack.agent_metric(&name, &label).await? as u64;
                    if found == expect { Ok(()) } else { Err(format!("{found}")) }
                },
            )
            .await;
        }
    }
    assert!(loki.recorded().violations.is_empty(), "{:?}", loki.recorded().violations);
}
