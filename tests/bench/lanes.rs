//! Fresh first: how fast a sink drains a backlog of log lines, and how far new lines are behind meanwhile. Journal,
//! fan-out and Loki sink run in this process, against a server that takes everything.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ao_aggregator::fanout::{self, Ground};
use ao_aggregator::journal;
use ao_aggregator::ledger::Ledger;
use ao_aggregator::sink::api::Sink;
use ao_aggregator::sink::loki;
use ao_common::clock::now_ms;
use ao_common::health::Health;
use ao_common::journal::Journal;
use ao_common::shutdown::Tasks;
use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::model::Labels;
use ao_proto::queue::Lane;
use ao_tests::frames::append_lines;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use prometheus_client::registry::Registry;
use prost::Message as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::Row;

/// Frames of the backlog, of 1 MB of text each.
const FRAMES: usize = 512;
const LINES: usize = 5_000;
const LINE: usize = 200;
/// A new line comes so often.
const EVERY: Duration = Duration::from_millis(20);

/// What the server has seen.
#[derive(Default)]
struct Seen {
    backlog_bytes: AtomicU64,
    /// Milliseconds from a new line's time to its coming.
    lags: Mutex<Vec<i64>>,
}

/// Both figures.
///
/// # Errors
/// Where the journal or the server cannot be used.
pub(crate) fn run() -> Result<Vec<Row>, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(drain())
}

async fn drain() -> Result<Vec<Row>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let seen = Arc::new(Seen::default());
    let url = server(Arc::clone(&seen)).await?;
    let (ledger, shutdown) = (Ledger::default(), CancellationToken::new());
    let (journal, _memory) = journal::open(folder.path(), &journal::Config::default(), &ledger, &["loki"])?;
    let begin = now_ms() - 3_600_000;
    for n in 0..FRAMES {
        let at_ms = begin + n as i64;
        append_lines(&journal, Lane::Backlog, &lines(at_ms, LINES)).await?;
    }
    let mut tasks = Tasks::new();
    start(folder.path(), &journal, &ledger, url, &mut tasks, &shutdown)?;
    let total = (FRAMES * LINES * LINE) as u64;
    let started = Instant::now();
    let mut next = started;
    while seen.backlog_bytes.load(Ordering::Relaxed) < total {
        append_lines(&journal, Lane::Fresh, &lines(now_ms(), 1)).await?;
        next += EVERY;
        tokio::time::sleep_until(next).await;
        if started.elapsed() > Duration::from_secs(600) {
            return Err("the backlog does not drain".into());
        }
    }
    let rate = total as f64 / 1e6 / started.elapsed().as_secs_f64();
    shutdown.cancel();
    tasks.drain(Duration::from_secs(10)).await;
    journal.close().await;
    let mut lags = std::mem::take(&mut *seen.lags.lock().unwrap_or_else(PoisonError::into_inner));
    lags.sort_unstable();
    let p99 = lags.get(lags.len() * 99 / 100).copied().unwrap_or(i64::MAX);
    let what =
        format!("{} MB of log lines in the backlog, through one sink, beside new lines", total / 1_000_000);
    let lag = format!("how far {} new lines were behind meanwhile, 99th percentile", lags.len());
    Ok(vec![
        Row::new("lanes.sink_drain", what, rate, "MB/s"),
        Row::new("lanes.fresh_lag_p99", lag, p99 as f64 / 1_000.0, "s"),
    ])
}

fn start(
    dir: &Path,
    journal: &Journal,
    ledger: &Ledger,
    url: String,
    tasks: &mut Tasks,
    shutdown: &CancellationToken,
) -> Result<(), Box<dyn Error>> {
    let sink: Arc<dyn Sink> = Arc::new(loki::Loki::new(&loki::Config { url, ..loki::Config::default() })?);
    let (health, mut registry) = (Health::new(), Registry::default());
    let ground = Ground {
        dir,
        journal,
        ledger,
        health: &health,
        registry: &mut registry,
        tasks,
        shutdown: shutdown.clone(),
    };
    fanout::spawn(&fanout::Config::default(), &[sink], ground)?;
    Ok(())
}

/// So many lines of this time, 200 bytes each.
fn lines(at_ms: i64, count: usize) -> LogFrame {
    let mut frame = LogFrame {
        streams: vec![Labels::from_pairs([("namespace", "shop"), ("pod", "web-1"), ("node_name", "n1")])],
        ..LogFrame::default()
    };
    for n in 0..count {
        let line = format!(
            "level=info seq={n} path=/api/v1/items/{} status=200 ms={}",
            n * 7_919 % 10_007,
            n * 31 % 997
        );
        frame.entries.push(LogEntry { stream: 0, at_ns: at_ms * 1_000_000, len: LINE as u32, metadata: 0 });
        frame.text.push_str(&format!("{line:x<LINE$}"));
    }
    frame
}

/// Takes every push.
async fn server(seen: Arc<Seen>) -> Result<String, Box<dyn Error>> {
    let push = move |body: Bytes| async move {
        let Ok(raw) = snap::raw::Decoder::new().decompress_vec(&body) else { return StatusCode::BAD_REQUEST };
        // The labels stand at the beginning.
        if raw[..raw.len().min(200)].windows(7).any(|bytes| bytes == b"backlog") {
            let lines = raw.len() as u64 / LINE as u64;
            seen.backlog_bytes.fetch_add(lines.min(LINES as u64) * LINE as u64, Ordering::Relaxed);
            return StatusCode::NO_CONTENT;
        }
        let Ok(request) = ao_proto::loki::PushRequest::decode(raw.as_slice()) else {
            return StatusCode::BAD_REQUEST;
        };
        let now = now_ms();
        let times =
            request.streams.iter().flat_map(|stream| &stream.entries).filter_map(|e| e.timestamp.as_ref());
        let lags = times.map(|at| now - at.seconds * 1_000 - i64::from(at.nanos) / 1_000_000);
        seen.lags.lock().unwrap_or_else(PoisonError::into_inner).extend(lags);
        StatusCode::NO_CONTENT
    };
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let url = format!("http://{}/loki/api/v1/push", listener.local_addr()?);
    tokio::spawn(async move {
        let router = Router::new().route("/loki/api/v1/push", post(push));
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        // Ends with the benchmark.
        let _ended = axum::serve(listener, router).await;
    });
    Ok(url)
}
