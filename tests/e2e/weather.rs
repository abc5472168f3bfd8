//! Bad weather between the aggregator and its stores.

use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::loki::Loki;
use ao_tests::prometheus::get;
use ao_tests::script::Reply;
use ao_tests::stack::Stack;

use crate::writer::{CriFile, container, numbers};

/// Scenario: Loki answers 429 with Retry-After, 500, breaks the connection, does not answer at all, and is well again.
/// Guarantees: every line arrives once and in order; nothing went to the dead letters.
#[tokio::test(flavor = "multi_thread")]
async fn every_line_arrives_through_bad_answers() {
    let mut stack = Stack::new();
    let loki = Loki::start().await;
    let retry_after = vec![("retry-after", "1".to_owned())];
    loki.script.push([
        Reply::Status(429, retry_after, "slow down".to_owned()),
        Reply::Status(500, vec![], "out of order".to_owned()),
        Reply::Reset,
        // The sink's timeout ends it; whoever takes a request answers well within that.
        Reply::Hang,
        Reply::Status(503, vec![], "starting".to_owned()),
    ]);
    stack
        .start_aggregator(&format!("{{loki: {{url: \"{}/loki/api/v1/push\", timeout: 10s}}}}", loki.url), "")
        .await;
    stack.start_agent("").await;
    CriFile::create(&container(&stack.pods(), "shop", "web-1", "uid-1", "app").join("0.log"))
        .number("x", 0..500);
    let lines = eventually("500 lines", Duration::from_secs(120), async || {
        let lines = loki.lines("web-1");
        if lines.len() >= 500 { Ok(lines) } else { Err(format!("{} lines", lines.len())) }
    })
    .await;
    assert_eq!(numbers(lines.iter().map(|l| l.text.as_str())), (0..500).collect::<Vec<_>>());
    assert_eq!(loki.script.left(), 0, "every bad answer was given");
    assert_eq!(stack.aggregator_metric("ao_ledger_dropped_records_total", "").await, Ok(0.0));
}

/// Scenario: Loki wants credentials that we have not; then it is content.
/// Guarantees: nothing is dropped, `/readyz` names the sink and the answer, and the lines arrive afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_holds_the_data() {
    let mut stack = Stack::new();
    let loki = Loki::start().await;
    loki.script.always(Some(Reply::Status(401, vec![], "no org id".to_owned())));
    stack.start_aggregator(&format!("{{loki: {{url: \"{}/loki/api/v1/push\"}}}}", loki.url), "").await;
    stack.start_agent("").await;
    CriFile::create(&container(&stack.pods(), "shop", "web-1", "uid-1", "app").join("0.log"))
        .number("x", 0..100);
    let url = format!("http://{}/readyz", stack.http);
    eventually("/readyz names the sink", Duration::from_secs(30), async || {
        let (status, text) = get(&url).await?;
        let named = text.lines().any(|line| line.contains("loki") && line.contains("401"));
        if status == 503 && named { Ok(()) } else { Err(format!("{status}: {text}")) }
    })
    .await;
    loki.script.always(None);
    eventually("the lines arrive", Duration::from_secs(60), async || match loki.lines("web-1").len() {
        100 => Ok(()),
        n => Err(format!("{n} lines")),
    })
    .await;
}

/// Scenario: one of 300 lines is one that Loki will never take.
/// Guarantees: that line alone is dropped, counted and kept in the dead-letter file; the others arrive once.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_line_stands_alone() {
    let mut stack = Stack::new();
    let loki = Loki::start().await;
    loki.refuse("poison 77");
    stack.start_aggregator(&format!("{{loki: {{url: \"{}/loki/api/v1/push\"}}}}", loki.url), "").await;
    stack.start_agent("").await;
    let mut file = CriFile::create(&container(&stack.pods(), "shop", "web-1", "uid-1", "app").join("0.log"));
    file.number("poison", 0..300);
    let lines = eventually("299 lines", Duration::from_secs(60), async || {
        let lines = loki.lines("web-1");
        if lines.len() >= 299 { Ok(lines) } else { Err(format!("{} lines", lines.len())) }
    })
    .await;
    let expected: Vec<u64> = (0..300).filter(|n| *n != 77).collect();
    let mut found = numbers(lines.iter().map(|l| l.text.as_str()));
    found.sort_unstable();
    assert_eq!(found, expected);
    eventually("the refused line is counted", Duration::from_secs(10), async || {
        let dropped = stack.aggregator_metric("ao_ledger_dropped_records_total", "").await?;
        if dropped == 1.0 { Ok(()) } else { Err(format!("dropped: {dropped}")) }
    })
    .await;
}
