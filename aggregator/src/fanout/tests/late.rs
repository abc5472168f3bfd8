//! A sink that was away: what is new goes first, what is old beside it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// No frame that comes while all goes well waits so long for its worker, also on a machine that is busy.
const LATE_AFTER: Duration = Duration::from_secs(5);

fn config() -> Config {
    Config { late_after: Span(LATE_AFTER), retry_cap: Span(Duration::from_millis(5)), ..Config::default() }
}

/// A sink, and whether it can be reached; it takes two lines at once.
fn sink() -> (Arc<Scripted>, Arc<AtomicBool>) {
    let away = Arc::new(AtomicBool::new(false));
    let seen = away.clone();
    let script = move |_, _: &[u32]| match seen.load(Ordering::Relaxed) {
        true => {
            let why = "connection refused".to_owned();
            Err(Refusal::Retry { kind: RetryKind::Unavailable, after: None, why })
        }
        false => Ok(Accepted::default()),
    };
    (Arc::new(Scripted { max_records: 2, ..Scripted::new(script) }), away)
}

/// Waits until what is there now is late.
async fn grow_old() {
    tokio::time::sleep(LATE_AFTER + Duration::from_millis(100)).await;
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("line {n}")).collect()
}

impl Process {
    async fn append_numbers(&self, range: std::ops::Range<usize>) {
        for line in numbers(range) {
            self.append(&[&line]).await;
        }
    }
}

/// Scenario: the sink is away while lines come, then takes what is fresh and does not answer to what is late; the
/// process dies, and the next one finds the sink well.
/// Guarantees: new lines do not wait for old ones; these are found again, the request under way first and the same byte
/// for byte; each line is delivered once, in order in its lane; nothing of the range is left.
#[tokio::test]
async fn new_lines_go_first() {
    let dir = TempDir::new().expect("a folder");
    let (first, away) = sink();
    first.hang(Some(Lane::Late));
    away.store(true, Ordering::Relaxed);
    let process = Process::with(&dir, std::slice::from_ref(&first), config(), <_>::default());
    process.append_numbers(0..10).await;
    grow_old().await;
    away.store(false, Ordering::Relaxed);
    process.eventually("a late request", || first.requests().iter().any(|one| one.lane == Lane::Late)).await;
    process.append_numbers(10..20).await;
    process.eventually("new lines", || first.lines(Lane::Fresh).ends_with(&numbers(10..20))).await;
    process.eventually("behind", || process.status("scripted", Lane::Fresh).lag_bytes == 0).await;
    assert!(process.status("scripted", Lane::Late).lag_bytes > 0);
    assert_eq!(process.journal.cursors(LOGS), ["scripted", "scripted.late.1"]);
    process.crash().await;

    let (second, _) = sink();
    let process = Process::with(&dir, std::slice::from_ref(&second), config(), <_>::default());
    process.eventually("all delivered", || process.records(Entry::Delivered("scripted")) == 20).await;
    process.eventually("the range goes", || process.journal.cursors(LOGS) == ["scripted"]).await;
    assert_eq!(process.status("scripted", Lane::Late).lag_bytes, 0);
    let under_way = first.requests().into_iter().find(|one| one.lane == Lane::Late).expect("one");
    assert_eq!(second.requests()[0], Request { accepted: true, ..under_way });
    let in_order = first.lines(Lane::Fresh).len() - 10;
    assert_eq!(first.lines(Lane::Fresh)[..in_order], numbers(0..in_order));
    assert_eq!(second.lines(Lane::Late), numbers(in_order..10));
    assert_eq!(process.records(Entry::Resent("scripted")), 2);
    process.stop().await;

    let process = Process::with(&dir, &[sink().0], config(), <_>::default());
    assert_eq!(process.records(Entry::Delivered("scripted")), 20);
    process.stop().await;
}

/// Scenario: a sink that is away and back many times while its late requests are not answered, then are.
/// Guarantees: a bounded number of ranges; beyond it all goes on in order; each line is delivered once, the late ones in
/// order over all ranges.
#[tokio::test]
async fn as_many_ranges_as_there_is_room_for() {
    let dir = TempDir::new().expect("a folder");
    let (sink, _) = sink();
    sink.hang(Some(Lane::Late));
    // All that is there at a step is late.
    let config = Config { late_after: Span(Duration::ZERO), ..config() };
    let process = Process::with(&dir, std::slice::from_ref(&sink), config.clone(), <_>::default());
    process.append_numbers(0..200).await;
    process
        .eventually("all is done or left", || process.status("scripted", Lane::Fresh).lag_bytes == 0)
        .await;
    let ranges = process.journal.cursors(LOGS).len() - 1;
    assert!((1..=17).contains(&ranges), "{ranges}");
    process.crash().await;

    sink.hang(None);
    let process = Process::with(&dir, std::slice::from_ref(&sink), config, <_>::default());
    process.eventually("all delivered", || process.records(Entry::Delivered("scripted")) == 200).await;
    process.eventually("the ranges go", || process.journal.cursors(LOGS) == ["scripted"]).await;
    let number = |line: &String| line["line ".len()..].parse::<usize>().expect("a number");
    let (fresh, late) = (sink.lines(Lane::Fresh), sink.lines(Lane::Late));
    assert!(late.is_sorted_by_key(number) && fresh.is_sorted_by_key(number));
    let mut all = [fresh, late].concat();
    all.sort_by_key(number);
    assert_eq!(all, numbers(0..200));
    process.stop().await;
}

/// Scenario: a sink whose policy is to stay in order was away.
/// Guarantees: it stays in order.
#[tokio::test]
async fn in_order_where_that_is_wanted() {
    let dir = TempDir::new().expect("a folder");
    let (sink, away) = sink();
    let sink = Arc::new(Scripted { fresh_first: false, ..Arc::into_inner(sink).expect("one") });
    away.store(true, Ordering::Relaxed);
    let process = Process::with(&dir, std::slice::from_ref(&sink), config(), <_>::default());
    process.append_numbers(0..10).await;
    grow_old().await;
    away.store(false, Ordering::Relaxed);
    process.append_numbers(10..20).await;
    process.eventually("all delivered", || process.records(Entry::Delivered("scripted")) == 20).await;
    assert_eq!(sink.lines(Lane::Fresh), numbers(0..20));
    assert_eq!(process.journal.cursors(LOGS), ["scripted"]);
    process.stop().await;
}
