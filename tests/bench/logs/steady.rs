//! An agent that has long been running: lines come, a write each, to a hundred files; and nothing comes, to a thousand.

use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::process::memory;
use ao_tests::stack::Stack;
use ao_tests::writer::{container, now_ns, rfc3339};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::LOGS_ALONE;
use crate::api::{Row, cpu_seconds};

const FILES: usize = 100;
/// Each file gets a line so often: 10,000 lines a second in all.
const EVERY: Duration = Duration::from_millis(10);
const IDLE_FILES: usize = 1_000;
/// Until what is done once is done: connecting, waiting for pods that nobody knows.
const WARM: Duration = Duration::from_secs(12);
const MEASURED: Duration = Duration::from_secs(30);

pub(super) async fn run() -> Result<Vec<Row>, Box<dyn Error>> {
    let (lines, cpu, mib) = written_to().await?;
    let what = format!("{lines:.0} lines a second, each a write, to {FILES} pod files");
    Ok(vec![
        Row::new("logs.cpu_at_10k", format!("share of a core at {what}"), cpu, "cores"),
        Row::new("logs.rss_at_10k_mib", format!("the most resident memory at {what}"), mib, "MiB"),
        Row::new(
            "logs.cpu_1000_idle_files",
            format!("share of a core with {IDLE_FILES} pod files that nobody writes to"),
            idle().await?,
            "cores",
        ),
    ])
}

/// Lines a second, CPU, memory.
async fn written_to() -> Result<(f64, f64, f64), Box<dyn Error>> {
    let mut stack = Stack::new();
    stack.start_aggregator("{}", "").await;
    stack.start_agent(LOGS_ALONE).await;
    let (ends, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writing = tokio::spawn(write(files(&stack.pods(), FILES)?, Arc::clone(&ends), Arc::clone(&written)));
    let agent = stack.agent().id();
    sleep(WARM).await;
    let (begin, first, before) = (Instant::now(), written.load(Ordering::Relaxed), cpu_seconds(agent)?);
    let mut most = 0;
    while begin.elapsed() < MEASURED {
        sleep(Duration::from_millis(500)).await;
        most = most.max(memory(agent, "VmRSS:"));
    }
    let cpu = cpu_seconds(agent)? - before;
    let (seconds, lines) = (begin.elapsed().as_secs_f64(), written.load(Ordering::Relaxed) - first);
    ends.store(true, Ordering::Relaxed);
    writing.await??;
    let total = written.load(Ordering::Relaxed) as f64;
    eventually("all lines are journalled", Duration::from_secs(60), async || {
        let labels = "source=\"logs\",class=\"logs\"";
        let received = stack.aggregator_metric("ao_ledger_received_records_total", labels).await?;
        if received >= total { Ok(()) } else { Err(format!("{received} of {total}")) }
    })
    .await;
    Ok((lines as f64 / seconds, cpu / seconds, most as f64))
}

async fn write(
    mut files: Vec<File>,
    ends: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
) -> Result<(), std::io::Error> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut line = String::new();
    for n in 0_u64.. {
        ticks.tick().await;
        if ends.load(Ordering::Relaxed) {
            break;
        }
        for (i, file) in files.iter_mut().enumerate() {
            line.clear();
            line.push_str(&rfc3339(now_ns()));
            let id = (n * FILES as u64 + i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            line.push_str(&format!(
                " stdout F {{\"level\":\"info\",\"seq\":{n},\"trace\":\"{id:016x}\",\"msg\":\"request served\",\
                 \"path\":\"/api/v1/items/{}\",\"status\":200,\"ms\":{},\"cache\":\"of this zone\"}}\n",
                n * 7_919 % 10_007,
                n * 31 % 997,
            ));
            file.write_all(line.as_bytes())?;
        }
        written.fetch_add(files.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// A share of a core.
async fn idle() -> Result<f64, Box<dyn Error>> {
    let mut stack = Stack::new();
    for (n, mut file) in files(&stack.pods(), IDLE_FILES)?.into_iter().enumerate() {
        writeln!(file, "{} stdout F the only line, {n}", rfc3339(now_ns()))?;
    }
    stack.start_aggregator("{}", "").await;
    stack.start_agent(LOGS_ALONE).await;
    let agent = stack.agent().id();
    eventually("all files were read", Duration::from_secs(60), async || {
        let received = stack.aggregator_metric("ao_ledger_received_records_total", "source=\"logs\"").await?;
        if received >= IDLE_FILES as f64 { Ok(()) } else { Err(format!("{received} lines")) }
    })
    .await;
    sleep(WARM).await;
    let (begin, before) = (Instant::now(), cpu_seconds(agent)?);
    sleep(MEASURED).await;
    Ok((cpu_seconds(agent)? - before) / begin.elapsed().as_secs_f64())
}

/// Files of pods, made and open.
fn files(pods: &Path, count: usize) -> Result<Vec<File>, std::io::Error> {
    let open = |n: usize| {
        let folder = container(pods, "bench", &format!("pod-{n}"), &format!("uid-{n}"), "app");
        File::options().create(true).append(true).open(folder.join("0.log"))
    };
    (0..count).map(open).collect()
}
