//! Whole workers on a real journal, against scripted sinks.

mod damaged;
mod late;
mod shed;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use ao_common::journal::Append;
use ao_common::units::Span;
use ao_proto::frame;
use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::model::Labels;
use ao_proto::v1::FrameHeader;
use tempfile::TempDir;

use super::scripted::{Request, Scripted};
use super::*;
use crate::journal;
use crate::ledger::Entry;
use crate::sink::api::{Accepted, DropReason, Lane, Refusal, RetryKind};

/// The queues of the class that the scripted sinks take.
const LOGS: usize = 4;
const LOGS_BACKLOG: usize = 5;

/// So long nothing may come of workers that have done nothing else meanwhile; nothing waits for it that goes well.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process: a journal in a folder, and workers on it.
struct Process {
    journal: Journal,
    ledger: Ledger,
    health: Health,
    tasks: Tasks,
    shutdown: CancellationToken,
    statuses: Statuses,
}

impl Process {
    fn start(dir: &TempDir, sinks: &[Arc<Scripted>]) -> Self {
        Self::with(dir, sinks, Config::default(), journal::Config::default())
    }

    fn with(dir: &TempDir, sinks: &[Arc<Scripted>], config: Config, kept: journal::Config) -> Self {
        let (ledger, health, shutdown) = (Ledger::default(), Health::new(), CancellationToken::new());
        let names: Vec<_> = sinks.iter().map(|sink| sink.name).collect();
        let (journal, _) = journal::open(dir.path(), &kept, &ledger, &names).expect("a journal");
        let (mut tasks, mut registry) = (Tasks::new(), Registry::default());
        let sinks: Vec<Arc<dyn Sink>> = sinks.iter().map(|sink| sink.clone() as Arc<dyn Sink>).collect();
        let config = Config {
            retry_base: Span(Duration::from_millis(1)),
            held_every: Span(Duration::from_millis(100)),
            ..config
        };
        let ground = Ground {
            dir: dir.path(),
            journal: &journal,
            ledger: &ledger,
            health: &health,
            registry: &mut registry,
            tasks: &mut tasks,
            shutdown: shutdown.clone(),
        };
        let statuses = spawn(&config, &sinks, ground).expect("workers");
        Self { journal, ledger, health, tasks, shutdown, statuses }
    }

    /// Appends a frame of these lines.
    async fn append(&self, lines: &[&str]) {
        self.append_sealed(LOGS, sealed(LOGS, lines)).await;
    }

    async fn append_sealed(&self, queue: usize, frame: bytes::Bytes) {
        let append = Append { frame, keyframe: None };
        let pending = self.journal.append(queue, vec![append]).await.expect("appended");
        pending.durable().await.expect("durable");
    }

    /// As a crash would end it: tasks are aborted where they stand. What is on a blocking thread comes to its end, before
    /// the next process begins.
    async fn crash(self) {
        self.tasks.drain(Duration::ZERO).await;
        let journal = self.journal.clone();
        let is_free = |name: &String| journal.cursor(LOGS, name).is_ok();
        let until_free = async {
            while !journal.cursors(LOGS).iter().all(is_free) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, until_free).await.expect("all cursors are free");
        self.journal.close().await;
    }

    /// As a signal ends it.
    async fn stop(self) {
        self.shutdown.cancel();
        assert_eq!(self.tasks.drain(PATIENCE).await, Vec::<String>::new());
        self.journal.close().await;
    }

    /// Waits until it holds, for as long as the workers get on: a busy machine or a slow disk makes them slow, and nothing
    /// else.
    async fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        let (mut seen, mut moved) = (self.progress(), Instant::now());
        while !holds() {
            let now = self.progress();
            if now != seen {
                (seen, moved) = (now, Instant::now());
            }
            assert!(moved.elapsed() < PATIENCE, "nothing moves, and not yet: {what}; {seen:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What moves while the workers get on; not how often they have tried in vain.
    fn progress(&self) -> impl PartialEq + Debug {
        let of = |status: Status| {
            let Status { sink, lane, position, lag_bytes, records, resent_records, dropped_records, .. } =
                status;
            (sink, lane, position, lag_bytes, (records, resent_records, dropped_records))
        };
        let workers: Vec<_> = self.statuses.list().into_iter().map(of).collect();
        (workers, self.journal.cursors(LOGS), self.ledger.lines())
    }

    /// Of the sink's worker for the class that it takes.
    fn status(&self, sink: &str, lane: Lane) -> Status {
        let found = |status: &Status| status.sink == sink && status.lane == lane.name();
        self.statuses.list().into_iter().find(found).expect("a worker")
    }

    /// What is in flight to a sink: received less delivered and dropped.
    fn balance(&self, sink: &str) -> Balance {
        let mut balance = Balance { records: 0, bytes: 0 };
        for (_, entry, count) in self.ledger.lines() {
            let sign = match entry {
                Entry::Received => 1,
                Entry::Delivered(of) | Entry::Dropped(of, _) if of == sink => -1,
                _ => 0,
            };
            balance.records += sign * count.records as i64;
            balance.bytes += sign * count.bytes as i64;
        }
        balance
    }

    /// Records of the ledger's entry.
    fn records(&self, entry: Entry) -> u64 {
        self.ledger.lines().iter().filter(|line| line.1 == entry).map(|line| line.2.records).sum()
    }
}

/// See [`Process::balance`].
#[derive(Debug, PartialEq)]
struct Balance {
    records: i64,
    bytes: i64,
}

const NOTHING: Balance = Balance { records: 0, bytes: 0 };

fn sealed(queue: usize, lines: &[&str]) -> bytes::Bytes {
    let now = check::now_ms() * 1_000_000;
    let entry = |line: &&str| LogEntry { stream: 0, at_ns: now, len: line.len() as u32, metadata: 0 };
    let frame = LogFrame {
        streams: vec![Labels::from_pairs([("app", "a")])],
        entries: lines.iter().map(entry).collect(),
        text: lines.concat(),
        ..LogFrame::default()
    };
    let raw = frame.encode();
    let header = FrameHeader {
        agent: vec![1; 16],
        class: QUEUES[queue].class.into(),
        lane: QUEUES[queue].lane.number(),
        source: "logs".to_owned(),
        records: lines.len() as u64,
        bytes: frame.text.len() as u64,
        raw_bytes: raw.len() as u64,
        ..FrameHeader::default()
    };
    frame::seal(&header, &frame::compress(&raw))
}

fn accepting(name: &'static str) -> Scripted {
    Scripted { name, ..Scripted::new(|_, _| Ok(Accepted::default())) }
}

/// Scenario: one sink never answers, another takes everything.
/// Guarantees: the second is served to the end of the journal; the first holds its place.
#[tokio::test]
async fn a_blocked_sink_holds_up_no_other() {
    let dir = TempDir::new().expect("a folder");
    let blocked = Arc::new(Scripted { name: "blocked", ..Scripted::hanging(|_, _| None) });
    let open = Arc::new(accepting("open"));
    let process = Process::start(&dir, &[blocked.clone(), open.clone()]);
    for n in 0..50 {
        process.append(&[&format!("line {n}"), "another"]).await;
    }
    process.eventually("all delivered", || process.records(Entry::Delivered("open")) == 100).await;
    assert_eq!(blocked.requests().len(), 1);
    assert_eq!(process.records(Entry::Delivered("blocked")), 0);
    let waiting = process.status("blocked", Lane::Fresh);
    assert_eq!((waiting.position.1, waiting.last_success_ms), (0, None));
    assert!(process.status("open", Lane::Fresh).last_success_ms.is_some());
    process.eventually("no lag", || process.status("open", Lane::Fresh).lag_bytes == 0).await;
    assert!(process.health.is_ready());
    process.crash().await;
}

/// Scenario: a backend that never answers to a line of the backlog; fresh lines come.
/// Guarantees: the fresh ones are delivered; the backlog's worker, with files of its own, holds its place.
#[tokio::test]
async fn a_blocked_backlog_holds_up_nothing_fresh() {
    let dir = TempDir::new().expect("a folder");
    let sink = Arc::new(Scripted::hanging(|_, records| match records.len() {
        1 => None,
        _ => Some(Ok(Accepted::default())),
    }));
    let process = Process::start(&dir, std::slice::from_ref(&sink));
    process.append_sealed(LOGS_BACKLOG, sealed(LOGS_BACKLOG, &["old"])).await;
    process.eventually("sent", || sink.requests().len() == 1).await;
    for _ in 0..10 {
        process.append(&["new", "newer"]).await;
    }
    process.eventually("all delivered", || process.records(Entry::Delivered("scripted")) == 20).await;
    assert_eq!(process.status("scripted", Lane::Backlog).position.1, 0);
    assert!(dir.path().join("fanout/scripted-logs-backlog.counts").exists());
    process.crash().await;
}

/// Scenario: the process dies after a request was sent and before its answer; more frames come; what the sink's own
/// check says has changed meanwhile.
/// Guarantees: the next process sends exactly the same request first, counts it as resent, then goes on; the
/// process after it still knows all counts.
#[tokio::test]
async fn the_same_request_after_a_crash() {
    let dir = TempDir::new().expect("a folder");
    let left_out = vec![(1, DropReason::TooOld)];
    let first =
        Arc::new(Scripted { left_out, max_records: 4, fresh_first: false, ..Scripted::hanging(|_, _| None) });
    let process = Process::start(&dir, std::slice::from_ref(&first));
    process.append(&["a", "b"]).await;
    process.eventually("sent", || first.requests().len() == 1).await;
    process.append(&["c", "d"]).await;
    process.crash().await;

    let second = Arc::new(Scripted { fresh_first: false, ..accepting("scripted") });
    let process = Process::start(&dir, std::slice::from_ref(&second));
    process.append(&["e", "f"]).await;
    process.eventually("all delivered", || process.records(Entry::Delivered("scripted")) == 5).await;
    let bodies: Vec<String> = second.requests().iter().map(|request| request.body.clone()).collect();
    assert_eq!(bodies[0], first.requests()[0].body);
    assert_eq!(bodies[0], "a\n");
    assert_eq!(bodies[1..].concat(), "c\nd\ne\nf\n");
    assert_eq!(process.records(Entry::Resent("scripted")), 1);
    assert_eq!(process.records(Entry::Dropped("scripted", "too_old")), 1);
    process.stop().await;

    let process = Process::start(&dir, &[Arc::new(accepting("scripted"))]);
    assert_eq!(process.records(Entry::Delivered("scripted")), 5);
    assert_eq!(process.records(Entry::Resent("scripted")), 1);
    assert_eq!(process.records(Entry::Dropped("scripted", "too_old")), 1);
    process.stop().await;
}

/// Scenario: nobody knows whether a request was taken; it is sent again, and the process dies before an answer.
/// Guarantees: the next process sends it once more, and both times count as sent again.
#[tokio::test]
async fn no_crash_forgets_what_was_sent_again() {
    let dir = TempDir::new().expect("a folder");
    let unclear = || Refusal::Retry { kind: RetryKind::Timeout, after: None, why: "timeout".to_owned() };
    let first = Scripted::hanging(move |n, _| if n == 0 { Some(Err(unclear())) } else { None });
    let first = Arc::new(first);
    let process = Process::start(&dir, std::slice::from_ref(&first));
    process.append(&["a"]).await;
    process.eventually("sent twice", || first.requests().len() == 2).await;
    process.crash().await;
    let process = Process::start(&dir, &[Arc::new(accepting("scripted"))]);
    process.eventually("all done", || process.balance("scripted") == NOTHING).await;
    assert_eq!(process.records(Entry::Resent("scripted")), 2);
    process.stop().await;
}

/// Scenario: frames with poisonous lines, a damaged frame, and lines that are known to be refused.
/// Guarantees: delivered and dropped by reason add up to what was received; the dead-letter file has the poison only.
#[tokio::test]
async fn the_ledger_adds_up() {
    let dir = TempDir::new().expect("a folder");
    let poison = |_, records: &[u32]| {
        let refuse = || Err(Refusal::Data { why: "no".to_owned() });
        if records.contains(&2) { refuse() } else { Ok(Accepted::default()) }
    };
    let sink = Arc::new(Scripted { left_out: vec![(0, DropReason::Invalid)], ..Scripted::new(poison) });
    let process = Process::start(&dir, std::slice::from_ref(&sink));
    process.append(&["left out", "good", "poison", "good too"]).await;
    process.append(&["left out too"]).await;
    let header =
        FrameHeader { agent: vec![1; 16], class: QUEUES[LOGS].class.into(), records: 7, ..<_>::default() };
    process.append_sealed(LOGS, frame::seal(&header, b"no zstd")).await;
    process.append_sealed(LOGS, bytes::Bytes::from_static(b"no frame at all")).await;
    process.append(&["left out", "the last"]).await;
    process
        .eventually("all done", || {
            process.status("scripted", Lane::Fresh).lag_bytes == 0
                && process.records(Entry::Delivered("scripted")) == 3
        })
        .await;
    assert_eq!(process.records(Entry::Dropped("scripted", "invalid")), 3);
    assert_eq!(process.records(Entry::Dropped("scripted", "refused")), 1);
    assert_eq!(process.records(Entry::Dropped("scripted", "undecodable")), 7);
    assert_eq!(process.balance("scripted"), NOTHING);
    let letters = std::fs::read_to_string(dir.path().join("fanout/scripted-logs.jsonl")).expect("a file");
    assert_eq!(letters.lines().count(), 1);
    assert!(letters.contains("\"line\":\"poison\""), "{letters}");
    process.stop().await;
}

/// Scenario: one large frame goes in many requests; a line of the first one is refused, and the process dies while a
/// later one is under way.
/// Guarantees: only that one is sent again; the refused line is still known as refused and counts as that.
#[tokio::test]
async fn a_refused_line_costs_no_more_than_the_request_under_way() {
    let dir = TempDir::new().expect("a folder");
    let script = |_, records: &[u32]| match records {
        _ if records.contains(&9) => None,
        _ if records.contains(&1) => Some(Err(Refusal::Data { why: "no".to_owned() })),
        _ => Some(Ok(Accepted::default())),
    };
    let first = Arc::new(Scripted { max_records: 2, ..Scripted::hanging(script) });
    let process = Process::start(&dir, std::slice::from_ref(&first));
    let lines: Vec<String> = (0..16).map(|n| format!("line {n}")).collect();
    process.append(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
    process.eventually("sent", || first.requests().iter().any(|request| request.records == [8, 9])).await;
    process.crash().await;
    let second = Arc::new(Scripted { max_records: 2, ..accepting("scripted") });
    let process = Process::start(&dir, std::slice::from_ref(&second));
    process.eventually("all done", || process.balance("scripted") == NOTHING).await;
    assert_eq!(second.requests()[0].records, [8, 9]);
    assert_eq!(second.requests().len(), 4);
    assert_eq!(process.records(Entry::Resent("scripted")), 2);
    assert_eq!(process.records(Entry::Dropped("scripted", "refused")), 1);
    assert_eq!(process.records(Entry::Delivered("scripted")), 15);
    process.stop().await;
}

/// Scenario: the shutdown comes while a request is in flight that is answered a moment later.
/// Guarantees: its answer is waited for, and the cursor stands behind it: the next process sends nothing again.
#[tokio::test]
async fn the_request_in_flight_at_the_shutdown() {
    let dir = TempDir::new().expect("a folder");
    let sink = Arc::new(accepting("scripted"));
    let process = Process::start(&dir, std::slice::from_ref(&sink));
    process.append(&["a"]).await;
    process.eventually("sent", || sink.requests().len() == 1).await;
    process.stop().await;
    let process = Process::start(&dir, std::slice::from_ref(&sink));
    process.append(&["b"]).await;
    process.eventually("delivered", || process.records(Entry::Delivered("scripted")) == 2).await;
    let bodies: Vec<String> = sink.requests().iter().map(|request| request.body.clone()).collect();
    assert_eq!(bodies, ["a\n", "b\n"]);
    assert_eq!(process.records(Entry::Resent("scripted")), 0);
    process.stop().await;
}

/// Scenario: a sink is taken out of the configuration.
/// Guarantees: its cursor goes, so that the journal does not keep everything for it.
#[tokio::test]
async fn a_sink_that_is_gone_is_forgotten() {
    let dir = TempDir::new().expect("a folder");
    let (old, new) = (Arc::new(accepting("old")), Arc::new(accepting("new")));
    let process = Process::start(&dir, &[old, new.clone()]);
    assert_eq!(process.journal.cursors(LOGS).len(), 2);
    process.stop().await;
    let process = Process::start(&dir, &[new]);
    assert_eq!(process.journal.cursors(LOGS), ["new"]);
    process.stop().await;
}
