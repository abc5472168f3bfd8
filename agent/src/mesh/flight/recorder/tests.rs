//! What is recorded of troubles that come one behind the other; how a recording goes is not looked at here.

use ao_proto::v1;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::context::Node;
use crate::mesh::grid::Due;
use crate::mesh::packet::Times;
use crate::net::{self, Prober};
use crate::trouble::Turn;

struct Bench {
    recorder: Recorder,
    grid: Grid,
    flows: Flows,
}

impl Bench {
    fn new() -> Self {
        let config = Config::default();
        let prober = Prober::start(&net::Config::default(), CancellationToken::new()).unwrap();
        let (usual, walks) = Default::default();
        let node = Arc::new(Node::default());
        let base = Base { node, prober, own: None, interval: config.interval.0, usual, walks };
        let (grid, flows) = (Grid::new(config.clone()), Flows::new(config.ports.into(), None));
        Self { recorder: Recorder::new(&config, base), grid, flows }
    }

    fn alarm(&mut self, trouble: Trouble, over: bool, host: u8) {
        let (host, address) = (format!("host-{host}"), Some(IpAddr::from([127, 0, 0, host])));
        let alarm = Alarm { turn: Turn { trouble, over }, host, address, server: None };
        self.recorder.alarm(&mut self.grid, &mut self.flows, alarm);
    }

    /// The recording of an address has ended.
    async fn landed(&mut self, host: u8, turned_bad: bool) {
        self.recorder.flights.abort_all();
        while self.recorder.flights.join_next().await.is_some() {}
        let what = What::Way(IpAddr::from([127, 0, 0, host]));
        let flown = Flown { verdict: "unknown", events: Vec::new(), turned_bad };
        self.recorder.landed(&mut self.grid, &mut self.flows, Ended(End::Flight(what, None, Ok(flown))));
    }

    /// Asks the peers so many echoes that all come back, or none; what the cells make of it is heard.
    async fn echoes(&mut self, count: u32, come: bool) {
        let mut asked = 0;
        while asked < count {
            self.grid.wait().await;
            let due = self.grid.due(Instant::now(), |_, _| 0);
            let Some(Due::Ask(question)) = due else { continue };
            asked += 1;
            if come {
                let at_ns = clock::boot_ns();
                let times = Times { received_ns: at_ns, answered_ns: at_ns, anchor_ns: 0 };
                self.grid.answered(&Answer { token: question.token, times, came_ns: at_ns });
            } else {
                self.grid.expire(i64::MAX);
            }
        }
        for (cell, trouble) in self.grid.troubles() {
            self.recorder.cell(&mut self.grid, &mut self.flows, cell, trouble);
        }
    }

    /// Those that have begun, and those that were not recorded.
    fn counts(&self) -> (usize, u64) {
        (self.recorder.limits.begun(), self.recorder.counts.get(NOT).copied().unwrap_or(0))
    }
}

/// Behind what is noticed of a trouble that has begun before its recording.
const LATER: Duration = Duration::from_secs(10);

/// Scenario: two pings are lost by chance; while that is recorded the link breaks, and stays so; delay first, and loss while
/// that is recorded; the same four times more.
/// Guarantees: what comes later than what a recording was begun for waits and is recorded next, as often as an hour allows;
/// what comes at once is the same trouble; a change of the path does not wait.
#[tokio::test(start_paused = true)]
async fn trouble_during_a_recording() {
    let mut bench = Bench::new();
    bench.alarm(Trouble::Loss, false, 1);
    bench.alarm(Trouble::Latency, false, 1);
    assert_eq!(bench.counts(), (1, 1), "of one moment");
    tokio::time::advance(LATER).await;
    bench.alarm(Trouble::PathChange, false, 1);
    assert_eq!(bench.counts(), (1, 2), "nobody would say when it is over");
    bench.alarm(Trouble::Loss, false, 1);
    assert_eq!(bench.counts(), (1, 2), "it waits");
    for begun in 2..=4 {
        bench.landed(1, false).await;
        assert_eq!(bench.counts(), (begun, 2), "it is recorded next");
        tokio::time::advance(LATER).await;
        bench.alarm(Trouble::Loss, false, 1);
    }
    bench.landed(1, false).await;
    assert_eq!(bench.counts(), (4, 3), "four in an hour");
    assert!(bench.recorder.under_way.is_empty() && bench.recorder.waiting.is_empty());
}

/// Scenario: as before, but the way is good again before the recording ends, as the one who waits says, or another one.
/// Guarantees: what is over is not recorded; what others say changes nothing.
#[tokio::test(start_paused = true)]
async fn over_before_the_end() {
    for (other, begun) in [(1, 1), (2, 2)] {
        let mut bench = Bench::new();
        bench.alarm(Trouble::Latency, false, 1);
        tokio::time::advance(LATER).await;
        bench.alarm(Trouble::Loss, false, 1);
        bench.alarm(Trouble::Loss, true, other);
        bench.landed(1, false).await;
        assert_eq!(bench.counts(), (begun, 2 - begun as u64), "{other}");
    }
}

/// Scenario: a recording finds the way good at first and bad in the end; the one who has seen the trouble has not seen it go
/// and come back, or says that it is over.
/// Guarantees: it is recorded again where it may last.
#[tokio::test(start_paused = true)]
async fn turned_bad() {
    for (over, begun) in [(false, 2), (true, 1)] {
        let mut bench = Bench::new();
        bench.alarm(Trouble::Latency, false, 1);
        if over {
            bench.alarm(Trouble::Latency, true, 1);
        }
        bench.landed(1, true).await;
        assert_eq!(bench.counts(), (begun, 0));
        let troubles: Vec<_> =
            bench.recorder.under_way.iter().filter_map(|one| one.witness.as_ref()).collect();
        assert!(troubles.iter().all(|witness| witness.trouble() == Trouble::Loss), "{troubles:?}");
    }
}

/// Scenario: more ways get worse at once than are recorded at a time.
/// Guarantees: the others are recorded as these end, and none twice.
#[tokio::test(start_paused = true)]
async fn no_room() {
    let mut bench = Bench::new();
    for host in 1..=6 {
        bench.alarm(Trouble::Loss, false, host);
    }
    assert_eq!(bench.counts(), (4, 0));
    bench.alarm(Trouble::Loss, true, 5);
    bench.landed(1, false).await;
    assert_eq!(bench.counts(), (5, 1));
    assert!(bench.recorder.under_way.iter().any(|one| one.what == What::Way([127, 0, 0, 6].into())));
}

/// Scenario: a cell of the mesh loses three echoes of ten by chance, is good again, and then gets nothing back; or is good
/// again once more when the recording ends.
/// Guarantees: the second trouble is recorded when the first recording has ended, where it lasts.
#[tokio::test(start_paused = true)]
async fn a_cell() {
    for (good_again, begun) in [(false, 2), (true, 1)] {
        let mut bench = Bench::new();
        let peer = v1::Peer { node: "b".into(), address: "127.0.0.1".into(), port: 9, ..v1::Peer::default() };
        bench.grid.apply(&[peer], Instant::now());
        bench.echoes(60, true).await;
        bench.echoes(12, false).await;
        assert_eq!(bench.counts(), (1, 0));
        bench.echoes(60, true).await;
        bench.echoes(60, false).await;
        assert_eq!(bench.counts(), (1, 0));
        if good_again {
            bench.echoes(60, true).await;
        }
        bench.landed(1, false).await;
        assert_eq!(bench.counts(), (begun, 2 - begun as u64));
    }
}
