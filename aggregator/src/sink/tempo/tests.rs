//! Tempo: what is sent, what is not, and mistakes in the configuration.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};

use super::*;
use crate::sink::api::Part;

/// A message of one resource with scopes of these numbers of spans, named by their place.
fn message(scopes: &[usize]) -> ExportTraceServiceRequest {
    let mut place = 0_u8;
    let mut span = || {
        place += 1;
        let (trace_id, span_id) = (vec![place; 16], vec![place; 8]);
        OtlpSpan { name: format!("s{}", place - 1), trace_id, span_id, ..OtlpSpan::default() }
    };
    let scope_spans: Vec<_> = scopes
        .iter()
        .map(|spans| ScopeSpans { spans: (0..*spans).map(|_| span()).collect(), ..ScopeSpans::default() })
        .collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

fn part(message: ExportTraceServiceRequest, records: &[u32]) -> Part {
    let telemetry = Telemetry::Spans(message);
    let frame = Arc::new(Decoded { header: <_>::default(), end: <_>::default(), telemetry });
    Part { frame, records: records.to_vec() }
}

/// Scenario: two frames, of which some spans, a whole scope and a whole resource are left out.
/// Guarantees: exactly the chosen spans remain, in order; nothing empty is sent; a whole frame passes unchanged.
#[test]
fn only_chosen_spans_are_merged() {
    let parts = vec![
        part(message(&[2, 1, 3]), &[1, 4, 5]),
        part(message(&[2]), &[]),
        part(message(&[1, 1]), &[0, 1]),
    ];
    let merged = merge(&Batch { parts, ..Batch::default() });
    let names: Vec<Vec<Vec<&str>>> = merged
        .resource_spans
        .iter()
        .map(|r| r.scope_spans.iter().map(|s| s.spans.iter().map(|s| s.name.as_str()).collect()).collect())
        .collect();
    assert_eq!(names, [vec![vec!["s1"], vec!["s4", "s5"]], vec![vec!["s0"], vec!["s1"]]]);
    assert_eq!(
        merge(&Batch { parts: vec![part(message(&[2, 1]), &[0, 1, 2])], ..Batch::default() }),
        message(&[2, 1])
    );
}

/// Scenario: ids that are too short, empty or zero.
/// Guarantees: those spans are named before Tempo refuses the others with them.
#[tokio::test]
async fn spans_without_ids_are_named() {
    let mut bad = message(&[1, 3]);
    let spans = &mut bad.resource_spans[0].scope_spans[1].spans;
    spans[0].trace_id.truncate(8);
    spans[2].span_id = vec![0; 8];
    let sink = Tempo::new(&Config::default()).expect("a client");
    assert_eq!(
        sink.check(&part(bad, &[]).frame, Lane::Fresh),
        [(1, DropReason::Invalid), (3, DropReason::Invalid)]
    );
}

/// Scenario: addresses, headers and certificates with mistakes in them.
/// Guarantees: each is an error that names what is wrong, before anything is connected.
#[tokio::test]
async fn mistakes_in_the_configuration() {
    let error = |config: Config| Tempo::new(&config).err().map(|e| e.to_string()).unwrap_or_default();
    let url = Config { url: "tempo:4317".to_owned(), ..Config::default() };
    assert!(error(url).contains("\"tempo:4317\" is not an address"));
    let headers = BTreeMap::from([("bad name".to_owned(), "x".to_owned())]);
    assert!(error(Config { headers, ..Config::default() }).contains("\"bad name\" cannot be sent"));
    let ca_file = Some(PathBuf::from("/nowhere/ca.pem"));
    let roots = Config { url: "https://tempo:4317".to_owned(), ca_file, ..Config::default() };
    assert!(error(roots).contains("/nowhere/ca.pem"));
}

/// A receiver that answers by the service's name in the first resource.
struct Receiver;

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        if request.metadata().get("x-scope-orgid").and_then(|v| v.to_str().ok()) != Some("team-a") {
            return Err(tonic::Status::unauthenticated("no org id"));
        }
        let spans: Vec<String> = request
            .into_inner()
            .resource_spans
            .into_iter()
            .flat_map(|r| r.scope_spans)
            .flat_map(|s| s.spans)
            .map(|span| span.name)
            .collect();
        let partial_success = match spans.len() {
            3 => return Err(tonic::Status::invalid_argument("trace ids must be 128 bit")),
            2 => Some(ExportTracePartialSuccess { rejected_spans: 1, error_message: "too big".to_owned() }),
            _ => None,
        };
        Ok(tonic::Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

/// Scenario: a receiver on this machine takes a request, leaves a span of one out, refuses one, misses the tenant, and is
/// not there.
/// Guarantees: each answer has its meaning.
#[tokio::test]
async fn answers_over_the_wire() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let incoming = async_stream::stream! {
        loop {
            yield listener.accept().await.map(|(stream, _)| stream);
        }
    };
    let service = TraceServiceServer::new(Receiver);
    let server =
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    let config = |tenant: Option<&str>| Config {
        url: format!("http://{address}"),
        tenant: tenant.map(str::to_owned),
        ..Config::default()
    };
    let tempo = Tempo::new(&config(Some("team-a"))).expect("a client");
    let batch = |spans: &[u32]| Batch { parts: vec![part(message(&[4]), spans)], ..Batch::default() };
    assert_eq!(tempo.send(&batch(&[0])).await, Ok(Accepted::default()));
    let partial = Accepted { refused_unnamed: 1, why: "too big".to_owned(), ..Accepted::default() };
    assert_eq!(tempo.send(&batch(&[0, 1])).await, Ok(partial));
    assert_eq!(tempo.send(&batch(&[0, 1, 2])).await.expect_err("refused").kind(), "refused");
    assert!(tempo.test().await.is_ok());
    let nobody = Tempo::new(&config(None)).expect("a client");
    assert_eq!(nobody.send(&batch(&[0])).await.expect_err("no tenant").kind(), "configuration");
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", free.local_addr().expect("an address"));
    drop(free);
    let gone = Tempo::new(&Config { url, ..Config::default() }).expect("a client");
    let gone = gone.send(&batch(&[0])).await.expect_err("nobody listens");
    assert_eq!(gone.kind(), "unavailable", "{gone:?}");
    server.abort();
}
