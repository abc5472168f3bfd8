//! The disk budget is smaller than what a sink is behind.

use std::sync::atomic::{AtomicBool, Ordering};

use ao_common::units::Size;

use super::*;

/// Lines of one frame, which zstd makes hardly smaller.
pub(super) fn noise(frame: u64) -> Vec<String> {
    let mut state = frame + 1;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ state >> 33
    };
    (0..40).map(|_| (0..1 + word() % 8).map(|_| format!("{:016x}", word())).collect()).collect()
}

/// Scenario: a sink that is away and back again while frames come, under a budget of a few segments; another takes all;
/// what is late is left behind at once, or stays in order; the process dies now and then.
/// Guarantees: for each sink what was received was delivered or dropped, to the byte, at the end and after a restart.
#[tokio::test]
async fn what_is_shed_is_counted_for_those_that_were_behind() {
    for late_after in [Duration::ZERO, Duration::from_secs(3_600)] {
        let dir = TempDir::new().expect("a folder");
        let away = Arc::new(AtomicBool::new(true));
        let seen = away.clone();
        let behind = Arc::new(Scripted {
            name: "behind",
            max_records: 50,
            ..Scripted::new(move |_, _| match seen.load(Ordering::Relaxed) {
                true => {
                    let why = "away".to_owned();
                    Err(Refusal::Retry { kind: RetryKind::Unavailable, after: None, why })
                }
                false => Ok(Accepted::default()),
            })
        });
        let open = Arc::new(accepting("open"));
        let sinks = [behind, open];
        let start = || {
            let config = Config {
                late_after: Span(late_after),
                retry_cap: Span(Duration::from_millis(2)),
                ..Config::default()
            };
            let budget = Size(64 << 10);
            let kept = journal::Config { budget, segment: Size(8 << 10), ..<_>::default() };
            Process::with(&dir, &sinks, config, kept)
        };
        let mut process = start();
        let mut received = 0;
        for frame in 0..600 {
            let lines = noise(frame);
            process.append(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
            received += lines.len() as u64;
            if frame % 50 == 10 {
                away.store(frame % 100 == 10, Ordering::Relaxed);
            }
            if frame % 170 == 160 {
                process.eventually("the open one is done", || process.balance("open") == NOTHING).await;
                process.crash().await;
                process = start();
            }
        }
        away.store(false, Ordering::Relaxed);
        let done = || process.balance("behind") == NOTHING && process.balance("open") == NOTHING;
        process.eventually("all is done", done).await;
        assert_eq!(process.records(Entry::Received), received);
        let (shed, delivered) = (Entry::Dropped("behind", "shed"), Entry::Delivered("behind"));
        let (shed, delivered) = (process.records(shed), process.records(delivered));
        assert!(shed > 0 && delivered > 0 && shed + delivered == received, "{shed} + {delivered}");
        process.stop().await;
        let process = start();
        let sums = [Entry::Dropped("behind", "shed"), Entry::Delivered("behind")].map(|e| process.records(e));
        assert_eq!(sums, [shed, delivered]);
        process.stop().await;
    }
}
