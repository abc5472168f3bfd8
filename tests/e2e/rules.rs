//! What lines count for without a stage, and what becomes of too many streams, up to the stores.

use std::io::Write;
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::loki::{Line, Loki};
use ao_tests::prometheus::Prometheus;
use ao_tests::stack::{NODE, Stack};

use crate::writer::{CriFile, container};

fn metadata<'a>(line: &'a Line, name: &str) -> Option<&'a str> {
    line.metadata.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Scenario: a pod that the directives know writes errors of two kinds, a failed log-in and other lines; a file has a
/// user in each line, of which a stage makes a label, beyond the budget of streams.
/// Guarantees: labels as Promtail's chart has them; counts by level, service and template at Prometheus, and by the
/// template's id the lines at Loki; every line of the file arrives, those beyond the budget with the user as metadata.
#[tokio::test(flavor = "multi_thread")]
async fn lines_count_without_a_stage() {
    let mut stack = Stack::new();
    let loki = Loki::start().await;
    let prometheus = Prometheus::start(&stack.folder().join("prometheus")).await;
    let file = stack.folder().join("directives.yaml");
    let labels = "{app.kubernetes.io/name: cart, app: web}";
    let pod = format!("{{uid: uid-7, namespace: shop, name: web-7, node: {NODE}, labels: {labels}}}");
    std::fs::write(&file, format!("pods: [{pod}]\n")).unwrap();
    let sinks = format!(
        "{{loki: {{url: \"{}/loki/api/v1/push\"}}, prometheus: {{url: \"{}/api/v1/write\"}}}}",
        loki.url, prometheus.url
    );
    stack.start_aggregator(&sinks, &format!("control: {{directives: {file:?}}}")).await;
    let login = "Failed password for invalid user eve from 192.0.2.4 port 40 ssh2";
    let text = |n: usize| match n % 3 {
        _ if n == 30 => login.to_owned(),
        0 => format!("{{\"level\":\"error\",\"msg\":\"no answer from 10.0.0.{n} in {n}ms\"}}"),
        1 => format!("level=warn msg=\"cart {n} is full\""),
        _ => format!("request {n} served"),
    };
    let log = container(&stack.pods(), "shop", "web-7", "uid-7", "c").join("0.log");
    CriFile::create(&log).lines((0..31).map(text));
    let mut users = std::fs::File::create(stack.files().join("users.log")).unwrap();
    for n in 0..50 {
        writeln!(users, "user=u{n} did it").unwrap();
    }
    // The pod's labels come with the connection, however long that takes.
    let stages = r#"streams: {most: 20}
enrich: {wait: 60s}
pipeline:
  stages: [{match: {selector: '{filename=~".*/users.log"}', stages: [{logfmt: {mapping: {user: }}}, {labels: {user: }}]}}]
"#;
    stack.start_agent(stages).await;

    let arrived = async |labels: &str, count: usize| {
        eventually(&format!("{count} lines of {labels}"), Duration::from_secs(30), async || {
            let lines = loki.lines(labels);
            if lines.len() >= count { Ok(lines) } else { Err(format!("{} lines", lines.len())) }
        })
        .await
    };
    let lines = arrived(r#"pod="web-7""#, 31).await;
    for label in [
        r#"namespace="shop""#,
        r#"container="c""#,
        r#"app="cart""#,
        r#"job="shop/cart""#,
        r#"cluster="test""#,
        "filename=",
        "stream=",
        &format!("node_name={NODE:?}"),
    ] {
        assert!(lines.iter().all(|line| line.labels.contains(label)), "{label} in {}", lines[0].labels);
    }
    let failed: Vec<_> = lines.iter().filter(|line| line.labels.contains(r#"failed_login="sshd""#)).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!((&*failed[0].text, metadata(failed[0], "login_user")), (login, Some("eve")));
    let id =
        lines.iter().find(|line| line.text.contains("no answer")).and_then(|l| metadata(l, "template_id"));
    let id = id.unwrap().to_owned();
    assert_eq!(lines.iter().filter(|line| metadata(line, "template_id") == Some(&id)).count(), 10);

    let users = arrived("users.log", 50).await;
    let over: Vec<_> = users.iter().filter(|line| line.labels.contains(r#"overflow="true""#)).collect();
    assert!((30..50).contains(&over.len()), "{}", over.len());
    for line in over {
        let user = metadata(line, "user").unwrap();
        assert!(line.text.contains(&format!("user={user} ")), "{line:?}");
    }
    assert!(loki.recorded().violations.is_empty(), "{:?}", loki.recorded().violations);
    assert!(stack.agent_metric("ao_streams_overflow_lines_total", "").await.unwrap() >= 30.0);

    let workload = r#"namespace="shop",app="cart",container="c",job="shop/cart",node="#;
    for (promql, expect) in [
        (format!("log_messages_total{{{workload}{NODE:?},level=\"error\"}}"), 10.0),
        (format!("log_messages_total{{{workload}{NODE:?},level=\"warn\"}}"), 10.0),
        (format!("log_messages_total{{{workload}{NODE:?},level=\"unknown\"}}"), 11.0),
        (format!("log_failed_logins_total{{{workload}{NODE:?},service=\"sshd\"}}"), 1.0),
        (format!("log_template_total{{template_id=\"{id}\"}}"), 10.0),
        ("sum(log_messages_total{job=\"files\"})".to_owned(), 50.0),
        ("count(log_template_info{text=\"no answer from <*> in <*>\"})".to_owned(), 1.0),
    ] {
        eventually(&format!("{promql} is {expect}"), Duration::from_secs(60), async || {
            let found = prometheus.query(&promql).await?;
            let values: Vec<f64> =
                found.iter().flat_map(|s| s.points.iter().map(|(_, value)| *value)).collect();
            if values == [expect] { Ok(()) } else { Err(format!("{values:?}")) }
        })
        .await;
    }
}
