//! A log storm against an agent that has too little of a processor.

use std::time::Duration;

use ao_tests::storm::{Plan, run};
use ao_tests::workspace::report;

/// Scenario: 100 containers write numbered lines of 216 bytes, and a kubelet rotates, compresses and deletes their logs;
/// the agent has a fifth of a processor, and is killed and started again and again. First lines come as fast as it
/// can read them, then each time 1.2 times as fast, until files are given up before they are read.
/// Guarantees: until then no line is lost; then those are lost that its ledger says, to the byte; none is ever split, none
/// comes twice, each has the time and the pod that it was written with.
#[tokio::test(flavor = "multi_thread")]
async fn every_line_once_or_in_the_ledger() {
    let plan = Plan {
        cores: 0.2,
        measure: Duration::from_secs(4),
        first: 1.0,
        steady: Duration::from_secs(6),
        over: Duration::from_secs(25),
        kill_every: Duration::from_secs(6),
        rotate: None,
        escrow: 256 << 10,
        folder: None,
    };
    let outcome = run(&plan).await;
    report("log-storm", &outcome.json());
    assert!(outcome.wrong().is_empty(), "{:#?}\n{}", outcome.wrong(), outcome.table());
}
