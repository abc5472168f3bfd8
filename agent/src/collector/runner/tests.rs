//! Rounds with collectors that misbehave.

use std::sync::{Condvar, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::super::api::Built;
use super::super::outcome::FailureLabel;
use super::*;
use crate::context::Node;
use crate::event::Event;

/// Does what its name says.
#[derive(Clone, Copy, PartialEq)]
enum Odd {
    Good,
    Fails,
    Panics,
    Hangs,
}

static GATE: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

impl Collector for Odd {
    fn collect(&mut self, _roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        out.one("before", Gauge, "Read before the error.", 1.0);
        match self {
            Self::Good => Ok(()),
            Self::Fails => Err(CollectError::line(std::path::Path::new("/proc/odd"), 2, "x")),
            Self::Panics => panic!("a bug"),
            Self::Hangs => {
                let mut open = GATE.0.lock().unwrap_or_else(PoisonError::into_inner);
                while !*open {
                    open = GATE.1.wait(open).unwrap_or_else(PoisonError::into_inner);
                }
                Ok(())
            }
        }
    }
}

fn built(odd: Odd) -> Built {
    Ok(Box::new(odd))
}

static ENTRIES: [Entry; 4] = [
    Entry { name: "hangs", default_on: true, build: |_| built(Odd::Hangs) },
    Entry { name: "panics", default_on: true, build: |_| built(Odd::Panics) },
    Entry { name: "fails", default_on: true, build: |_| built(Odd::Fails) },
    Entry { name: "good", default_on: true, build: |_| built(Odd::Good) },
];

fn success(set: &MetricSet) -> Vec<f64> {
    let family =
        set.families.iter().position(|f| set.text(&f.name) == "node_scrape_collector_success").unwrap();
    set.samples.iter().filter(|s| s.family as usize == family).map(|s| s.value).collect()
}

/// Scenario: rounds with a collector that hangs, one that panics and one that fails.
/// Guarantees: each tells it by `success`; what the failing one had read stays; the good one is in every round; the
/// hung one is back once it has ended.
#[test]
fn misbehaviour_harms_no_other() {
    let chosen = ENTRIES.iter().map(|entry| (entry, None));
    let mut collectors = Collectors::build(chosen, Duration::from_secs(2)).unwrap();
    let roots = Arc::new(Roots::default());
    for _round in 0..2 {
        let set = collectors.round(&roots, 5);
        assert_eq!((set.at_ms, success(&set)), (5, vec![0.0, 0.0, 0.0, 1.0]));
        let before =
            set.samples.iter().filter(|s| set.text(&set.families[s.family as usize].name) == "before");
        assert_eq!(before.count(), 2);
    }
    *GATE.0.lock().unwrap() = true;
    GATE.1.notify_all();
    let begin = Instant::now();
    while success(&collectors.round(&roots, 5))[0] == 0.0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "the collector never came back");
    }
    let count =
        |collector, kind| collectors.failures.0.get_or_create(&FailureLabel { collector, kind }).get();
    assert!(count("hangs", "late") >= 2 && count("panics", "panic") >= 2 && count("fails", "error") >= 2);
    assert_eq!(count("good", "error") + count("good", "late"), 0);
}

/// Scenario: a round whose first collector is not done by the deadline, which is short.
/// Guarantees: the others, whose turn did not come, are late as well: none of them panicked.
#[test]
fn what_was_not_begun_is_late() {
    static CLOSED: Mutex<()> = Mutex::new(());
    struct Waits;
    impl Collector for Waits {
        fn collect(&mut self, _roots: &Roots, _out: &mut MetricSet) -> Result<(), CollectError> {
            drop(CLOSED.lock());
            Ok(())
        }
    }
    static WAITS: Entry = Entry { name: "waits", default_on: true, build: |_| Ok(Box::new(Waits)) };
    let closed = CLOSED.lock().unwrap();
    let chosen = [(&WAITS, None), (&ENTRIES[3], None)];
    let mut collectors = Collectors::build(chosen, Duration::from_millis(50)).unwrap();
    assert_eq!(success(&collectors.round(&Arc::default(), 5)), [0.0, 0.0]);
    let count =
        |collector, kind| collectors.failures.0.get_or_create(&FailureLabel { collector, kind }).get();
    assert_eq!((count("waits", "late"), count("good", "late"), count("good", "panic")), (1, 1, 0));
    drop(closed);
}

/// Scenario: the source runs with an interval of a second, then the agent stops.
/// Guarantees: a set comes, stamped with a moment of the rhythm, with job and source; the source ends.
#[tokio::test]
async fn runs_until_shutdown() {
    let (events, mut received) = mpsc::channel(4);
    let (_keep, directives) = watch::channel(Arc::default());
    let node = Arc::new(Node { name: "n1".to_owned(), ..Node::default() });
    let shutdown = CancellationToken::new();
    let registry = SharedRegistry::default();
    let ctx = Context { events, directives, node, shutdown: shutdown.clone() };
    let collectors = Collectors::build([(&ENTRIES[3], None)], Duration::from_secs(1)).unwrap();
    let source = tokio::spawn(run(collectors, Duration::from_secs(1), ctx, Arc::clone(&registry)));
    let event = tokio::time::timeout(Duration::from_secs(20), received.recv()).await.unwrap().unwrap();
    let Event::Metrics(set) = event else { panic!("{event:?}") };
    assert_eq!((set.source, set.job, success(&set)), ("collector", "node-exporter", vec![1.0]));
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(20), source).await.unwrap().unwrap().unwrap();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry.lock().unwrap()).unwrap();
    let series = "ao_collector_failures_total{collector=\"good\",kind=\"late\"} 0\n";
    assert!(text.contains(series), "{text}");
}
