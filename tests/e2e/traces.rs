//! Spans from an application into a server that holds Tempo's protocol.

use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::load::spans::Application;
use ao_tests::script::Reply;
use ao_tests::stack::Stack;
use ao_tests::tempo::Tempo;

/// Scenario: an application sends spans; the agent is killed right after it has answered.
/// Guarantees: what was answered arrives, under the same ids, with the node in the resource.
#[tokio::test(flavor = "multi_thread")]
async fn answered_spans_arrive() {
    let mut stack = Stack::new();
    let tempo = Tempo::start().await;
    stack.start_aggregator(&format!("{{tempo: {{url: \"{}\"}}}}", tempo.url), "").await;
    stack.start_agent("").await;
    let mut application = Application::connect(stack.otlp).await;
    application.send(20).await;
    stack.agent().kill();
    stack.restart_agent().await;
    let mut spans = eventually("20 spans", Duration::from_secs(20), async || {
        let spans = tempo.spans();
        application.all_in(&spans).map(|()| spans)
    })
    .await;
    // What was on its way when the agent ended may come again.
    spans.sort_by(|a, b| a.trace_id.cmp(&b.trace_id));
    spans.dedup_by(|a, b| a == b);
    application.judge(&spans);
    let accepted = tempo.accepted();
    let resource = accepted[0].resource_spans[0].resource.as_ref().unwrap();
    assert!(format!("{resource:?}").contains(ao_tests::stack::NODE), "{resource:?}");
}

/// Scenario: Tempo is starting, throttles, does not answer, breaks the connection, and is well again.
/// Guarantees: every span arrives once.
#[tokio::test(flavor = "multi_thread")]
async fn spans_arrive_through_bad_answers() {
    let mut stack = Stack::new();
    let tempo = Tempo::start().await;
    let (resource_exhausted, unavailable) = (8, 14);
    tempo.script.push([
        Reply::Status(unavailable, vec![], "starting".to_owned()),
        Reply::Status(resource_exhausted, vec![], "slow down".to_owned()),
        // The sink's timeout ends it; whoever takes a request answers well within that.
        Reply::Hang,
        Reply::Reset,
    ]);
    stack.start_aggregator(&format!("{{tempo: {{url: \"{}\", timeout: 10s}}}}", tempo.url), "").await;
    stack.start_agent("").await;
    let mut application = Application::connect(stack.otlp).await;
    application.send(1).await;
    let spans = eventually("the span", Duration::from_secs(60), async || {
        let spans = tempo.spans();
        application.all_in(&spans).map(|()| spans)
    })
    .await;
    application.judge(&spans);
    assert_eq!(tempo.script.left(), 0, "every bad answer was given");
}
