//! Loki's window of time: what lies further behind the newest line of its stream is lost there, mostly without a word.
//! The fan-out and its Loki sink run in this process, on a journal of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ao_aggregator::fanout::{self, Ground};
use ao_aggregator::journal;
use ao_aggregator::ledger::{Entry, Ledger};
use ao_aggregator::sink::api::Sink;
use ao_aggregator::sink::loki;
use ao_common::health::Health;
use ao_common::journal::Journal;
use ao_common::shutdown::Tasks;
use ao_common::units::Span;
use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::model::Labels;
use ao_proto::queue::Lane;
use ao_tests::eventually::eventually;
use ao_tests::frames::append_lines;
use ao_tests::loki::Loki;
use ao_tests::script::Reply;
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// Streams of one frame: enough that Loki says nothing of what it drops.
const STREAMS: u32 = 3;

const LATE_AFTER: Duration = Duration::from_millis(300);

/// A process: journal, fan-out, ledger.
struct Process {
    journal: Journal,
    ledger: Ledger,
    tasks: Tasks,
    shutdown: CancellationToken,
}

impl Process {
    fn start(dir: &Path, loki: &Loki) -> Self {
        let (ledger, health, shutdown) = (Ledger::default(), Health::new(), CancellationToken::new());
        let (mut tasks, mut registry) = (Tasks::new(), Registry::default());
        let config = loki::Config {
            url: format!("{}/loki/api/v1/push", loki.url),
            max_records: 500,
            ..<_>::default()
        };
        let sinks: [Arc<dyn Sink>; 1] = [Arc::new(loki::Loki::new(&config).unwrap())];
        let (journal, _) = journal::open(dir, &journal::Config::default(), &ledger, &["loki"]).unwrap();
        let config = fanout::Config {
            retry_base: Span(Duration::from_millis(1)),
            retry_cap: Span(Duration::from_millis(20)),
            late_after: Span(LATE_AFTER),
            ..<_>::default()
        };
        let ground = Ground {
            dir,
            journal: &journal,
            ledger: &ledger,
            health: &health,
            registry: &mut registry,
            tasks: &mut tasks,
            shutdown: shutdown.clone(),
        };
        fanout::spawn(&config, &sinks, ground).unwrap();
        Self { journal, ledger, tasks, shutdown }
    }

    /// A line at each of these times in each of the streams; the line is its time.
    async fn append(&self, lane: Lane, times: impl IntoIterator<Item = i64>) {
        let mut lines = LogFrame::default();
        for stream in 0..STREAMS {
            lines.streams.push(Labels::from_pairs([("app", &*format!("app-{stream}")), ("node", "n1")]));
        }
        for at_ns in times {
            let line = at_ns.to_string();
            for stream in 0..STREAMS {
                lines.entries.push(LogEntry { stream, at_ns, len: line.len() as u32, metadata: 0 });
                lines.text.push_str(&line);
            }
        }
        append_lines(&self.journal, lane, &lines).await.unwrap();
    }

    fn records(&self, entry: Entry) -> u64 {
        self.ledger.lines().iter().filter(|line| line.1 == entry).map(|line| line.2.records).sum()
    }

    async fn delivered(&self, records: u64) {
        eventually("all is delivered", Duration::from_secs(60), async || {
            let now = self.records(Entry::Delivered("loki"));
            if now == records { Ok(()) } else { Err(format!("{now} of {records}")) }
        })
        .await;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.drain(Duration::from_secs(10)).await;
        self.journal.close().await;
    }
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

/// Times of the lines of a stream, in the order in which they were taken.
fn times(loki: &Loki, labels: &str) -> Vec<i64> {
    loki.lines(labels).iter().map(|line| line.at_ns).collect()
}

/// A line every ten seconds for five hours.
fn five_hours(now: i64) -> Vec<i64> {
    (0..1_800).map(|n| now - 5 * HOUR + n * 10 * SECOND).collect()
}

/// Nothing was lost without a word.
fn hold(loki: &Loki) {
    let recorded = loki.recorded();
    assert_eq!((recorded.dropped.as_slice(), recorded.violations.as_slice()), (&[][..], &[][..]));
}

/// Scenario: an agent was away for five hours and drains its backlog while new lines come.
/// Guarantees: every line arrives, the old ones in streams of their own and in order.
#[tokio::test(flavor = "multi_thread")]
async fn hours_of_backlog_beside_new_lines() {
    let dir = TempDir::new().unwrap();
    let loki = Loki::start().await;
    let (now, process) = (now_ns(), Process::start(dir.path(), &loki));
    let backlog = five_hours(now);
    for (n, times) in backlog.chunks(100).enumerate() {
        process.append(Lane::Fresh, [now + n as i64]).await;
        process.append(Lane::Backlog, times.iter().copied()).await;
    }
    process.delivered(u64::from(STREAMS) * (18 + 1_800)).await;
    assert_eq!(times(&loki, "app-1\", lane=\"backlog\""), backlog);
    assert_eq!(times(&loki, "app-1\", node"), (0..18).map(|n| now + n).collect::<Vec<_>>());
    hold(&loki);
    process.stop().await;
}

/// Scenario: Loki is away for five hours of lines; the aggregator is restarted in the middle; then new lines come.
/// Guarantees: every line arrives; new ones go first, older ones in streams of their own and in order.
#[tokio::test(flavor = "multi_thread")]
async fn hours_without_loki() {
    let dir = TempDir::new().unwrap();
    let loki = Loki::start().await;
    let (now, mut process) = (now_ns(), Process::start(dir.path(), &loki));
    process.append(Lane::Fresh, [now - 5 * HOUR - 1]).await;
    process.delivered(u64::from(STREAMS)).await;
    loki.script.always(Some(Reply::Status(503, vec![], "away".to_owned())));
    let outage = five_hours(now);
    for (n, times) in outage.chunks(100).enumerate() {
        process.append(Lane::Fresh, times.iter().copied()).await;
        if n == 9 {
            process.stop().await;
            process = Process::start(dir.path(), &loki);
        }
    }
    let begin = Instant::now();
    eventually("late", Duration::from_secs(10), async || {
        if begin.elapsed() > 2 * LATE_AFTER { Ok(()) } else { Err("not yet") }
    })
    .await;
    loki.script.always(None);
    for n in 0..10 {
        process.append(Lane::Fresh, [now + n]).await;
    }
    process.delivered(u64::from(STREAMS) * (1 + 1_800 + 10)).await;
    hold(&loki);
    let (fresh, late) = (times(&loki, "app-1\", node"), times(&loki, "app-1\", lane=\"late\""));
    assert!(fresh.is_sorted() && late.is_sorted() && late.len() > 1_500, "{}", late.len());
    let mut all = [fresh, late].concat();
    all.sort_unstable();
    let expected: Vec<i64> =
        [now - 5 * HOUR - 1].into_iter().chain(outage).chain((0..10).map(|n| now + n)).collect();
    assert_eq!(all, expected);
    process.stop().await;
}

/// Scenario: a stream's newest line was taken; the aggregator restarts; lines come that are two hours older, and half an
/// hour; the same in the backlog.
/// Guarantees: what Loki would drop without a word is not sent, but counted as too old; the rest arrives.
#[tokio::test(flavor = "multi_thread")]
async fn the_window_is_known_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let loki = Loki::start().await;
    let now = now_ns();
    for lane in Lane::ALL {
        let process = Process::start(dir.path(), &loki);
        let before = process.records(Entry::Delivered("loki"));
        process.append(lane, [now]).await;
        process.delivered(before + u64::from(STREAMS)).await;
        process.stop().await;
        let process = Process::start(dir.path(), &loki);
        let dropped = process.records(Entry::Dropped("loki", "too_old"));
        process.append(lane, [now - 2 * HOUR, now - HOUR / 2]).await;
        process.delivered(before + u64::from(STREAMS) * 2).await;
        let too_old = process.records(Entry::Dropped("loki", "too_old")) - dropped;
        assert_eq!(too_old, u64::from(STREAMS));
        process.stop().await;
    }
    hold(&loki);
    assert_eq!(loki.recorded().lines.len(), 4 * STREAMS as usize);
}
