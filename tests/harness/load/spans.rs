//! An application that exports spans by OTLP and notes which requests were acknowledged.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::transport::Endpoint;

use super::Load;

/// Between two requests.
const EVERY: Duration = Duration::from_millis(150);
/// Spans of a request.
const SPANS: u64 = 4;
/// An exporter's patience. It sends no span twice, so that each has one identity from the start.
const PATIENCE: Duration = Duration::from_secs(3);

/// Starts it.
pub fn start(load: &Load, receiver: SocketAddr) {
    tokio::spawn(export(load.clone(), receiver));
}

async fn export(load: Load, receiver: SocketAddr) {
    let endpoint = Endpoint::from_shared(format!("http://{receiver}")).expect("an address is a URI");
    let mut client = TraceServiceClient::new(endpoint.connect_timeout(PATIENCE).connect_lazy());
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = 0;
    while load.goes_on() {
        ticks.tick().await;
        let numbers = next..next + SPANS;
        next += SPANS;
        let answer = timeout(PATIENCE, client.export(request(numbers.clone()))).await;
        let mut owed = load.owed();
        match answer {
            Ok(Ok(_)) => owed.spans.extend(numbers),
            _ => owed.unsure.extend(numbers),
        }
    }
}

fn request(numbers: std::ops::Range<u64>) -> ExportTraceServiceRequest {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let span = |n: u64| Span {
        trace_id: u128::from(n + 1).to_be_bytes().to_vec(),
        span_id: (n + 1).to_be_bytes().to_vec(),
        name: format!("chaos {n}"),
        start_time_unix_nano: now,
        end_time_unix_nano: now + 1_000_000,
        ..Span::default()
    };
    let scope = ScopeSpans { spans: numbers.map(span).collect(), ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

/// Number of a span.
pub fn parse(name: &str) -> Option<u64> {
    name.strip_prefix("chaos ")?.parse().ok()
}

/// All spans of a request.
pub fn of(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans)
}
