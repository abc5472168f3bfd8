//! `ao-aggregator verify`: canaries through the real binaries into the stores, and the ledger.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::loki::Loki;
use ao_tests::prometheus::{Prometheus, get};
use ao_tests::stack::{NODE, Stack};
use ao_tests::tempo::Tempo;
use ao_tests::workspace::{binary, free_addresses};
use serde_json::Value;

/// Runs the command to its end.
async fn verify(stack: &Stack, args: &[&str]) -> Output {
    let mut command = Command::new(binary("ao-aggregator"));
    command.arg("--config").arg(stack.folder().join("ao-aggregator.yaml")).arg("verify").args(args);
    command.stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// The agent has a stream open.
async fn connected(stack: &Stack) {
    eventually("the agent is connected", Duration::from_secs(30), async || {
        match stack.aggregator_metric("ao_node_connected", NODE).await {
            Ok(1.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Scenario: the real Prometheus, and servers with Loki's and Tempo's protocols; a canary is let out twice, once for
/// people and once for a program.
/// Guarantees: exit code 0; the sample, the line and the span are found in their store and in the embedded one, each
/// with its time; the ledger balances.
#[tokio::test(flavor = "multi_thread")]
async fn a_canary_reaches_every_store() {
    let mut stack = Stack::new();
    let prometheus = Prometheus::start(&stack.folder().join("prometheus")).await;
    let (loki, tempo) = (Loki::start().await, Tempo::start().await);
    let sinks = format!(
        "{{prometheus: {{url: \"{}/api/v1/write\"}}, loki: {{url: \"{}/loki/api/v1/push\"}}, \
         tempo: {{url: \"{}\", query_url: \"{}\"}}}}",
        prometheus.url, loki.url, tempo.url, tempo.query_url
    );
    stack.start_aggregator(&sinks, "").await;
    stack.start_agent("").await;
    connected(&stack).await;

    let done = verify(&stack, &["--timeout", "60s"]).await;
    let (out, err) = (text(&done.stdout), text(&done.stderr));
    assert_eq!(done.status.code(), Some(0), "{out}{err}");
    for word in ["metric in prometheus", "line in loki", "span in tempo", "span in embedded", &prometheus.url]
    {
        assert!(out.contains(word), "{word}: {out}");
    }
    assert!(out.contains("everything arrived, and the ledger balances") && !out.contains("missing"), "{out}");

    let done = eventually("another canary", Duration::from_secs(60), async || {
        let done = verify(&stack, &["--json", "--node", NODE]).await;
        // One a second.
        if text(&done.stderr).contains("try again soon") { Err("too soon") } else { Ok(done) }
    })
    .await;
    assert_eq!(done.status.code(), Some(0), "{}{}", text(&done.stdout), text(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let checks = report["canary"]["checks"].as_array().unwrap();
    assert_eq!((checks.len(), &report["ok"], &report["ledger"]["balanced"]), (6, &true.into(), &true.into()));
    assert!(checks.iter().all(|check| check["took_ms"].is_u64()), "{report}");
    assert!(loki.recorded().violations.is_empty());
    let token = report["canary"]["token"].as_str().unwrap();
    assert_eq!(loki.lines("job=\"ao-canary\"").iter().filter(|line| line.text.contains(token)).count(), 1);
    let rows = report["ledger"]["rows"].as_array().unwrap();
    let canaries: Vec<&Value> = rows.iter().filter(|row| row["source"] == "canary").collect();
    assert_eq!(canaries.len(), 3, "{report}");
    assert!(canaries.iter().all(|row| row["node"] == NODE && row["received"]["records"].as_u64() >= Some(2)));
}

/// Scenario: nobody listens where Loki should be.
/// Guarantees: exit code 1, and a sentence that names the store, where the line was seen last, and why.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_down_is_named() {
    let mut stack = Stack::new();
    let [nobody] = free_addresses();
    stack.start_aggregator(&format!("{{loki: {{url: \"http://{nobody}/loki/api/v1/push\"}}}}"), "").await;
    stack.start_agent("").await;
    connected(&stack).await;
    let done = verify(&stack, &["--timeout", "8s"]).await;
    let (out, err) = (text(&done.stdout), text(&done.stderr));
    assert_eq!(done.status.code(), Some(1), "{out}{err}");
    assert!(out.contains("line in embedded") && out.contains("missing"), "{out}");
    for word in
        ["the line in loki", "the aggregator's journal", "is tried again", &nobody.to_string(), "refused"]
    {
        assert!(err.contains(word), "{word}: {err}");
    }
}

/// Scenario: no store but the embedded one; then the command is mistyped; a node is unknown; then the aggregator is gone.
/// Guarantees: 0; 2 for the slip of the pen; 1 with a sentence for the others.
#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_alone() {
    let mut stack = Stack::new();
    stack.start_aggregator("{}", "").await;
    stack.start_agent("").await;
    connected(&stack).await;
    let done = verify(&stack, &[]).await;
    assert_eq!(done.status.code(), Some(0), "{}{}", text(&done.stdout), text(&done.stderr));
    for (args, code, sentence) in [
        (&["--timeout", "nonsense"][..], 2, "not a span of time"),
        (&["--address", "ftp://x"], 2, "is not an address"),
        (&["--node", "nobody"], 1, "node \"nobody\" is not connected; connected are: node-under-test"),
    ] {
        let done = verify(&stack, args).await;
        assert_eq!(done.status.code(), Some(code), "{}", text(&done.stderr));
        assert!(text(&done.stderr).contains(sentence), "{}", text(&done.stderr));
    }
    stack.aggregator().kill();
    let done = verify(&stack, &[]).await;
    assert_eq!(done.status.code(), Some(1));
    assert!(
        text(&done.stderr).contains("cannot ask the aggregator at http://127.0.0.1:"),
        "{}",
        text(&done.stderr)
    );
}

/// Scenario: lines and figures have flowed; the agent is stopped; the aggregator is killed and starts again without it.
/// Guarantees: the agent's half agrees with the aggregator's; the ledger is what it was, to the byte, and goes by the
/// node's name, though nobody has told it anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_outlives_a_kill() {
    let mut stack = Stack::new();
    let loki = Loki::start().await;
    std::fs::write(stack.files().join("app.log"), "a line\n".repeat(5_000)).unwrap();
    stack.start_aggregator(&format!("{{loki: {{url: \"{}/loki/api/v1/push\"}}}}", loki.url), "").await;
    stack.start_agent("").await;
    connected(&stack).await;
    eventually("5,000 lines", Duration::from_secs(30), async || {
        let count = loki.lines("app.log").len();
        if count == 5_000 { Ok(()) } else { Err(format!("{count} lines")) }
    })
    .await;
    let logs = eventually("the agent's half of the books", Duration::from_secs(40), async || {
        let (_, text) = get(&format!("http://{}/api/v1/ledger", stack.http)).await?;
        let ledger: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let mut rows = ledger["rows"].as_array().into_iter().flatten();
        // What it says every 15 seconds may have been said before the last acknowledgement.
        let logs = rows.find(|row| row["source"] == "logs" && row["agent"]["delivered"]["records"] == 5_000);
        logs.cloned().ok_or(text)
    })
    .await;
    for half in ["read", "delivered"] {
        assert_eq!(logs["agent"][half], logs["received"], "{half}, to the byte");
    }
    assert_eq!(logs["verdict"], "settled");
    stack.agent().stop().await;
    let before = eventually("all is settled", Duration::from_secs(30), async || {
        let books = books(&stack).await?;
        match books.iter().find(|row| is_open(row)) {
            Some(row) => Err(row.to_string()),
            None => Ok(books),
        }
    })
    .await;
    assert!(before.iter().any(|row| row["source"] == "logs" && row["received"]["records"] == 5_000));
    assert!(before.iter().all(|row| row["node"] == NODE), "{before:?}");
    stack.aggregator().kill();
    stack.restart_aggregator().await;
    let after = books(&stack).await.unwrap();
    assert_eq!(after, before);
}

/// The aggregator's half of the ledger, of the nodes: of its own it writes on while one looks.
async fn books(stack: &Stack) -> Result<Vec<Value>, String> {
    let (_, text) = get(&format!("http://{}/api/v1/ledger", stack.http)).await?;
    let ledger: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let row = |row: &Value| {
        serde_json::json!({
            "node": row["node"], "source": row["source"], "class": row["class"],
            "received": row["received"], "sinks": row["sinks"],
        })
    };
    let rows = ledger["rows"].as_array().into_iter().flatten().filter(|row| row["node"] != "aggregator");
    Ok(rows.filter(|row| row["received"]["records"] != 0).map(row).collect())
}

fn is_open(row: &Value) -> bool {
    let nothing = serde_json::json!({ "records": 0, "bytes": 0 });
    row["sinks"].as_array().into_iter().flatten().any(|fate| fate["in_flight"] != nothing)
}
