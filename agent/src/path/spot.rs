//! Who answers at one distance, over all flows, and when that has changed.
//!
//! Where routers share load, several answer at one distance, and which one meets a flow may change at any time without
//! any route having changed. So the accepted state is the set of those who answer; a round speaks against it when
//! somebody answers who is none of them and none of them does, when a flow has left a member and no other flow meets it,
//! or when one that was gone is met again. One round never is enough: silence, flaps and convergence pass. Somebody new
//! beside members is learned without a word: flows show a set only by and by.
//!
//! That a member is gone is a question of chance, since flows may have been spread anew without meeting it. It is answered
//! when the chance of what was seen would be small. Where flows wander, a flow misses a member as often as flows did so far.
//! Where they have kept still, one of n members with (n - 1) / n, and those that had been with others stay where they were
//! with 1 / (n - 1).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Flows that sweeps compare with themselves; those beyond serve only to look for a member that seems to be gone.
pub(super) const FIXED: u8 = 8;

/// Times that a flow has met the same router again, with no flow moving between, after which this distance counts as
/// steady: at half a chance each, less than one in a million would be luck.
const STEADY: u32 = 20;

/// A member is gone when the chance of having missed it is less than this: where flows wander; where they have kept still,
/// so that hardly ever anything puts it to the test; and where moreover all but the member's own flows still do.
const CHANCE: f64 = 1e-6;
const STEADY_CHANCE: f64 = 1e-5;
const STILL_CHANCE: f64 = 3e-4;

/// Flows counted for the members' shares before older ones count half.
const MUCH: u32 = 4096;

/// Members reported as gone that are remembered.
const FORMER: usize = 32;

/// Members at most: who answers under ever new names is no set of routers.
const MEMBERS: usize = 64;

/// What a round shows at one distance: who answered each flow.
pub(super) type Sights = BTreeMap<u8, BTreeSet<IpAddr>>;

/// What a round means for the accepted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Finding {
    /// Nothing against it.
    Same,
    /// Something, for fewer rounds than a change takes.
    Pending,
    /// A member came or went.
    Member,
    /// All others are there now.
    Other,
}

/// A member that answered none of the flows.
#[derive(Clone, Copy, Debug)]
struct Absence {
    rounds: u32,
    /// Flows that missed it, over all rounds.
    flows: u32,
    /// The distance was steady before.
    steady: bool,
    /// Fixed flows that were with other members, and how many of them stayed there when it was first missed.
    others: u32,
    stayed: u32,
}

/// One distance.
#[derive(Clone, Debug, Default)]
pub(super) struct Spot {
    /// The accepted set.
    pub(super) members: BTreeSet<IpAddr>,
    /// Reported as gone: their return is news, too.
    former: BTreeSet<IpAddr>,
    /// Whom each fixed flow met last.
    flows: BTreeMap<u8, IpAddr>,
    stays: u32,
    /// How many flows of sweeps met each member, and how many there were.
    met: BTreeMap<IpAddr, u32>,
    observed: u32,
    /// Rounds in a row in which only others answered.
    strange: u32,
    absent: BTreeMap<IpAddr, Absence>,
    /// Rounds in a row in which a newcomer answered.
    arrivals: BTreeMap<IpAddr, u32>,
    /// Rounds in a row in which nobody did.
    silent: u32,
}

impl Spot {
    /// Whether rounds speak against the accepted set.
    pub(super) fn is_pending(&self) -> bool {
        self.strange > 0 || !self.absent.is_empty() || !self.arrivals.is_empty()
    }

    /// Whether what one flow met asks for a look by all.
    pub(super) fn suspects(&self, flow: u8, met: &BTreeSet<IpAddr>) -> bool {
        let strangers = !self.members.is_empty() && met.iter().any(|who| !self.members.contains(who));
        let moved = self.flows.get(&flow).is_some_and(|before| !met.is_empty() && !met.contains(before));
        strangers || (moved && self.stays >= STEADY)
    }

    /// Fixed flows that a closer look must have, since they met somebody new.
    pub(super) fn witnesses(&self) -> impl Iterator<Item = u8> {
        let arrived = |who: &IpAddr| self.arrivals.contains_key(who);
        self.flows.iter().filter(move |(_, who)| arrived(who)).map(|(flow, _)| *flow)
    }

    /// Whether flows have moved between members that are all there: they are being spread anew, here or farther on.
    pub(super) fn is_shuffled(&self, sights: &Sights) -> bool {
        let there = |who: &IpAddr| sights.values().any(|met| met.contains(who));
        let moved = |(flow, met): (&u8, &BTreeSet<IpAddr>)| {
            self.flows.get(flow).is_some_and(|before| !met.contains(before) && there(before))
        };
        sights.iter().any(moved)
    }

    /// Compares a round with the accepted set. A silent distance never speaks against it. `calm` says that no distance
    /// before it is shuffled.
    pub(super) fn take(&mut self, sights: &Sights, calm: bool, hysteresis: u32) -> Finding {
        let all: BTreeSet<IpAddr> = sights.values().flatten().copied().collect();
        if all.is_empty() {
            self.silent = self.silent.saturating_add(1);
            if self.silent > hysteresis {
                // What was doubted cannot be told any more.
                self.strange = 0;
                self.absent.clear();
                self.arrivals.clear();
            }
            return if self.is_pending() { Finding::Pending } else { Finding::Same };
        }
        self.silent = 0;
        if self.members.is_empty() {
            self.members = all.into_iter().take(MEMBERS).collect();
            self.remember(sights);
            return Finding::Same;
        }
        if self.members.is_disjoint(&all) {
            self.strange += 1;
            let back = self.arrive(&all, false, hysteresis);
            return if self.strange >= hysteresis.max(1) {
                Finding::Other
            } else {
                back.max(Finding::Pending)
            };
        }
        self.strange = 0;
        let steady = calm && self.stays >= STEADY;
        let arrived = self.arrive(&all, true, hysteresis);
        let gone = self.miss(sights, &all, steady, hysteresis);
        self.remember(sights);
        arrived.max(gone)
    }

    /// Somebody new: news where it had been reported as gone, else learned if that is to be.
    fn arrive(&mut self, all: &BTreeSet<IpAddr>, learn: bool, hysteresis: u32) -> Finding {
        self.arrivals.retain(|who, _| all.contains(who));
        let mut finding = Finding::Same;
        for who in all {
            if !self.former.contains(who) {
                if learn && self.members.len() < MEMBERS {
                    self.members.insert(*who);
                }
                continue;
            }
            let rounds = self.arrivals.entry(*who).or_default();
            *rounds += 1;
            finding =
                finding.max(if *rounds >= hysteresis.max(1) { Finding::Member } else { Finding::Pending });
        }
        finding
    }

    /// Members that answered none of several flows, though one of these had met it before.
    fn miss(&mut self, sights: &Sights, all: &BTreeSet<IpAddr>, steady: bool, hysteresis: u32) -> Finding {
        self.absent.retain(|who, _| !all.contains(who));
        let mut finding = if self.absent.is_empty() { Finding::Same } else { Finding::Pending };
        if sights.len() < 2 {
            return finding;
        }
        for who in self.members.difference(all) {
            let before = |flow: &u8| self.flows.get(flow);
            if !self.absent.contains_key(who) {
                if !sights.keys().any(|flow| before(flow) == Some(who)) {
                    continue;
                }
                let mut absence = Absence { rounds: 0, flows: 0, steady, others: 0, stayed: 0 };
                for (flow, met) in sights {
                    if let Some(before) = before(flow).filter(|before| *before != who) {
                        absence.others += 1;
                        absence.stayed += u32::from(met.contains(before));
                    }
                }
                self.absent.insert(*who, absence);
            }
            let Some(absence) = self.absent.get_mut(who) else { continue };
            absence.rounds += 1;
            absence.flows += sights.len() as u32;
            finding = finding.max(Finding::Pending);
            let share = share(&self.met, *who, self.observed);
            if is_gone(absence, self.members.len(), share, hysteresis) {
                finding = Finding::Member;
            }
        }
        finding
    }

    fn remember(&mut self, sights: &Sights) {
        if sights.len() > 1 {
            if self.observed > MUCH {
                self.observed /= 2;
                self.met.values_mut().for_each(|count| *count /= 2);
            }
            self.observed += sights.len() as u32;
            for who in sights.values().flatten().filter(|who| self.members.contains(who)) {
                *self.met.entry(*who).or_default() += 1;
            }
        }
        for (flow, met) in sights.iter().filter(|(flow, _)| **flow < FIXED) {
            match met.first() {
                Some(who) if met.len() == 1 => match self.flows.insert(*flow, *who) {
                    Some(before) if before == *who => self.stays = self.stays.saturating_add(1),
                    Some(_) => self.stays = 0,
                    None => {}
                },
                Some(_) => self.stays = 0,
                None => {}
            }
        }
    }

    /// Makes what speaks against the accepted set part of it; gives the set before.
    pub(super) fn accept(&mut self, sights: &Sights, hysteresis: u32) -> BTreeSet<IpAddr> {
        let before = self.members.clone();
        let all: BTreeSet<IpAddr> = sights.values().flatten().copied().collect();
        let others = self.strange >= hysteresis.max(1) || self.arrivals.is_empty();
        if !all.is_empty() && before.is_disjoint(&all) && others {
            *self = Self {
                members: all,
                former: before.iter().copied().take(FORMER).collect(),
                ..Self::default()
            };
            self.remember(sights);
            return before;
        }
        self.members.extend(std::mem::take(&mut self.arrivals).into_keys());
        let gone: Vec<IpAddr> = std::mem::take(&mut self.absent)
            .into_iter()
            .filter(|(who, absence)| {
                is_gone(absence, before.len(), share(&self.met, *who, self.observed), hysteresis)
            })
            .map(|(who, _)| who)
            .collect();
        for who in gone {
            self.members.remove(&who);
            if self.former.len() < FORMER {
                self.former.insert(who);
            }
        }
        self.former.retain(|who| !self.members.contains(who));
        before
    }
}

/// Whether chance does not explain any more that a member was missed.
fn is_gone(absence: &Absence, members: usize, share: f64, hysteresis: u32) -> bool {
    if absence.rounds < hysteresis.max(1) || members < 2 {
        return false;
    }
    let flows = i32::try_from(absence.flows).unwrap_or(i32::MAX);
    if !absence.steady {
        return (1.0 - share).powi(flows) < CHANCE;
    }
    let n = members as f64;
    let stayed = if members > 2 { at_least(absence.stayed, absence.others, 1.0 / (n - 1.0)) } else { 1.0 };
    let limit = if absence.stayed == absence.others { STILL_CHANCE } else { STEADY_CHANCE };
    (1.0 - 1.0 / n).powi(flows) * stayed < limit
}

/// The share of flows that met a member so far; somewhat more than nothing for one that hardly any did.
fn share(met: &BTreeMap<IpAddr, u32>, who: IpAddr, observed: u32) -> f64 {
    let met = met.get(&who).copied().unwrap_or(0);
    ((f64::from(met) + 0.5) / (f64::from(observed) + 1.0)).min(0.5)
}

/// The chance that at least `hits` of `tries` succeed, each with chance `p` (binomial distribution).
fn at_least(hits: u32, tries: u32, p: f64) -> f64 {
    let mut total = 0.0;
    let mut ways = 1.0;
    for k in 0..=tries {
        if k >= hits {
            total += ways * p.powi(k as i32) * (1.0 - p).powi((tries - k) as i32);
        }
        ways *= f64::from(tries - k) / f64::from(k + 1);
    }
    total
}
