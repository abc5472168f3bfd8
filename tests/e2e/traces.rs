//! Spans from an application into a server that holds Tempo's protocol.

use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::script::Reply;
use ao_tests::stack::Stack;
use ao_tests::tempo::Tempo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

fn request(number: u8) -> ExportTraceServiceRequest {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let span = Span {
        trace_id: vec![number + 1; 16],
        span_id: vec![number + 1; 8],
        name: format!("span {number}"),
        start_time_unix_nano: now,
        end_time_unix_nano: now + 1_000_000,
        ..Span::default()
    };
    let scope = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

/// Scenario: an application sends spans; the agent is killed right after it has answered.
/// Guarantees: what was answered arrives, under the same ids, with the node in the resource.
#[tokio::test(flavor = "multi_thread")]
async fn answered_spans_arrive() {
    let mut stack = Stack::new();
    let tempo = Tempo::start().await;
    stack.start_aggregator(&format!("{{tempo: {{url: \"{}\"}}}}", tempo.url), "").await;
    stack.start_agent("").await;
    let url = format!("http://{}", stack.otlp);
    let mut client = eventually("the OTLP receiver listens", Duration::from_secs(10), async || {
        TraceServiceClient::connect(url.clone()).await
    })
    .await;
    for number in 0..20 {
        client.export(request(number)).await.unwrap();
    }
    stack.agent().kill();
    stack.restart_agent().await;
    let mut spans = eventually("20 spans", Duration::from_secs(20), async || {
        let spans = tempo.spans();
        if spans.len() >= 20 { Ok(spans) } else { Err(format!("{} spans", spans.len())) }
    })
    .await;
    spans.sort_by(|a, b| a.trace_id.cmp(&b.trace_id));
    spans.dedup_by(|a, b| a == b);
    let expected: Vec<_> = (0..20).map(|n| format!("span {n}")).collect();
    assert_eq!(spans.iter().map(|s| s.name.clone()).collect::<Vec<_>>(), expected);
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
        Reply::Hang,
        Reply::Reset,
    ]);
    stack.start_aggregator(&format!("{{tempo: {{url: \"{}\", timeout: 2s}}}}", tempo.url), "").await;
    stack.start_agent("").await;
    let url = format!("http://{}", stack.otlp);
    let mut client = eventually("the OTLP receiver listens", Duration::from_secs(10), async || {
        TraceServiceClient::connect(url.clone()).await
    })
    .await;
    client.export(request(7)).await.unwrap();
    let spans = eventually("the span", Duration::from_secs(40), async || match tempo.spans() {
        spans if spans.is_empty() => Err("nothing yet"),
        spans => Ok(spans),
    })
    .await;
    assert_eq!((spans.len(), spans[0].name.as_str(), tempo.script.left()), (1, "span 7", 0));
}
