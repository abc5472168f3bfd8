//! What the real processes cost: samples per CPU second of the aggregator.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ao_proto::frame::{compress, seal};
use ao_proto::limits::WIRE_VERSION;
use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::model::{Family, Labels, Series};
use ao_proto::v1::agent_message::Message;
use ao_proto::v1::ingest_client::IngestClient;
use ao_proto::v1::{AgentMessage, Class, FrameHeader, Hello};
use ao_tests::eventually::eventually;
use ao_tests::stack::Stack;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use prost::Message as _;
use tokio_stream::wrappers::ReceiverStream;

use crate::api::{Row, cpu_seconds};

const SERIES: usize = 1_000;
const FRAMES: usize = 1_000;
const AGENT: [u8; 16] = [7; 16];

/// The figure.
///
/// # Errors
/// Where a process or a server cannot be started.
pub(crate) fn run() -> Result<Vec<Row>, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { Ok(vec![samples_per_cpu_second().await?]) })
}

/// Frames of one agent with a quarter of the series changing, until a remote-write receiver has taken every sample.
async fn samples_per_cpu_second() -> Result<Row, Box<dyn Error>> {
    let taken = Arc::new(AtomicU64::new(0));
    let url = receiver(Arc::clone(&taken)).await?;
    let mut stack = Stack::plaintext();
    stack.start_aggregator(&format!("{{prometheus: {{url: \"{url}\"}}}}"), "").await;
    let idle = cpu_seconds(stack.aggregator().id())?;
    send_frames(stack.ingest).await?;
    let total = (SERIES * FRAMES) as u64;
    eventually("all samples are delivered", Duration::from_secs(120), async || {
        let now = taken.load(Ordering::Relaxed);
        if now >= total { Ok(()) } else { Err(format!("{now} of {total}")) }
    })
    .await;
    let cpu = cpu_seconds(stack.aggregator().id())? - idle;
    let what = format!("{total} samples of {SERIES} series: taken, journalled, sent by remote write 1.0");
    Ok(Row::new("pipeline.aggregator_samples_per_cpu_s", what, total as f64 / cpu, "samples/s"))
}

/// Takes every write request and counts its samples.
async fn receiver(taken: Arc<AtomicU64>) -> Result<String, Box<dyn Error>> {
    let write = move |body: Bytes| async move {
        let raw = snap::raw::Decoder::new().decompress_vec(&body).unwrap_or_default();
        let Ok(request) = ao_proto::remote::WriteRequest::decode(raw.as_slice()) else {
            return StatusCode::BAD_REQUEST;
        };
        let samples: usize = request.timeseries.iter().map(|series| series.samples.len()).sum();
        taken.fetch_add(samples as u64, Ordering::Relaxed);
        StatusCode::NO_CONTENT
    };
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let url = format!("http://{}/api/v1/write", listener.local_addr()?);
    tokio::spawn(async move {
        // Ends with the benchmark.
        let _ended = axum::serve(listener, Router::new().route("/api/v1/write", post(write))).await;
    });
    Ok(url)
}

async fn send_frames(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let (out, outgoing) = tokio::sync::mpsc::channel(64);
    let hello = Hello {
        agent: AGENT.to_vec(),
        node: "bench".to_owned(),
        version: WIRE_VERSION,
        epochs: vec![1],
        ..Hello::default()
    };
    out.send(AgentMessage { message: Some(Message::Hello(hello)) }).await?;
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    let mut client = IngestClient::new(channel);
    let mut answers = client.stream(ReceiverStream::new(outgoing)).await?.into_inner();
    // Acks are read so that they never fill the connection.
    tokio::spawn(async move { while let Ok(Some(_)) = answers.message().await {} });
    let begin = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as i64 - FRAMES as i64 * 1_000;
    let keyframe = keyframe(begin);
    let raw = keyframe.encode();
    let sealed = seal(&header(&keyframe, 0, begin, raw.len()), &compress(&raw));
    out.send(AgentMessage { message: Some(Message::Keyframe(sealed)) }).await?;
    for n in 1..=FRAMES {
        let at_ms = begin + n as i64 * 1_000;
        let changed = |(i, value): (usize, &f64)| if i % 4 == 0 { value + n as f64 } else { *value };
        let values = keyframe.values.iter().enumerate().map(changed).collect();
        let mut raw = Vec::new();
        MetricsFrame { at_ms, values, ..MetricsFrame::default() }.encode(&keyframe, &mut raw);
        let sealed = seal(&header(&keyframe, n as u64, at_ms, raw.len()), &compress(&raw));
        out.send(AgentMessage { message: Some(Message::Frame(sealed)) }).await?;
    }
    // The stream stays open until all is through.
    tokio::spawn(async move { out.closed().await });
    Ok(())
}

fn keyframe(at_ms: i64) -> Keyframe {
    let series = (0..SERIES).map(|n| {
        let own = [("__name__", "bench_total".to_owned()), ("series", n.to_string())];
        let base =
            [("job", "bench".to_owned()), ("instance", "bench".to_owned()), ("node", "bench".to_owned())];
        Series { labels: Labels::from_pairs(own.into_iter().chain(base)), family: 0 }
    });
    Keyframe {
        id: 1,
        at_ms,
        families: vec![Family { name: "bench_total".into(), ..Family::default() }],
        series: series.collect(),
        values: (0..SERIES).map(|n| n as f64).collect(),
    }
}

fn header(keyframe: &Keyframe, sequence: u64, at_ms: i64, raw_bytes: usize) -> FrameHeader {
    FrameHeader {
        agent: AGENT.to_vec(),
        epoch: 1,
        sequence,
        class: Class::Metrics.into(),
        keyframe: keyframe.id,
        source: "bench".to_owned(),
        records: SERIES as u64,
        bytes: SERIES as u64 * 16,
        first_ms: at_ms,
        raw_bytes: raw_bytes as u64,
        ..FrameHeader::default()
    }
}
