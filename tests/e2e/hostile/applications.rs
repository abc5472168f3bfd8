//! Applications that mean no good to the agent's OTLP receiver, while an honest one goes on.

use std::net::SocketAddr;
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::load::spans::Application;
use ao_tests::stack::Stack;
use ao_tests::tempo::Tempo;
use ao_tests::workspace::report;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::CompressionEncoding;
use tonic::codegen::{Service, http};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use super::Process;

/// Connections that come to nothing: more than `otlp.max_connections`.
const CROWD: usize = 1_000;
/// Times that all bad requests are sent.
const ROUNDS: usize = 4;
/// Spans of the honest application in each round.
const SPANS: usize = 50;
/// What the agent's memory may grow by at the worst moment: two requests decoded at once, each with lists that grow.
const PEAK_MIB: u64 = 320;
/// What the allocator may keep of it.
const LEFT_MIB: u64 = 160;

fn spans(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope = ScopeSpans { spans, ..ScopeSpans::default() };
    let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

/// What it is, the message, the length that is said, its compression, and the answer.
type Case<'a> = (&'static str, &'a [u8], usize, Option<&'static str>, Code);

/// Bytes as the message of a call, whatever they are: what is answered.
async fn say(address: SocketAddr, message: &[u8], length: usize, encoding: Option<&str>) -> Status {
    let mut channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut body = BytesMut::with_capacity(5 + message.len());
    body.put_u8(u8::from(encoding.is_some()));
    body.put_u32(u32::try_from(length).unwrap());
    body.put_slice(message);
    let path = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let request = http::Request::post(format!("http://{address}/{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", encoding.unwrap_or("identity"))
        .body(tonic::body::Body::new(Full::new(body.freeze())))
        .unwrap();
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
    let response = channel.call(request).await.unwrap();
    let in_head = Status::from_header_map(response.headers());
    let body = response.into_body().collect().await.unwrap();
    in_head.or_else(|| Status::from_header_map(body.trailers()?)).expect("a status")
}

/// Every request that no application should send, four at a time where they are large.
async fn bad(address: SocketAddr) -> usize {
    // A million spans, and as many resources, of two bytes each; more than `max_message`; what is no protobuf.
    let many_spans = spans(vec![Span::default(); (2 << 20) - 100]).encode_to_vec();
    let many_resources = [0x0a, 0].repeat(2 << 20);
    let (most, noise) = (4 << 20, vec![0xff; 1 << 20]);
    let too_large = vec![0; most + 1];
    let invalid = Code::InvalidArgument;
    let zstd = zstd::bulk::compress(&too_large, 1).unwrap();
    let cases: [Case<'_>; 7] = [
        ("empty spans", &many_spans[..], many_spans.len(), None, invalid),
        ("empty resources", &many_resources, many_resources.len(), None, invalid),
        ("noise", &noise, noise.len(), None, invalid),
        ("too large", &too_large, too_large.len(), None, Code::OutOfRange),
        ("four gigabytes", &[0; 9], u32::MAX as usize, None, Code::OutOfRange),
        ("zstd", &zstd, zstd.len(), Some("zstd"), Code::Unimplemented),
        ("no gzip", &[7; 99], 99, Some("gzip"), Code::Internal),
    ];
    let mut refused = 0;
    for (what, message, length, encoding, code) in cases {
        let say = || say(address, message, length, encoding);
        let (a, b, c, d) = tokio::join!(say(), say(), say(), say());
        for status in [a, b, c, d] {
            assert_eq!(status.code(), code, "{what}: {status}");
            assert!(!status.message().is_empty(), "{what}");
            refused += 1;
        }
    }
    let client = TraceServiceClient::connect(format!("http://{address}")).await.unwrap();
    let mut client = client.send_compressed(CompressionEncoding::Gzip).max_encoding_message_size(usize::MAX);
    let bomb = spans(vec![Span { name: "0".repeat(64 << 20), ..Span::default() }]);
    let status = client.export(bomb).await.expect_err("a bomb of gzip");
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status}");
    refused + 1
}

/// Connections that say nothing, a part of HTTP/2's greeting, or noise.
async fn crowd(address: SocketAddr) -> Vec<TcpStream> {
    let mut open = Vec::with_capacity(CROWD);
    for n in 0..CROWD {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let begin: &[u8] = match n % 3 {
            0 => b"",
            1 => b"PRI * HTTP/2.0\r\n",
            _ => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        };
        // It may have been closed for the next ones' sake.
        let _closed = stream.write_all(begin).await;
        open.push(stream);
    }
    open
}

/// A request that is begun and does not come: it holds one of `otlp.max_requests` until its time is over.
async fn half(address: SocketAddr) -> Sender<Result<Frame<Bytes>, Status>> {
    let connection = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let (sender, body) = channel(1);
    let begun = Bytes::from_static(&[0, 0, 0x10, 0, 0, 7]);
    sender.send(Ok(Frame::data(begun))).await.unwrap();
    let path = "opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let request = http::Request::post(format!("http://{address}/{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(StreamBody::new(ReceiverStream::new(body))))
        .unwrap();
    tokio::spawn(async move {
        let mut channel = connection;
        let _ready = std::future::poll_fn(|cx| channel.poll_ready(cx)).await;
        let _answer = channel.call(request).await;
    });
    sender
}

/// Scenario: bombs of spans, of gzip and of sizes, noise, what is compressed by what is not taken, requests that do not
/// come, 1,000 connections that say nothing; an honest application sends spans meanwhile, on one connection.
/// Guarantees: every sender is told why; memory and descriptors of the agent stay bounded, and do not grow with every
/// round; every honest span that was answered arrives once.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_applications_harm_nobody() {
    let mut stack = Stack::new();
    let tempo = Tempo::start().await;
    stack.start_aggregator(&format!("{{tempo: {{url: \"{}\"}}}}", tempo.url), "").await;
    stack.start_agent("").await;
    let address = stack.otlp;
    let mut honest = Application::connect(address).await;
    honest.send(1).await;
    let process = Process(stack.agent().id());
    let (before, files_before) = (process.resident(), process.files());
    std::fs::write(format!("/proc/{}/clear_refs", process.0), "5").unwrap();
    let (mut refused, mut rounds) = (0, Vec::new());
    for _ in 0..ROUNDS {
        let ((), times) = tokio::join!(honest.send(SPANS), bad(address));
        refused += times;
        rounds.push(process.resident());
    }
    let crowd = crowd(address).await;
    let mut halves = Vec::new();
    for _ in 0..8 {
        halves.push(half(address).await);
    }
    honest.send(SPANS).await;
    let files_peak = process.files();
    assert!(files_peak <= files_before + 300, "{files_before} files, then {files_peak}");
    drop((crowd, halves));
    let spans = eventually("every span", Duration::from_secs(40), async || {
        let spans = tempo.spans();
        honest.all_in(&spans).map(|()| spans)
    })
    .await;
    honest.judge(&spans);
    let counted = stack.agent_metric("ao_otlp_requests_total", "outcome=\"refused\"").await.unwrap();
    assert!(counted >= (ROUNDS * 12) as f64, "{counted} are counted");
    let (peak, after) = (process.memory("VmHWM:"), process.resident());
    assert!(
        peak <= before + PEAK_MIB && after <= before + LEFT_MIB,
        "{before}, {peak}, {after} MiB; {rounds:?}"
    );
    report(
        "hostile-applications",
        &json!({
            "requests_refused": refused, "connections": CROWD, "spans": honest.stored(), "lost": 0, "double": 0,
            "files_before": files_before, "files_peak": files_peak, "mib_before": before, "mib_peak": peak,
            "mib_after": after, "mib_rounds": rounds, "mib_peak_bound": PEAK_MIB, "mib_after_bound": LEFT_MIB,
        }),
    );
}
