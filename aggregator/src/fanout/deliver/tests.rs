//! A scripted backend against every way a delivery can go.

use std::collections::BTreeSet;

use ao_common::health::Health;
use ao_proto::logs::{LogEntry, LogFrame};
use prometheus_client::registry::Registry;

use super::*;
use crate::fanout::metrics::Metrics;
use crate::fanout::scripted::{Scripted, server_error};
use crate::fanout::status::{State, Statuses};
use crate::ledger::Ledger;
use crate::sink::api::{Lane, Telemetry};

fn data() -> Answer {
    Err(Refusal::Data { why: "400".to_owned() })
}

/// One frame of so many lines.
fn batch(lines: usize) -> Batch {
    let telemetry =
        Telemetry::Logs(LogFrame { entries: vec![LogEntry::default(); lines], ..LogFrame::default() });
    let records = telemetry.records();
    let frame = Arc::new(Decoded { header: <_>::default(), end: <_>::default(), telemetry });
    Batch { parts: vec![crate::sink::api::Part { frame, records }], ..Batch::default() }
}

/// Nothing can be noted.
struct NoDisk;

impl Notes for NoDisk {
    fn resent<'a>(&'a mut self, _tally: &Tally) -> BoxFuture<'a, bool> {
        Box::pin(async { false })
    }
}

struct Stand {
    courier: Courier,
    health: Health,
    statuses: Statuses,
    ledger: Ledger,
}

fn stand(sink: &Arc<Scripted>) -> Stand {
    let (health, statuses, ledger) = (Health::new(), Statuses::default(), Ledger::default());
    let report = Report {
        sink: "scripted",
        class: "logs",
        lane: Lane::Fresh,
        ledger: ledger.clone(),
        metrics: Metrics::register(&mut Registry::default()).of("scripted", "logs", Lane::Fresh),
        status: statuses.add("scripted", "logs", Lane::Fresh),
        health: health.part("sink scripted"),
        state: State::Ok,
        resent: <_>::default(),
    };
    let patience = Patience {
        retry_base: Duration::from_secs(1),
        retry_cap: Duration::from_secs(30),
        held_every: Duration::from_secs(60),
        drain: Duration::from_secs(5),
    };
    let (shutdown, well, waited) = (CancellationToken::new(), watch::Sender::new(()), Duration::ZERO);
    let courier = Courier { sink: sink.clone(), patience, report, shutdown, well, waited };
    Stand { courier, health, statuses, ledger }
}

/// Delivers so many lines; the records given up, with the reasons.
async fn deliver(sink: &Arc<Scripted>, lines: usize) -> Vec<(u32, DropReason)> {
    let settled = stand(sink).courier.deliver(batch(lines), &mut NoDisk).await.expect("no shutdown");
    settled.refused.iter().map(|one| (one.record, one.reason)).collect()
}

/// Scenario: a backend that refuses every request with one of the poisonous records in it, for many sets of them.
/// Guarantees: exactly these are given up, every other one is accepted exactly once.
#[tokio::test(start_paused = true)]
async fn poison_is_found_by_bisecting() {
    for poison in [vec![], vec![0], vec![99], vec![50], vec![3, 4], vec![0, 33, 66, 99], (0..100).collect()] {
        let bad: BTreeSet<u32> = poison.iter().copied().collect();
        let sink = Arc::new(Scripted::new(move |_, records| {
            if records.iter().any(|r| bad.contains(r)) { data() } else { Ok(Accepted::default()) }
        }));
        let refused = deliver(&sink, 100).await;
        assert_eq!(refused, poison.iter().map(|r| (*r, DropReason::Refused)).collect::<Vec<_>>());
        let once = (0..100).filter(|r| !poison.contains(r)).map(|r| (r, 1)).collect();
        assert_eq!(sink.accepted(), once, "{poison:?}");
    }
}

/// Scenario: a backend that answers 500 to one poisonous record but takes everything else, as Prometheus 2 does.
/// Guarantees: the record is given up alone, the others are accepted once.
#[tokio::test(start_paused = true)]
async fn a_500_for_one_record() {
    let sink =
        Arc::new(Scripted::new(
            |_, records| {
                if records.contains(&7) { server_error() } else { Ok(Accepted::default()) }
            },
        ));
    assert_eq!(deliver(&sink, 16).await, [(7, DropReason::Refused)]);
    assert_eq!(sink.accepted(), (0..16).filter(|r| *r != 7).map(|r| (r, 1)).collect());
    // Three times for the whole, once for each half, twice for the record.
    assert_eq!(sink.requests().iter().filter(|request| !request.accepted).count(), 3 + 3 + 2);
}

/// Scenario: a backend that is ill: 500 to everything, a test request too, then well again.
/// Guarantees: nothing is given up or made smaller; the request is repeated as it was.
#[tokio::test(start_paused = true)]
async fn an_ill_backend_is_waited_for() {
    let script = |n, _: &[u32]| if n < 20 { server_error() } else { Ok(Accepted::default()) };
    let sink = Arc::new(Scripted { well: false, ..Scripted::new(script) });
    assert_eq!(deliver(&sink, 10).await, []);
    let requests = sink.requests();
    assert_eq!(requests.len(), 21);
    assert!(requests.iter().all(|request| request.records.len() == 10));
}

/// Scenario: a backend that takes at most three records a request.
/// Guarantees: halved until they fit, each accepted once; one that never fits is given up as too large.
#[tokio::test(start_paused = true)]
async fn too_large_is_halved() {
    let too_large = || Err(Refusal::TooLarge { why: "413".to_owned() });
    let sink = Arc::new(Scripted::new(move |_, records| {
        if records.len() > 3 || records.contains(&9) { too_large() } else { Ok(Accepted::default()) }
    }));
    assert_eq!(deliver(&sink, 20).await, [(9, DropReason::TooLarge)]);
    assert_eq!(sink.accepted(), (0..20).filter(|r| *r != 9).map(|r| (r, 1)).collect());
}

/// Scenario: a backend that throttles whatever is over its burst, and asks for ten seconds.
/// Guarantees: Retry-After is kept; after some answers the request is made smaller and passes.
#[tokio::test(start_paused = true)]
async fn throttled_beyond_the_burst() {
    let after = Some(Duration::from_secs(10));
    let slow = move || Err(Refusal::Retry { kind: RetryKind::Throttled, after, why: "429".to_owned() });
    let sink = Arc::new(Scripted::new(
        move |_, records| if records.len() > 5 { slow() } else { Ok(Accepted::default()) },
    ));
    let started = Instant::now();
    assert_eq!(deliver(&sink, 10).await, []);
    assert!(started.elapsed() >= Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(sink.accepted(), (0..10).map(|r| (r, 1)).collect());
}

/// Scenario: two workers of a sink that is away for an hour, then one of a sink that only refuses its data beside one that
/// is never refused.
/// Guarantees: once the one is through, the other is at once; where nothing has become well nobody's wait is shortened.
#[tokio::test(start_paused = true)]
async fn one_that_finds_it_well_wakes_the_others() {
    for round in 0..10 {
        let begin = Instant::now();
        let well_again = begin + Duration::from_secs(3_600);
        let sink = Arc::new(Scripted::new(move |_, _| {
            if Instant::now() < well_again { server_error() } else { Ok(Accepted::default()) }
        }));
        let sink = Arc::new(Scripted { well: false, ..Arc::into_inner(sink).unwrap() });
        let (mut one, mut other) = (stand(&sink).courier, stand(&sink).courier);
        other.well = one.well.clone();
        let through = async |courier: &mut Courier| {
            courier.deliver(batch(2), &mut NoDisk).await.expect("no shutdown");
            begin.elapsed()
        };
        let (one, other) = tokio::join!(through(&mut one), through(&mut other));
        assert!(one.abs_diff(other) < Duration::from_millis(10), "{round}: {one:?}, {other:?}");
    }
    let refuses = |n, _: &[u32]| if n < 8 { server_error() } else { Ok(Accepted::default()) };
    let ill = Arc::new(Scripted { well: false, ..Scripted::new(refuses) });
    let fine = Arc::new(Scripted::new(|_, _| Ok(Accepted::default())));
    let (mut ill, mut fine) = (stand(&ill).courier, stand(&fine).courier);
    fine.well = ill.well.clone();
    let heard = fine.well.subscribe();
    let delivering = tokio::spawn(async move { ill.deliver(batch(1), &mut NoDisk).await.is_ok() });
    while !delivering.is_finished() {
        assert!(!heard.has_changed().unwrap());
        fine.deliver(batch(1), &mut NoDisk).await.expect("no shutdown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(delivering.await.unwrap());
}

/// Scenario: the credentials are wrong for an hour.
/// Guarantees: nothing is dropped or made smaller, the sink is not ready and says why; once they are right it goes on.
#[tokio::test(start_paused = true)]
async fn wrong_configuration_holds() {
    let refuse = || Err(Refusal::Configuration { why: "HTTP 401: no such user".to_owned() });
    let sink = Arc::new(Scripted::new(move |n, _| if n < 60 { refuse() } else { Ok(Accepted::default()) }));
    let mut stand = stand(&sink);
    let (health, statuses) = (stand.health.clone(), stand.statuses.clone());
    let delivered =
        tokio::spawn(
            async move { stand.courier.deliver(batch(4), &mut NoDisk).await.map(|s| s.refused.len()) },
        );
    tokio::time::sleep(Duration::from_secs(1_800)).await;
    let reason = "HTTP 401: no such user".to_owned();
    assert_eq!(health.snapshot()[0].not_ready.as_ref(), Some(&reason));
    assert_eq!(statuses.list()[0].state, State::Held { reason });
    assert_eq!(delivered.await.expect("no panic").expect("no shutdown"), 0);
    assert!(health.is_ready());
    assert_eq!(statuses.list()[0].state, State::Ok);
    assert_eq!(sink.accepted().len(), 4);
}

/// Scenario: an answer is lost twice; nobody knows whether the backend took the request.
/// Guarantees: it is sent again as it was, and its records are counted as resent each time.
#[tokio::test(start_paused = true)]
async fn unclear_answers_count_as_resent() {
    let lost = || Err(Refusal::Retry { kind: RetryKind::Timeout, after: None, why: "timeout".to_owned() });
    let sink = Arc::new(Scripted::new(move |n, _| if n < 2 { lost() } else { Ok(Accepted::default()) }));
    let mut stand = stand(&sink);
    stand.courier.deliver(batch(3), &mut NoDisk).await.expect("no shutdown");
    let requests: Vec<Vec<u32>> = sink.requests().into_iter().map(|request| request.records).collect();
    assert_eq!(requests, vec![vec![0, 1, 2]; 3]);
    assert_eq!(stand.ledger.lines()[0].2.records, 6);
    assert_eq!(stand.statuses.list()[0].resent_records, 6);
}

/// Scenario: a frame is larger than a request may be.
/// Guarantees: it goes in several, in order.
#[test]
fn a_large_frame_goes_in_several_requests() {
    let requests = cut(batch(10), 4);
    let records: Vec<u32> =
        requests.iter().flat_map(|one| &one.parts).flat_map(|p| p.records.clone()).collect();
    assert_eq!(requests.iter().map(Batch::records).collect::<Vec<_>>(), [4, 4, 2]);
    assert_eq!(records, (0..10).collect::<Vec<_>>());
}

/// Scenario: the shutdown comes while the sink waits to try again.
/// Guarantees: it stops at once.
#[tokio::test(start_paused = true)]
async fn the_shutdown_ends_a_wait() {
    let sink = Arc::new(Scripted { well: false, ..Scripted::new(|_, _| server_error()) });
    let mut stand = stand(&sink);
    let shutdown = stand.courier.shutdown.clone();
    let stopper = async {
        tokio::time::sleep(Duration::from_secs(100)).await;
        shutdown.cancel();
    };
    let mut disk = NoDisk;
    let (settled, ()) = tokio::join!(stand.courier.deliver(batch(1), &mut disk), stopper);
    assert!(matches!(settled, Err(Stopped)));
}

/// Scenario: a backend takes a request but names one record, and counts two more, that it left out.
/// Guarantees: all three are known as refused; nothing is sent again.
#[tokio::test(start_paused = true)]
async fn partial_success() {
    let partial = Accepted { refused: vec![(0, 1)], refused_unnamed: 2, why: "bad".to_owned() };
    let sink = Arc::new(Scripted::new(move |_, _| Ok(partial.clone())));
    let settled = stand(&sink).courier.deliver(batch(5), &mut NoDisk).await.expect("no shutdown");
    assert_eq!(settled.refused.iter().map(|one| one.record).collect::<Vec<_>>(), [1]);
    assert_eq!(settled.unnamed.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [2]);
    assert_eq!(sink.requests().len(), 1);
}
