//! An agent that has read a lot while its aggregator was away, and what follows when it is back: both as processes, over
//! TLS, with a server behind them that speaks Loki's protocol. `DRAIN_MB` in the environment says how much.

use std::error::Error;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ao_tests::eventually::eventually;
use ao_tests::process::memory;
use ao_tests::stack::{Stack, metric};
use ao_tests::writer::{CriFile, container, rfc3339};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::{Instant, interval};

use crate::api::Row;

/// What is read meanwhile, in MB of files, unless the environment says otherwise.
const MB: u64 = 500;
/// What the figures are projected to.
const PROJECTED_MB: f64 = 2_500.0;
const FILES: u64 = 20;
/// A fresh line is written so often.
const EVERY: Duration = Duration::from_millis(20);
/// For each of the waits, for each MB.
const PATIENCE_PER_MB: Duration = Duration::from_millis(500);

/// What the server was sent.
#[derive(Default)]
struct Seen {
    backlog: AtomicU64,
    /// When each fresh line was written, and how much later it came, in nanoseconds.
    fresh: Mutex<Vec<(i64, i64)>>,
}

/// All figures.
///
/// # Errors
/// Where a process or a server cannot be started, or the environment does not name a number.
pub(crate) fn run() -> Result<Vec<Row>, Box<dyn Error>> {
    let mb = match std::env::var("DRAIN_MB") {
        Ok(text) => text.parse().map_err(|_| format!("DRAIN_MB={text} is not a number of megabytes"))?,
        Err(_) => MB,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(drain(mb))
}

async fn drain(mb: u64) -> Result<Vec<Row>, Box<dyn Error>> {
    let (seen, patience) = (Arc::new(Seen::default()), PATIENCE_PER_MB * u32::try_from(mb.max(60))?);
    let url = server(Arc::clone(&seen)).await?;
    let mut stack = Stack::new();
    stack.start_aggregator(&format!("{{loki: {{url: \"{url}\"}}}}"), "").await;
    stack.start_agent("collectors: {interval: 1h}\nlatency: {targets: []}\npath: {targets: []}").await;
    let (admin, http) = (stack.admin, stack.http);
    let connected = async || {
        let now = metric(admin, "ao_uplink_connected", "").await?;
        if now >= 1.0 { Ok(()) } else { Err("it is not".to_owned()) }
    };
    eventually("the agent is connected", patience, connected).await;
    if !stack.aggregator().stop().await.success() {
        return Err("the aggregator did not end well".into());
    }

    let (lines, bytes) = write_backlog(stack.pods(), mb).await?;
    let read = async || metric(admin, "ao_ledger_read_records_total", "source=\"logs\"").await;
    eventually("the agent has read all", patience, async || match read().await? as u64 {
        now if now >= lines => Ok(()),
        now => Err(format!("{now} lines of {lines}")),
    })
    .await;
    let (ends, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let file = container(&stack.pods(), "bench", "fresh", "uid-fresh", "app").join("0.log");
    let writing = tokio::spawn(write_fresh(file, Arc::clone(&ends), Arc::clone(&written)));
    eventually("fresh lines are read", patience, async || match read().await? as u64 {
        now if now > lines + 50 => Ok(()),
        _ => Err("not yet".to_owned()),
    })
    .await;

    let begin = Instant::now();
    stack.relaunch_aggregator();
    eventually("the agent is connected again", patience, connected).await;
    let connected_ns = now_ns();
    let received = eventually("the aggregator has all", patience, async || {
        // Some of the fresh lines are on their way.
        let owed = lines + written.load(Ordering::Relaxed).saturating_sub(100);
        match metric(http, "ao_ledger_received_records_total", "source=\"logs\"").await? as u64 {
            now if now >= owed => Ok(begin.elapsed()),
            now => Err(format!("{now} lines of {owed}")),
        }
    })
    .await;
    let delivered =
        eventually("Loki has all", patience, async || match seen.backlog.load(Ordering::Relaxed) {
            now if now >= lines => Ok(begin.elapsed()),
            now => Err(format!("{now} lines of {lines}")),
        })
        .await;
    let drained_ns = now_ns();
    ends.store(true, Ordering::Relaxed);
    writing.await?;
    let written = written.load(Ordering::Relaxed);
    let fresh = || seen.fresh.lock().unwrap_or_else(PoisonError::into_inner);
    eventually("Loki has the last fresh line", patience, async || match fresh().len() as u64 {
        now if now >= written => Ok(()),
        now => Err(format!("{now} of {written}")),
    })
    .await;
    let of_time = |(at, _): &&(i64, i64)| (connected_ns..drained_ns).contains(at);
    let mut behind: Vec<i64> = fresh().iter().filter(of_time).map(|(_, behind)| *behind).collect();
    behind.sort_unstable();

    let resident = [stack.agent().id(), stack.aggregator().id()].map(|pid| memory(pid, "VmHWM:"));
    let mut lost = [0.0, 0.0];
    for (sum, what) in lost.iter_mut().zip(["dropped", "resent"]) {
        for door in [admin, http] {
            *sum += metric(door, &format!("ao_ledger_{what}_records_total"), "source=\"logs\"").await?;
        }
    }
    let total = seen.backlog.load(Ordering::Relaxed) + fresh().len() as u64;
    let double = total.saturating_sub(lines + written);
    let mb = bytes as f64 / 1e6;
    let rate = mb / delivered.as_secs_f64();
    let of = format!("of {lines} CRI lines, {mb:.0} MB");
    let percentile = |share: f64| {
        let place = ((behind.len() as f64 * share) as usize).min(behind.len().saturating_sub(1));
        behind.get(place).map_or(f64::NAN, |ns| *ns as f64 / 1e9)
    };
    let lag = |name: &str, share, text: &str| {
        let what =
            format!("how far {} lines written during the drain were behind at Loki: {text}", behind.len());
        Row::new(format!("drain.fresh_behind_{name}_s"), what, percentile(share), "s")
    };
    let row = |name: &str, what: String, ours, unit| Row::new(format!("drain.{name}"), what, ours, unit);
    let since = "from the aggregator's start until";
    Ok(vec![
        row("aggregator_seconds", format!("{since} it has all {of}"), received.as_secs_f64(), "s"),
        row("seconds", format!("{since} Loki has all {of}"), delivered.as_secs_f64(), "s"),
        row("mb_per_s", "the same as a rate of what was read".to_owned(), rate, "MB/s"),
        row("seconds_2_5gb", "the same for 2.5 GB at this rate".to_owned(), PROJECTED_MB / rate, "s"),
        lag("p50", 0.5, "half of them less"),
        lag("p99", 0.99, "99 of 100 less"),
        lag("max", 1.0, "the worst"),
        row("agent_rss_mib", "the agent's memory at its peak".to_owned(), resident[0] as f64, "MiB"),
        row(
            "aggregator_rss_mib",
            "the aggregator's memory at its peak".to_owned(),
            resident[1] as f64,
            "MiB",
        ),
        row("dropped", "lines dropped, by both ledgers".to_owned(), lost[0], "lines"),
        row("resent", "lines sent again, by both ledgers".to_owned(), lost[1], "lines"),
        row("double", "lines that Loki was sent twice".to_owned(), double as f64, "lines"),
    ])
}

/// Returns the lines and bytes of all files.
async fn write_backlog(pods: PathBuf, mb: u64) -> Result<(u64, u64), Box<dyn Error>> {
    let write = move || {
        let (mut lines, mut bytes) = (0, 0);
        for file in 0..FILES {
            let folder = container(&pods, "bench", &format!("pod-{file}"), &format!("uid-{file}"), "app");
            let (text, count) = backlog(file, mb * 1_000_000 / FILES);
            (lines, bytes) = (lines + count, bytes + text.len() as u64);
            std::fs::write(folder.join("0.log"), text)?;
        }
        Ok::<_, std::io::Error>((lines, bytes))
    };
    Ok(tokio::task::spawn_blocking(write).await??)
}

/// A file's text and its lines: requests as a service logs them, with ids that do not compress.
fn backlog(file: u64, bytes: u64) -> (String, u64) {
    let mut random = StdRng::seed_from_u64(file);
    let (mut text, mut lines) = (String::new(), 0_u64);
    let begin = (now_ns() - 600_000_000_000).unsigned_abs();
    while (text.len() as u64) < bytes {
        let at = rfc3339(u128::from(begin + lines * 1_000));
        // Writing to a String cannot fail.
        let _ok = writeln!(
            text,
            "{at} stdout F {{\"level\":\"info\",\"seq\":{lines},\"trace\":\"{:016x}\",\"msg\":\"request served\",\
             \"path\":\"/api/v1/items/{}\",\"user\":\"u{:05}\",\"status\":200,\"bytes\":{},\"ms\":{}.{:03}}}",
            random.random::<u64>(),
            random.random_range(0..10_000),
            random.random_range(0..50_000),
            random.random_range(200..60_000),
            random.random_range(0..900),
            random.random_range(0..1_000),
        );
        lines += 1;
    }
    (text, lines)
}

async fn write_fresh(path: PathBuf, ends: Arc<AtomicBool>, written: Arc<AtomicU64>) {
    let mut file = CriFile::create(&path);
    let mut ticks = interval(EVERY);
    while !ends.load(Ordering::Relaxed) {
        ticks.tick().await;
        let n = written.load(Ordering::Relaxed);
        file.number("fresh", n..n + 1);
        written.store(n + 1, Ordering::Relaxed);
    }
}

/// Takes every push.
async fn server(seen: Arc<Seen>) -> Result<String, Box<dyn Error>> {
    let push = move |body: Bytes| async move {
        let Ok(raw) = snap::raw::Decoder::new().decompress_vec(&body) else { return StatusCode::BAD_REQUEST };
        let Ok(request) = ao_proto::loki::PushRequest::decode(raw.as_slice()) else {
            return StatusCode::BAD_REQUEST;
        };
        for stream in request.streams {
            if !stream.labels.contains("pod=\"fresh\"") {
                seen.backlog.fetch_add(stream.entries.len() as u64, Ordering::Relaxed);
                continue;
            }
            let now = now_ns();
            let times = stream.entries.iter().filter_map(|entry| entry.timestamp.as_ref());
            let times = times.map(|at| at.seconds * 1_000_000_000 + i64::from(at.nanos));
            let behind = times.map(|at| (at, now - at));
            seen.fresh.lock().unwrap_or_else(PoisonError::into_inner).extend(behind);
        }
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

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |at| at.as_nanos() as i64)
}
