//! What is known of the way to one peer. No I/O.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ao_proto::v1;

use super::baseline::{Baseline, Change, Passage};
use super::mtu::Search;
use super::packet::Times;
use super::sweep::Sweep;
use crate::trouble::{JUMP_NS, Trouble, Watch};

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

impl Told {
    /// Share of the echoes that was lost.
    pub(super) fn loss(&self) -> f64 {
        f64::from(self.lost) / (self.rtts.len() as f64 + f64::from(self.lost))
    }
}

/// The round that is filling.
#[derive(Debug, Default)]
struct Filling {
    echoes: Vec<Echo>,
    lost: u32,
    unsent: bool,
}

/// The newest echoes that are looked at for trouble, and those among them that must be lost.
const RECENT: usize = 10;
pub(super) const RECENT_LOST: usize = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) peer: Peer,
    /// Echoes that came back or did not, since the start.
    pub(super) asked: u64,
    pub(super) came: u64,
    /// Those that this machine has not sent.
    pub(super) unsent: u64,
    pub(super) told: Option<Told>,
    pub(super) sweep: Sweep,
    pub(super) mtu: Search,
    filling: Filling,
    baseline: Baseline,
    /// The newest echo came back: what is lost of other sizes is lost for its size.
    pub(super) is_there: bool,
    /// By verdict.
    pub(super) incidents: BTreeMap<&'static str, u64>,
    /// Round trips of the newest echoes; `None` for one that was lost.
    recent: VecDeque<Option<i64>>,
    watch: Watch,
}

impl Cell {
    pub(super) fn new(peer: Peer, ports: usize) -> Self {
        Self {
            peer,
            asked: 0,
            came: 0,
            unsent: 0,
            told: None,
            sweep: Sweep::new(ports),
            mtu: Search::default(),
            filling: Filling::default(),
            baseline: Baseline::default(),
            is_there: false,
            incidents: BTreeMap::new(),
            recent: VecDeque::new(),
            watch: Watch::new(JUMP_NS),
        }
    }

    /// An echo came back; trouble, where that shows some.
    pub(super) fn echo(&mut self, echo: Echo) -> Option<Trouble> {
        (self.asked, self.came, self.is_there) = (self.asked + 1, self.came + 1, true);
        self.filling.echoes.push(echo);
        self.notice(Some(echo.rtt_ns()))
    }

    /// None came in time; trouble, where that shows some.
    pub(super) fn lost(&mut self) -> Option<Trouble> {
        (self.asked, self.is_there) = (self.asked + 1, false);
        self.filling.lost += 1;
        self.notice(None)
    }

    /// It was not sent, which says nothing about the way.
    pub(super) fn unsent(&mut self) {
        (self.unsent, self.filling.unsent) = (self.unsent + 1, true);
    }

    /// Trouble is said once, when it begins; it ends with as many good echoes in a row. A peer that was never reached is
    /// no trouble of the way.
    fn notice(&mut self, rtt_ns: Option<i64>) -> Option<Trouble> {
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(rtt_ns);
        if self.recent.len() < RECENT || self.came == 0 {
            return None;
        }
        let lost = self.recent.iter().filter(|rtt| rtt.is_none()).count();
        let mut rtts: Vec<i64> = self.recent.iter().copied().flatten().collect();
        rtts.sort_unstable();
        let turn = self.watch.look(lost, lost >= RECENT_LOST, rtts.get(rtts.len() / 2).copied());
        turn.filter(|turn| !turn.over).map(|turn| turn.trouble)
    }

    /// Share of the small echoes that is lost now: the worse of the newest round and the newest echoes.
    pub(super) fn loss(&self) -> f64 {
        let lost = self.recent.iter().filter(|rtt| rtt.is_none()).count();
        let now = lost as f64 / self.recent.len().max(1) as f64;
        now.max(self.told.as_ref().map_or(0.0, Told::loss))
    }

    /// What the directions' delay used to be.
    pub(super) fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// Whether trouble was said that is not over.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.watch.is_in_trouble()
    }

    /// Whether the peer answers, with nothing to complain of.
    pub(super) fn is_well(&self) -> bool {
        self.is_there && !self.is_in_trouble()
    }

    /// Other source ports carry the echoes from now on: what was usual is that of another path.
    pub(super) fn moved(&mut self) {
        self.baseline = Baseline::default();
    }

    /// Ends a round. `anchor_ns` is our system's clock less our boot time, `synchronised` what the site says of it.
    pub(super) fn round(&mut self, anchor_ns: i64, synchronised: bool) {
        let Filling { echoes, lost, unsent } = std::mem::take(&mut self.filling);
        if echoes.is_empty() && lost == 0 {
            if unsent {
                self.told = None;
            }
            return;
        }
        let mut told = Told { lost, ..Told::default() };
        told.rtts = echoes.iter().map(|echo| Duration::from_nanos(echo.rtt_ns().unsigned_abs())).collect();
        told.rtts.sort_unstable();
        if let Some(median) = told.rtts.get(told.rtts.len() / 2) {
            self.watch.learn(i64::try_from(median.as_nanos()).unwrap_or(i64::MAX));
        }
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
            let sent = || echoes.iter().map(|echo| echo.sent_ns);
            let (from_ns, to_ns) = (sent().min().unwrap_or(0), sent().max().unwrap_or(0));
            told.change = self.baseline.add(Passage::between(from_ns, to_ns, forward_ns, backward_ns));
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
            cell.round(ANCHOR_NS, true);
            let told = cell.told.clone().expect("a round");
            let us: Vec<u128> = told.rtts.iter().map(Duration::as_micros).collect();
            assert_eq!((us, told.lost, cell.asked, cell.came), (vec![400, 1300], 1, 3, 2));
            let offset = told.offset.expect("an offset");
            assert!((offset.ns - 2_000_000).abs() <= offset.bound_ns, "{offset:?}");
            // Declared synchronised, they are 2 ms apart all the same: that is in both ways, and in the offset beside.
            let one_way_ns = synchronised.then_some((100_000 + 2_000_000, 300_000 - 2_000_000));
            assert_eq!(told.one_way_ns, one_way_ns);
            assert_eq!(told.change, None);
        }
    }

    /// Scenario: rounds in which nothing comes back, none at all, and one in which nothing could be sent.
    /// Guarantees: loss is told, with no figure made up; a round without a question tells nothing; one that was not sent
    /// counts apart and is no loss, and the figures of the round before it are not told for it.
    #[test]
    fn nothing_comes_back() {
        let mut cell = cell(false);
        cell.round(0, false);
        assert!(cell.told.is_none());
        cell.lost();
        cell.round(0, false);
        let told = cell.told.clone().expect("a round");
        assert!(told.rtts.is_empty() && told.lost == 1 && told.offset.is_none() && told.change.is_none());
        cell.unsent();
        cell.round(0, false);
        assert!(cell.told.is_none() && (cell.asked, cell.unsent) == (1, 1));
    }

    /// Scenario: good rounds; three echoes in ten are lost, for long; good again; a little slower; a jump of the round
    /// trip; a peer that never answers.
    /// Guarantees: trouble is said once for each, with what it is; what never worked is none.
    #[test]
    fn trouble_is_said_once() {
        let mut cell = cell(false);
        let mut now = 0;
        let mut run = |cell: &mut Cell, count: u32, more_ns: i64, lost: u32| -> Vec<Trouble> {
            let mut said = Vec::new();
            for nth in 0..count {
                now += 1_000_000_000;
                said.extend(if nth % 10 < lost { cell.lost() } else { cell.echo(echo(now, more_ns)) });
                if nth % 10 == 9 {
                    cell.round(ANCHOR_NS, false);
                }
            }
            said
        };
        assert_eq!(run(&mut cell, 100, 0, 2), []);
        assert_eq!(run(&mut cell, 100, 0, 3), [Trouble::Loss]);
        assert_eq!(run(&mut cell, 100, 0, 0), []);
        assert_eq!(run(&mut cell, 100, 900_000, 0), [], "less than a millisecond more");
        assert_eq!(run(&mut cell, 100, 3_000_000, 0), [Trouble::Latency]);
        let mut silent = self::cell(false);
        assert_eq!(run(&mut silent, 100, 0, 10), []);
    }
}
