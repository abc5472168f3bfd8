//! What is known of the way to one peer. No I/O.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ao_proto::v1;

use super::baseline::{Baseline, Change, Passage};
use super::mtu::Search;
use super::packet::Times;
use super::sweep::Sweep;

/// A peer as the aggregator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) node: String,
    pub(super) zone: String,
    pub(super) address: SocketAddr,
    pub(super) synchronised: bool,
}

impl Peer {
    /// `None` where the address or port makes no sense.
    pub(super) fn of(told: &v1::Peer) -> Option<Self> {
        let address = SocketAddr::new(told.address.parse().ok()?, u16::try_from(told.port).ok()?);
        let (node, zone) = (told.node.clone(), told.zone.clone());
        Some(Self { node, zone, address, synchronised: told.synchronised })
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

/// An echo that came back: our boot time when it left and when it came, and what the peer says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Echo {
    pub(super) sent_ns: i64,
    pub(super) came_ns: i64,
    pub(super) times: Times,
}

impl Echo {
    fn forward_ns(&self) -> i64 {
        self.times.received_ns.saturating_sub(self.sent_ns)
    }

    fn backward_ns(&self) -> i64 {
        self.came_ns.saturating_sub(self.times.answered_ns)
    }

    /// Without the time that the peer took.
    fn rtt_ns(&self) -> i64 {
        self.forward_ns().saturating_add(self.backward_ns()).max(0)
    }
}

/// The peer's system clock less ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offset {
    pub(super) ns: i64,
    /// It is right within this, however unlike the directions are: half a round trip.
    pub(super) bound_ns: i64,
}

/// What the newest whole round says.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Sorted, without the time that the peer took.
    pub(super) rtts: Vec<Duration>,
    pub(super) lost: u32,
    pub(super) offset: Option<Offset>,
    pub(super) change: Option<Change>,
    /// Of the quickest echo, by the system's clocks: only where both are synchronised.
    pub(super) one_way_ns: Option<(i64, i64)>,
}

/// The round that is filling.
#[derive(Debug, Default)]
struct Filling {
    echoes: Vec<Echo>,
    lost: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) peer: Peer,
    /// Echoes that came back or did not, since the start.
    pub(super) asked: u64,
    pub(super) came: u64,
    pub(super) told: Option<Told>,
    pub(super) sweep: Sweep,
    pub(super) mtu: Search,
    filling: Filling,
    baseline: Baseline,
    /// The newest echo came back: what is lost of other sizes is lost for its size.
    pub(super) is_there: bool,
}

impl Cell {
    pub(super) fn new(peer: Peer, ports: usize) -> Self {
        Self {
            peer,
            asked: 0,
            came: 0,
            told: None,
            sweep: Sweep::new(ports),
            mtu: Search::default(),
            filling: Filling::default(),
            baseline: Baseline::default(),
            is_there: false,
        }
    }

    /// An echo came back.
    pub(super) fn echo(&mut self, echo: Echo) {
        (self.asked, self.came, self.is_there) = (self.asked + 1, self.came + 1, true);
        self.filling.echoes.push(echo);
    }

    /// None came in time.
    pub(super) fn lost(&mut self) {
        (self.asked, self.is_there) = (self.asked + 1, false);
        self.filling.lost += 1;
    }

    /// Other source ports carry the echoes from now on: what was usual is that of another path.
    pub(super) fn moved(&mut self) {
        self.baseline = Baseline::default();
    }

    /// Ends a round. `anchor_ns` is our system's clock less our boot time, `synchronised` what the site says of it.
    pub(super) fn round(&mut self, now_ns: i64, anchor_ns: i64, synchronised: bool) {
        let Filling { echoes, lost } = std::mem::take(&mut self.filling);
        if echoes.is_empty() && lost == 0 {
            return;
        }
        let mut told = Told { lost, ..Told::default() };
        told.rtts = echoes.iter().map(|echo| Duration::from_nanos(echo.rtt_ns().unsigned_abs())).collect();
        told.rtts.sort_unstable();
        if let Some(best) = echoes.iter().min_by_key(|echo| echo.rtt_ns()) {
            let clocks_ns = best.times.anchor_ns.saturating_sub(anchor_ns);
            let apart_ns = best.forward_ns().saturating_sub(best.backward_ns()) / 2;
            told.offset =
                Some(Offset { ns: apart_ns.saturating_add(clocks_ns), bound_ns: best.rtt_ns() / 2 + 1 });
            if synchronised && self.peer.synchronised {
                let forward_ns = best.forward_ns().saturating_add(clocks_ns);
                told.one_way_ns = Some((forward_ns, best.backward_ns().saturating_sub(clocks_ns)));
            }
        }
        let quickest = |way: fn(&Echo) -> i64| echoes.iter().map(way).min();
        if let (Some(forward_ns), Some(backward_ns)) =
            (quickest(Echo::forward_ns), quickest(Echo::backward_ns))
        {
            told.change = self.baseline.add(Passage { at_ns: now_ns, forward_ns, backward_ns });
        }
        self.told = Some(told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(synchronised: bool) -> Cell {
        let address = SocketAddr::from(([10, 0, 0, 2], 4418));
        let peer = Peer { node: "b".to_owned(), zone: String::new(), address, synchronised };
        Cell::new(peer, 4)
    }

    /// An echo over 100 us forward and 300 us backward, of which the peer keeps it 50 us. Its boot clock is 7 s ahead, its
    /// system's clock 2 ms.
    fn echo(sent_ns: i64, more_ns: i64) -> Echo {
        let received_ns = sent_ns + 100_000 + more_ns + 7_000_000_000;
        let answered_ns = received_ns + 50_000;
        let anchor_ns = ANCHOR_NS - 7_000_000_000 + 2_000_000;
        Echo {
            sent_ns,
            came_ns: sent_ns + 450_000 + more_ns,
            times: Times { received_ns, answered_ns, anchor_ns },
        }
    }

    const ANCHOR_NS: i64 = 1_700_000_000_000_000_000;

    /// Scenario: a round of echoes over unlike directions, one of them slow, one lost.
    /// Guarantees: round trips are without the peer's time; the offset is right within its bound; each direction by itself
    /// is told only where both clocks are synchronised, and then right.
    #[test]
    fn a_round() {
        for synchronised in [false, true] {
            let mut cell = cell(synchronised);
            cell.echo(echo(0, 900_000));
            cell.echo(echo(1_000_000, 0));
            cell.lost();
            assert!(!cell.is_there);
            cell.round(2_000_000, ANCHOR_NS, true);
            let told = cell.told.clone().expect("a round");
            let us: Vec<u128> = told.rtts.iter().map(Duration::as_micros).collect();
            assert_eq!((us, told.lost, cell.asked, cell.came), (vec![400, 1300], 1, 3, 2));
            let offset = told.offset.expect("an offset");
            assert!((offset.ns - 2_000_000).abs() <= offset.bound_ns, "{offset:?}");
            // The quickest backward passage was alike in both echoes.
            let clocks = synchronised.then_some((100_000 + 2_000_000, 300_000 - 2_000_000));
            assert_eq!(told.one_way_ns.is_some(), clocks.is_some());
            if let Some((forward_ns, backward_ns)) = told.one_way_ns {
                // Both declare their clocks synchronised: what they differ by is in it, and in the offset beside it.
                assert_eq!((forward_ns, backward_ns), (100_000 + 2_000_000, 300_000 - 2_000_000));
            }
            assert_eq!(told.change, None);
        }
    }

    /// Scenario: rounds in which nothing comes back, and none at all.
    /// Guarantees: loss is told, with no figure made up; a round without a question tells nothing.
    #[test]
    fn nothing_comes_back() {
        let mut cell = cell(false);
        cell.round(0, 0, false);
        assert!(cell.told.is_none());
        cell.lost();
        cell.round(1, 0, false);
        let told = cell.told.expect("a round");
        assert!(told.rtts.is_empty() && told.lost == 1 && told.offset.is_none() && told.change.is_none());
    }
}
