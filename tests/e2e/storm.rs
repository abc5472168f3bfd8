//! A log storm against an agent that has too little of a processor.

use std::time::Duration;

use ao_tests::storm::{Plan, run};
use ao_tests::workspace::report;

/// Scenario: 100 containers write numbered lines of 216 bytes, and a kubelet rotates, compresses and deletes their logs;
/// the agent has a fifth of a processor, and is killed whenever it has read for two seconds, and started again. First lines
/// come at about the rate at which it can read them, then each time 1.2 times as fast, until files are given up before they
/// are read.
/// Guarantees: until then no line is lost; then those are lost that its ledger says, to the byte; none is ever split, none
/// comes twice, each has the time and the pod that it was written with.
#[tokio::test(flavor = "multi_thread")]
async fn every_line_once_or_in_the_ledger() {
    let plan = Plan {
        cores: 0.2,
        measure: Duration::from_secs(3),
        first: 0.9,
        steady: Duration::from_secs(5),
        over: Duration::from_secs(20),
        kill_every: Duration::from_secs(2),
        rotate: None,
        escrow: None,
        folder: None,
    };
    let outcome = run(&plan).await;
    report("log-storm", &outcome.json());
    assert!(outcome.wrong().is_empty(), "{:#?}\n{}", outcome.wrong(), outcome.table());
}
