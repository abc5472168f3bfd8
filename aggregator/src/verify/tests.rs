//! Tests of a canary's way, with an agent that is played by the test.

use std::sync::Arc;

use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::model::{Labels, Series};
use ao_proto::v1::{Class, FrameHeader, Hello};

use super::*;
use crate::canaries::Canaries;
use crate::fanout::Statuses;
use crate::ledger::{Count, Entry, Ledger};
use crate::nodes::Nodes;
use crate::sink;
use crate::sink::api::{Decoded, Telemetry};
use crate::sink::embedded::Store;

const AGENT: [u8; 16] = [7; 16];
const TIMEOUT: Duration = Duration::from_secs(5);

fn parts(store: &Store) -> Parts {
    Parts {
        places: places(&sink::Config::default(), store).expect("places"),
        nodes: Nodes::default(),
        ledger: Ledger::default(),
        statuses: Statuses::default(),
        canaries: Canaries::default(),
    }
}

fn greet(parts: &Parts, node: &str) {
    let mut agent = AGENT;
    agent[0] = node.len() as u8;
    parts.nodes.greeted(agent, &Hello { node: node.to_owned(), ..Hello::default() });
}

fn header(class: Class) -> FrameHeader {
    let mut agent = AGENT.to_vec();
    agent[0] = 3;
    FrameHeader {
        agent,
        class: class.into(),
        source: "canary".to_owned(),
        records: 1,
        ..FrameHeader::default()
    }
}

/// Scenario: a canary is asked for while nobody is connected, of a stranger, and twice at once.
/// Guarantees: each is refused with a sentence; a second later the next one is let out.
#[tokio::test(start_paused = true)]
async fn who_may_be_asked() {
    let store = Store::new(&<_>::default());
    let parts = parts(&store);
    let verifier = Verifier::new(parts.clone());
    assert_eq!(verifier.start("", TIMEOUT), Err(StartError::Nobody));
    greet(&parts, "web");
    let error = verifier.start("db", TIMEOUT).expect_err("a stranger");
    assert_eq!(error.to_string(), "node \"db\" is not connected; connected are: web");
    let mut asked = parts.canaries.of("web");
    let report = verifier.start("", TIMEOUT).expect("let out");
    assert_eq!(asked.next().await, report.token);
    assert_eq!(verifier.start("", TIMEOUT), Err(StartError::Busy));
    tokio::time::advance(PACE).await;
    assert!(verifier.start("web", TIMEOUT).is_ok());
}

/// Scenario: the sample arrives in the embedded store, the line stays at the agent, the span is journalled and refused.
/// Guarantees: the sample's time is there; the others are missing with the place where they were seen last.
#[tokio::test(start_paused = true)]
async fn missing_with_the_last_place() {
    let store = Store::new(&<_>::default());
    let parts = parts(&store);
    greet(&parts, "web");
    parts.ledger.add(&header(Class::Spans), Entry::Received, Count { records: 3, bytes: 9 });
    let verifier = Verifier::new(parts.clone());
    let token = verifier.start("web", TIMEOUT).expect("let out").token;
    let labels = [("__name__", "ao_canary_timestamp_seconds"), ("token", &token), ("node", "web")];
    let series = vec![Series { labels: Labels::from_pairs(labels), family: 0 }];
    let keyframe = Keyframe { values: vec![0.0], series, ..Keyframe::default() };
    let frame =
        MetricsFrame { at_ms: sink::embedded::now_ms(), values: vec![1.0], ..MetricsFrame::default() };
    let telemetry = Telemetry::Metrics(Arc::new(keyframe), frame);
    store.absorb(&Decoded { header: header(Class::Metrics), end: <_>::default(), telemetry });
    parts.ledger.add(&header(Class::Spans), Entry::Received, Count { records: 1, bytes: 3 });
    parts.ledger.add(
        &header(Class::Spans),
        Entry::Dropped("embedded", "refused"),
        Count { records: 1, bytes: 3 },
    );
    tokio::time::sleep(TIMEOUT).await;
    let report = verifier.report(&token).expect("kept");
    assert!(report.done);
    let check = |signal: &str| report.checks.iter().find(|check| check.signal == signal).expect("a check");
    assert!(check("metric").took_ms.is_some_and(|took| took < 1_000) && check("metric").seen.is_empty());
    assert_eq!((check("line").took_ms, check("span").took_ms), (None, None));
    assert!(check("line").seen.starts_with("not in the aggregator's journal"), "{}", check("line").seen);
    let given_up = "it was given up for embedded: refused; see the dead-letter file";
    assert_eq!(check("span").seen, given_up);
}
