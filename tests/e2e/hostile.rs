//! Peers that are broken or mean no good, while an honest agent goes on.
//!
//! | room | what it holds |
//! |---|---|
//! | `peer` | a peer that speaks the protocol by itself |
//! | `messages`, `labels` | what no agent says |
//! | `crowd` | connections that come to nothing |
//! | `applications` | what comes to the agent's own door, for spans |

mod applications;
mod crowd;
mod labels;
mod messages;
mod peer;

use std::time::Duration;

use ao_proto::limits::MAX_SOURCES;
use ao_proto::v1::aggregator_message::Message as Answer;
use ao_tests::eventually::eventually;
use ao_tests::loki::Loki;
use ao_tests::stack::{NODE, Stack};
use ao_tests::workspace::report;
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Code;

use crate::writer::{CriFile, container, numbers};
use peer::Town;

/// Lines that the honest agent reads meanwhile, a hundred every tenth of a second.
const LINES: u64 = 26_000;
/// Connections that say nothing or half a handshake, at once.
const SILENT: usize = 2_000;
/// So many more speak something else than TLS.
const NOISY: usize = 100;
/// `ingest.max_connections`: all that come beyond make others go.
const HOUSE: usize = 1_024;
/// Times that they come, until there have been so many at once.
const CROWDS: usize = 4;
/// So many more have done their handshake.
const IDLE: usize = 60;
/// Between two looks at what is open.
const LOOK: Duration = Duration::from_millis(20);
/// Longer than a connection without calls lives.
const LONG: Duration = Duration::from_secs(26);
/// How long the rest may take to end: a stream that is not read has 30 s.
const SOON: Duration = Duration::from_secs(40);
/// Times that all bad messages are sent.
const ROUNDS: u64 = 4;
/// What the aggregator's memory may grow by, at the worst moment: a thousand handshakes, two payloads of 16 MiB looked
/// at, the labels of one frame in its sink, and the allocator's slack.
const PEAK_MIB: u64 = 256;
/// What the allocator may keep of it.
const LEFT_MIB: u64 = 160;
/// What all further rounds may add to the first one's, behind which not every thread has its own heap yet.
const MORE_MIB: u64 = 128;

/// What the aggregator's process has.
#[derive(Clone, Copy)]
struct Process(u32);

impl Process {
    /// A line of its status, in MiB.
    fn memory(self, line: &str) -> u64 {
        ao_tests::process::memory(self.0, line)
    }

    fn resident(self) -> u64 {
        self.memory("VmRSS:")
    }

    /// File descriptors that are open, without those that collectors keep of the kernel's own files: their number depends on
    /// the machine's devices, which other tests make and take away.
    fn files(self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap();
        let targets = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        targets.filter(|target| !target.starts_with("/proc") && !target.starts_with("/sys")).count()
    }

    /// The most of them while something is done, and what comes of that.
    async fn most_files<T>(self, work: impl Future<Output = T>) -> (usize, T) {
        let (mut most, mut work) = (self.files(), std::pin::pin!(work));
        loop {
            match timeout(LOOK, &mut work).await {
                Ok(done) => return (self.files().max(most), done),
                Err(_) => most = self.files().max(most),
            }
        }
    }
}

/// An aggregator's own metric reaches a value.
async fn becomes(stack: &Stack, name: &str, labels: &str, is: impl Fn(f64) -> bool) {
    eventually(&format!("{name} {labels}"), SOON, async || {
        let now = stack.aggregator_metric(name, labels).await?;
        if is(now) { Ok(()) } else { Err(format!("{now}")) }
    })
    .await;
}

/// Guesses at the bootstrap token are refused, and then not even looked at.
async fn guess(town: &Town) {
    let mut last = String::new();
    for _ in 0..20 {
        let refusal = town.enroll("thief", [1; 16], "not-the-token").await.expect_err("no certificate");
        assert!(matches!(refusal.code(), Code::PermissionDenied | Code::ResourceExhausted), "{refusal}");
        last = refusal.message().to_owned();
    }
    assert!(last.contains("too many failed enrolments"), "{last}");
}

/// Scenario: malformed messages, bombs of bytes and of labels, wrong agents, lanes and epochs, names without end, a peer
/// that never reads, one whose network goes away, 2,000 connections that never greet; two honest agents meanwhile, of
/// which one says nothing for 26 seconds.
/// Guarantees: every peer is told why; the aggregator's memory and descriptors stay bounded, and do not grow with every
/// round; the honest agents keep their connections, and every line arrives once.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_peers_harm_nobody() {
    let mut stack = Stack::new();
    let loki = Loki::start().await;
    let sinks = format!("{{loki: {{url: \"{}/loki/api/v1/push\"}}}}", loki.url);
    stack.start_aggregator(&sinks, "").await;
    let town = Town::of(stack.ingest, &stack.data("ao-aggregator"));
    let process = Process(stack.aggregator().id());
    let (before, files_before) = (process.resident(), process.files());
    // From here on the peak is counted (proc(5), clear_refs).
    std::fs::write(format!("/proc/{}/clear_refs", process.0), "5").unwrap();

    let begun = Instant::now();
    let quiet = town.citizen("quiet", 0xaa).await;
    let mut quiet_stream = quiet.greeted().await;
    let deaf = crowd::deaf(&town.citizen("deaf", 0xdd).await).await;
    let gone = crowd::gone(&town.citizen("gone", 0xbb).await).await;
    becomes(&stack, "ao_node_connected", "node=\"gone\"", |now| now == 1.0).await;

    stack.start_agent("").await;
    let folder = container(&stack.pods(), "shop", "web-1", "uid-1", "app");
    let writing = tokio::task::spawn_blocking(move || {
        let mut file = CriFile::create(&folder.join("0.log"));
        let (_nobody, pause) = std::sync::mpsc::sync_channel::<()>(0);
        for block in 0..LINES / 100 {
            file.number("line", block * 100..(block + 1) * 100);
            // Spreads the lines over the attack; nobody sends, so this only waits.
            let _timeout = pause.recv_timeout(Duration::from_millis(100));
        }
    });
    becomes(&stack, "ao_node_connected", &format!("node={NODE:?}"), |now| now >= 1.0).await;

    let evil = town.citizen("evil", 0xee).await;
    let (mut ended, mut refused, mut rounds) = (0, 0, Vec::new());
    for round in 0..ROUNDS {
        ended += messages::malformed(&evil).await;
        refused += messages::bombs(&evil).await;
        messages::heavy(&evil, 1_000 + round).await;
        rounds.push(process.resident());
    }
    let (acknowledged, unnamed) = messages::names(&town.citizen("names", 0xcc).await).await;
    assert_eq!((acknowledged, unnamed), (MAX_SOURCES as u64 + 4, 100 - MAX_SOURCES as u64));

    let (mut crowds, mut files_peak, mut full) = (Vec::new(), 0, false);
    // On a machine that stands still meanwhile, the first are closed before the house is full: the crowd comes again.
    for _ in 0..CROWDS {
        let crowd = crowd::gather(stack.ingest, SILENT, NOISY);
        let (most, crowd) = process.most_files(crowd).await;
        files_peak = files_peak.max(most);
        crowds.push(crowd);
        let refused = stack.aggregator_metric("ao_ingest_refused_total", "reason=\"connections\"").await;
        full = refused.unwrap() >= 1.0;
        if full && files_peak >= HOUSE {
            break;
        }
    }
    assert!(full && (HOUSE..SILENT).contains(&files_peak), "{files_peak} files are open, full: {full}");
    let mut dripping = crowd::drip(stack.ingest, 10);
    let idle = crowd::idle(&town, IDLE).await;
    // In their thousand, another agent is let in.
    drop(town.citizen("late", 0x77).await.greeted().await);
    guess(&town).await;

    eventually("all that come to nothing are closed", SOON, async || {
        let open = process.files();
        if open <= files_before + 40 { Ok(()) } else { Err(format!("{open} files, before {files_before}")) }
    })
    .await;
    while dripping.join_next().await.is_some() {}
    becomes(&stack, "ao_node_connected", "node=\"gone\"", |now| now == 0.0).await;
    sleep_until(begun + LONG).await;
    quiet_stream.send(quiet.line(1)).await;
    let answer = quiet_stream.answer().await;
    assert!(matches!(answer, Ok(Answer::Ack(_))), "after a long silence: {answer:?}");
    let silence = begun.elapsed();

    writing.await.unwrap();
    eventually("every line", SOON, async || {
        let lines = loki.lines(r#"pod="web-1""#);
        let mut found = numbers(lines.iter().map(|line| line.text.as_str()));
        found.sort_unstable();
        if found.iter().copied().eq(0..LINES) { Ok(()) } else { Err(format!("{} of {LINES}", found.len())) }
    })
    .await;
    becomes(&stack, "ao_ingest_refused_total", "reason=\"unread\"", |now| now >= 1.0).await;
    let deaf_sent = timeout(SOON, deaf).await.expect("its stream is ended").unwrap();
    assert!(deaf_sent < 1_000, "{deaf_sent} frames went to a stream whose answers nobody reads");
    let took = begun.elapsed();

    let (peak, after) = (process.memory("VmHWM:"), process.resident());
    assert!(peak <= before + PEAK_MIB && after <= before + LEFT_MIB, "{before}, {peak}, {after} MiB");
    assert!(rounds.iter().all(|mib| *mib <= rounds[0] + MORE_MIB), "{rounds:?} MiB after each round");
    let connections = stack.agent_metric("ao_uplink_connections_total", "").await.unwrap();
    assert_eq!(connections, 1.0, "the honest agent keeps its connection");
    assert!(stack.aggregator().is_running() && stack.agent().is_running());
    let mut counted = serde_json::Map::new();
    for reason in ["connections", "handshake", "silent", "unread", "size", "damaged", "content", "source"] {
        let labels = format!("reason={reason:?}");
        let times = stack.aggregator_metric("ao_ingest_refused_total", &labels).await.unwrap();
        assert!(times >= 1.0, "{reason} is not counted");
        counted.insert(reason.to_owned(), json!(times));
    }
    let connections = crowds.iter().map(Vec::len).sum::<usize>() + IDLE + 10;
    drop((crowds, idle, gone));
    report(
        "hostile",
        &json!({
            "streams_ended": ended, "frames_refused": refused + unnamed, "refused": counted,
            "connections": connections, "files_before": files_before, "files_peak": files_peak,
            "files_after": process.files(), "lines": LINES, "lost": 0, "double": 0,
            "quiet_seconds": silence.as_secs_f64(), "seconds": took.as_secs_f64(), "mib_before": before,
            "mib_peak": peak, "mib_after": after, "mib_rounds": rounds, "mib_peak_bound": PEAK_MIB,
            "mib_after_bound": LEFT_MIB,
        }),
    );
}
