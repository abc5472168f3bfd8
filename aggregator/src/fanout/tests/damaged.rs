//! The disk has damaged the journal: what is lost is counted, once, for each sink that had not read it.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use ao_common::units::Size;
use proptest::prelude::*;

use super::shed::noise;
use super::*;

/// One sink that takes all, one that is away at first.
struct Pair {
    dir: TempDir,
    sinks: [Arc<Scripted>; 2],
    away: Arc<AtomicBool>,
    received: u64,
}

impl Pair {
    fn new() -> Self {
        let away = Arc::new(AtomicBool::new(true));
        let seen = away.clone();
        let behind = Scripted {
            name: "behind",
            max_records: 50,
            ..Scripted::new(move |_, _| match seen.load(Ordering::Relaxed) {
                true => {
                    let why = "away".to_owned();
                    Err(Refusal::Retry { kind: RetryKind::Unavailable, after: None, why })
                }
                false => Ok(Accepted::default()),
            })
        };
        let sinks = [Arc::new(behind), Arc::new(accepting("open"))];
        Self { dir: TempDir::new().expect("a folder"), sinks, away, received: 0 }
    }

    fn start(&self) -> Process {
        let config = Config { retry_cap: Span(Duration::from_millis(2)), ..Config::default() };
        let kept = journal::Config { segment: Size(8 << 10), ..<_>::default() };
        Process::with(&self.dir, &self.sinks, config, kept)
    }

    /// Frames in both lanes, all but those of the last ones read by the open sink; then the process dies.
    async fn fill(&mut self, frames: u64) {
        let process = self.start();
        for frame in 0..frames {
            let lines = noise(frame);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let queue = if frame % 4 == 0 { LOGS_BACKLOG } else { LOGS };
            process.append_sealed(queue, sealed(queue, &lines)).await;
            self.received += lines.len() as u64;
        }
        process.eventually("the open one is done", || process.balance("open") == NOTHING).await;
        process.crash().await;
    }

    /// The segments of the fresh lane.
    fn segments(&self) -> Vec<PathBuf> {
        self.segments_of(LOGS)
    }

    fn segments_of(&self, queue: usize) -> Vec<PathBuf> {
        let dir = self.dir.path().join("journal").join(QUEUES[queue].name());
        let files = fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry").path());
        let mut segments: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
        segments.sort();
        segments
    }

    /// The next process, once both sinks are through with all that is left: the records that each has lost. It dies
    /// before and after, and it says the same again.
    async fn lost(&self) -> [u64; 2] {
        self.away.store(true, Ordering::Relaxed);
        self.start().crash().await;
        self.away.store(false, Ordering::Relaxed);
        let damaged = |process: &Process| {
            ["behind", "open"].map(|sink| process.records(Entry::Dropped(sink, "damaged")))
        };
        let process = self.start();
        process
            .eventually("both are done", || {
                ["behind", "open"].iter().all(|sink| process.balance(sink) == NOTHING)
            })
            .await;
        assert_eq!(process.records(Entry::Received), self.received);
        let lost = damaged(&process);
        for (sink, lost) in ["behind", "open"].iter().zip(lost) {
            assert_eq!(process.records(Entry::Delivered(sink)) + lost, self.received, "{sink}");
        }
        process.crash().await;
        let process = self.start();
        assert_eq!((damaged(&process), process.balance("behind")), (lost, NOTHING));
        process.stop().await;
        lost
    }
}

/// Scenario: nothing is damaged; a segment in the middle vanishes; the newest one does; all of them do.
/// Guarantees: what a sink had not read of them is dropped{damaged} for it, and for no other; what was received stays
/// known; a sink that had read all lost nothing.
#[tokio::test]
async fn segments_that_vanish() {
    for (what, lost_some) in [("none", false), ("middle", true), ("newest", true), ("all", true)] {
        let mut pair = Pair::new();
        pair.fill(60).await;
        let segments = pair.segments();
        assert!(segments.len() > 3);
        let gone = match what {
            "none" => &segments[..0],
            "middle" => &segments[1..2],
            "newest" => &segments[segments.len() - 1..],
            _ => &segments[..],
        };
        gone.iter().for_each(|path| fs::remove_file(path).expect("removed"));
        let [behind, open] = pair.lost().await;
        assert_eq!((behind > 0, open), (lost_some, 0), "{what}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    /// Scenario: a journal in which bits flip, pages are overwritten and ends are cut off, anywhere in both lanes.
    /// Guarantees: for each sink what was received was delivered or dropped{damaged}, to the byte, over all restarts.
    #[test]
    fn the_balance_holds_over_damage(
        harms in proptest::collection::vec((any::<bool>(), any::<usize>(), any::<usize>(), 0..3_u8), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut pair = Pair::new();
            pair.fill(30).await;
            for (backlog, which, at, kind) in &harms {
                let segments = pair.segments_of(if *backlog { LOGS_BACKLOG } else { LOGS });
                let path = &segments[which % segments.len()];
                let mut content = fs::read(path).expect("read");
                let at = at % (content.len() + 1);
                match kind {
                    0 => content.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 4),
                    1 => content.iter_mut().skip(at).take(4096).for_each(|byte| *byte = 0),
                    _ => content.truncate(at),
                }
                fs::write(path, &content).expect("written");
            }
            let [_, open] = pair.lost().await;
            assert_eq!(open, 0);
        });
    }
}
