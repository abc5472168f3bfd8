//! Log files into a server that holds Loki's protocol.

use std::io::Write;
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::loki::Loki;
use ao_tests::stack::{NODE, Stack};

use crate::writer::{CriFile, container, numbers};

/// Scenario: a pod writes in CRI form, a program to a plain file; some lines were there before the agent.
/// Guarantees: every line arrives once and in order, with its stream's labels; the CRI head is gone.
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
    let lines = arrived("app.log", 50).await;
    assert_eq!(numbers(lines.iter().map(|l| l.text.as_str())), (0..50).collect::<Vec<_>>());
    assert!(loki.recorded().violations.is_empty(), "{:?}", loki.recorded().violations);
}
