//! The receiver with a real client.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan};
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic::{Code, Response};

use super::receiver::PART_BYTES;
use super::*;
use crate::context::Node;
use crate::event::{Event, SpanChunk};

struct Bench {
    address: SocketAddr,
    events: mpsc::Receiver<Event>,
    shutdown: CancellationToken,
    metrics: Metrics,
    server: JoinHandle<Result<(), RunError>>,
}

impl Bench {
    async fn start(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, events) = mpsc::channel(64);
        let (_, directives) = watch::channel(Arc::default());
        let node = Node { name: "n1".to_owned(), cluster: "c1".to_owned(), ..Node::default() };
        let shutdown = CancellationToken::new();
        let ctx = Context { events: sender, directives, node: Arc::new(node), shutdown: shutdown.clone() };
        let metrics = Metrics::new();
        let counts = metrics.clone();
        let server = tokio::spawn(async move { serve(&config, ctx, listener, counts).await });
        Self { address, events, shutdown, metrics, server }
    }

    async fn client(&self) -> TraceServiceClient<Channel> {
        TraceServiceClient::connect(format!("http://{}", self.address)).await.unwrap()
    }

    async fn chunk(&mut self) -> SpanChunk {
        let event = tokio::time::timeout(Duration::from_secs(10), self.events.recv()).await.unwrap().unwrap();
        let Event::Spans(chunk) = event else { panic!("{event:?}") };
        chunk
    }
}

fn request(spans: usize, name: usize) -> ExportTraceServiceRequest {
    let span = |n: usize| OtlpSpan {
        name: "x".repeat(name),
        start_time_unix_nano: 1_000 + n as u64,
        ..OtlpSpan::default()
    };
    let scope = ScopeSpans { spans: (0..spans).map(span).collect(), ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

fn export(
    client: &TraceServiceClient<Channel>,
    request: ExportTraceServiceRequest,
) -> JoinHandle<Result<ExportTraceServiceResponse, Status>> {
    let mut client = client.clone();
    tokio::spawn(async move { client.export(request).await.map(Response::into_inner) })
}

/// Scenario: a client sends spans, plain and compressed, and the spool takes its time.
/// Guarantees: count, times and node are right; the answer comes only once the spans are stored.
#[tokio::test]
async fn answers_once_stored() {
    let mut bench = Bench::start(Config::default()).await;
    let plain = bench.client().await;
    for client in [plain.clone(), plain.send_compressed(CompressionEncoding::Gzip)] {
        let answer = export(&client, request(3, 8));
        let chunk = bench.chunk().await;
        assert_eq!((chunk.source, chunk.spans, chunk.times_ns), ("otlp", 3, (1_000, 1_002)));
        let decoded = ExportTraceServiceRequest::decode(chunk.request).unwrap();
        let text = format!("{:?}", decoded.resource_spans[0].resource);
        for expected in ["host.name", "k8s.node.name", "\"n1\"", "k8s.cluster.name", "\"c1\""] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(!answer.is_finished());
        chunk.stored.unwrap().send(()).unwrap();
        assert_eq!(answer.await.unwrap().unwrap().partial_success, None);
    }
    assert_eq!(bench.metrics.counted(Outcome::Stored), 2);
}

/// Scenario: a request of 3 MiB with one span that is too large for any frame.
/// Guarantees: parts of at most 1 MiB; the answer waits for the last of them and names the one span.
#[tokio::test]
async fn large_requests_are_split() {
    let mut bench = Bench::start(Config::default()).await;
    let mut large = request(200, 10 << 10);
    large.resource_spans.extend(request(1, PART_BYTES).resource_spans);
    let answer = export(&bench.client().await, large);
    let mut spans = 0;
    while spans < 200 {
        let chunk = bench.chunk().await;
        assert!(chunk.request.len() <= PART_BYTES && !answer.is_finished());
        spans += chunk.spans;
        chunk.stored.unwrap().send(()).unwrap();
    }
    let partial = answer.await.unwrap().unwrap().partial_success.unwrap();
    assert_eq!((spans, partial.rejected_spans), (200, 1));
    assert!(partial.error_message.contains("too large"), "{}", partial.error_message);
}

/// Scenario: the spool does not store, refuses to, or the batcher is gone.
/// Guarantees: UNAVAILABLE each time, which makes clients send again.
#[tokio::test]
async fn what_is_not_stored_is_sent_again() {
    let config = Config { deadline: Span(Duration::from_millis(200)), ..Config::default() };
    let mut bench = Bench::start(config).await;
    let client = bench.client().await;
    let late = export(&client, request(1, 1));
    let held = bench.chunk().await;
    let status = late.await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.message().contains("within 200ms")), (Code::Unavailable, true));
    drop(held);
    let refused = export(&client, request(1, 1));
    drop(bench.chunk().await);
    assert_eq!(refused.await.unwrap().unwrap_err().code(), Code::Unavailable);
    bench.events.close();
    assert_eq!(export(&client, request(1, 1)).await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(bench.metrics.counted(Outcome::Unavailable), 3);
}

/// Scenario: the batcher is behind, so that requests stay in hand up to their limit; then it goes on.
/// Guarantees: one more is turned away at once with UNAVAILABLE; afterwards requests are taken again.
#[tokio::test]
async fn bounded_in_number() {
    let config = Config { max_requests: 2, deadline: Span::secs(60), ..Config::default() };
    let mut bench = Bench::start(config).await;
    let client = bench.client().await;
    // 64 parts fill the channel to the batcher; their requests no longer count.
    let first: Vec<_> = (0..32).map(|_| request(2, 700 << 10)).collect();
    let mut waiting = Vec::new();
    for request in first {
        let before = bench.events.len();
        waiting.push(export(&client, request));
        while bench.events.len() < before + 2 {
            tokio::task::yield_now().await;
        }
    }
    // These two are in hand.
    waiting.extend((0..2).map(|_| export(&client, request(1, 1))));
    let turned_away = loop {
        let mut probe = export(&client, request(1, 1));
        match tokio::time::timeout(Duration::from_millis(20), &mut probe).await {
            Ok(answer) => break answer.unwrap().unwrap_err(),
            Err(_) => waiting.push(probe),
        }
    };
    assert_eq!(turned_away.code(), Code::Unavailable);
    assert!(turned_away.message().contains("otlp.max_requests"), "{}", turned_away.message());
    assert!(bench.metrics.counted(Outcome::Busy) > 0);
    let drained = tokio::spawn(async move {
        while let Some(Event::Spans(chunk)) = bench.events.recv().await {
            let _gone = chunk.stored.unwrap().send(());
        }
    });
    for answer in waiting {
        let answer = tokio::time::timeout(Duration::from_secs(20), answer).await.unwrap().unwrap();
        assert!(answer.is_ok() || answer.unwrap_err().message().contains("otlp.max_requests"));
    }
    assert!(export(&client, request(1, 1)).await.unwrap().is_ok());
    drained.abort();
}

/// Scenario: a request above `max_message`, plain and as a small compressed one, and bytes that are no request.
/// Guarantees: each is refused by itself; the receiver goes on.
#[tokio::test]
async fn bad_requests() {
    let config = Config { max_message: Size(64 << 10), ..Config::default() };
    let mut bench = Bench::start(config).await;
    let plain = bench.client().await;
    for client in [plain.clone(), plain.clone().send_compressed(CompressionEncoding::Gzip)] {
        let status = export(&client, request(1, 1 << 20)).await.unwrap().unwrap_err();
        assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status:?}");
    }
    let answer = export(&plain, request(1, 1));
    bench.chunk().await.stored.unwrap().send(()).unwrap();
    assert!(answer.await.unwrap().is_ok());
}

/// Scenario: a request of two million empty spans, which would take over 600 MiB once decoded.
/// Guarantees: refused for good with a sentence, and counted; the next one is taken.
#[tokio::test]
async fn bombs_of_spans() {
    let mut bench = Bench::start(Config::default()).await;
    let client = bench.client().await;
    let mut bomb = request(0, 0);
    bomb.resource_spans[0].scope_spans[0].spans = vec![OtlpSpan::default(); (2 << 20) - 100];
    let status = export(&client, bomb).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("decoded request"), "{}", status.message());
    assert_eq!(bench.metrics.counted(Outcome::Refused), 1);
    let answer = export(&client, request(1, 1));
    bench.chunk().await.stored.unwrap().send(()).unwrap();
    assert!(answer.await.unwrap().is_ok());
}

/// Scenario: what the walk over a request's bytes takes a decoded struct to be.
/// Guarantees: no less than it is.
#[test]
fn weights_are_no_less_than_the_structs() {
    use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, InstrumentationScope, KeyValue};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
    for (size, most) in [
        (size_of::<ResourceSpans>(), 160),
        (size_of::<ScopeSpans>(), 160),
        (size_of::<InstrumentationScope>(), 112),
        (size_of::<OtlpSpan>(), 320),
        (size_of::<Event>(), 128),
        (size_of::<Link>(), 128),
        (size_of::<EntityRef>(), 128),
        (size_of::<Resource>(), 64),
        (size_of::<KeyValue>(), 72),
        (size_of::<AnyValue>(), 40),
    ] {
        assert!(size <= most, "{size} bytes, taken for {most}");
    }
}

/// Scenario: the agent stops while a request waits for the spool.
/// Guarantees: the request is still answered, and the receiver ends.
#[tokio::test]
async fn shutdown_ends_what_is_in_hand() {
    let mut bench = Bench::start(Config::default()).await;
    let answer = export(&bench.client().await, request(1, 1));
    let chunk = bench.chunk().await;
    bench.shutdown.cancel();
    chunk.stored.unwrap().send(()).unwrap();
    assert!(answer.await.unwrap().is_ok());
    tokio::time::timeout(Duration::from_secs(20), bench.server).await.unwrap().unwrap().unwrap();
}

/// Scenario: the port is in use.
/// Guarantees: one sentence that names the address and the setting.
#[tokio::test]
async fn a_port_in_use() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let grpc = holder.local_addr().unwrap();
    let (events, _keep) = mpsc::channel(1);
    let (_, directives) = watch::channel(Arc::default());
    let ctx = Context { events, directives, node: Arc::default(), shutdown: CancellationToken::new() };
    let error = run(Config { grpc, ..Config::default() }, ctx, SharedRegistry::default()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&grpc.to_string()) && text.contains("otlp.grpc"), "{text}");
}
