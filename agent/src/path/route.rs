//! The accepted path of one target over all its flows, and when it has changed.
//!
//! Each distance judges by itself (`spot.rs`); the path is what they make together. A change is of one of three kinds:
//! `length` where the target is nearer or farther than it ever was, `route` where others answer at some distance,
//! `ecmp_member` where a member of a set came or went.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::ends::Ends;
use super::sight::Sight;
use super::spot::{FIXED, Finding, Sights, Spot};

/// The hops of one flow by TTL from 1; `None` for those that are not known.
pub(super) type Hops = Vec<Option<IpAddr>>;

/// Flows that there are in all, see [`crate::net::Way`].
const FLOWS: u8 = 64;

/// Flows of a look by all that saw what is in doubt before; the others look in new places.
const WITNESSES: usize = 2;

/// Kinds of change, as they stand in metrics and events.
pub(super) const KINDS: [&str; 3] = ["route", "ecmp_member", "length"];

/// The accepted path of one target, and what speaks against it.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    spots: Vec<Spot>,
    /// The hops of flow 0 as it met them last, but for those that are being doubted.
    path: Hops,
    /// TTLs at which the target answers.
    ends: Ends,
    /// Rounds in a row that spoke against it.
    doubted: u32,
    /// The next flow that has not been asked yet while a member is looked for.
    fresh: u8,
}

/// A change of path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// One of [`KINDS`].
    pub(super) kind: &'static str,
    /// Hops of flow 0.
    pub(super) before: Hops,
    pub(super) after: Hops,
    /// Each TTL at which the set of those who answer is another one: TTL, before, after.
    pub(super) sets: Vec<(usize, BTreeSet<IpAddr>, BTreeSet<IpAddr>)>,
}

impl Route {
    /// The accepted sets by TTL from 1.
    pub(super) fn sets(&self) -> impl Iterator<Item = &BTreeSet<IpAddr>> {
        let end = self.ends.last().unwrap_or(self.spots.len());
        self.spots.iter().take(end).map(|spot| &spot.members)
    }

    /// Whether what flow 0 has met asks for a look by all flows in the same round.
    pub(super) fn suspects(&self, sight: &Sight) -> bool {
        self.doubted > 0
            || self.ends.suspects(sight)
            || self.spots.iter().zip(&sight.hops).any(|(spot, met)| spot.suspects(sight.flow, met))
    }

    /// Whether nothing speaks against the target's being so far away.
    pub(super) fn may_end_at(&self, length: usize) -> bool {
        self.ends.is_empty() || self.ends.contains(length)
    }

    /// Whether a flow met somebody who is not accepted.
    pub(super) fn meets_strangers(&self, sight: &Sight) -> bool {
        let strange = |(spot, met): (&Spot, &BTreeSet<IpAddr>)| {
            !spot.members.is_empty() && !met.is_subset(&spot.members)
        };
        self.spots.iter().zip(&sight.hops).any(strange)
    }

    /// Whether a flow met nobody else somewhere.
    pub(super) fn is_elsewhere(&self, sight: &Sight) -> bool {
        let elsewhere = |(spot, met): (&Spot, &BTreeSet<IpAddr>)| {
            !spot.members.is_empty() && !met.is_empty() && met.is_disjoint(&spot.members)
        };
        self.spots.iter().zip(&sight.hops).any(elsewhere)
    }

    /// The flows for a look by all, but flow 0, `count` with it. While there are doubts they are others each time, as far
    /// as no one is a witness: so a member that seems to be gone is looked for in new places.
    pub(super) fn flows(&mut self, count: u8) -> Vec<u8> {
        if self.doubted == 0 {
            return (1..count.min(FIXED)).collect();
        }
        let mut flows: BTreeSet<u8> =
            self.spots.iter().flat_map(Spot::witnesses).filter(|flow| *flow > 0).take(WITNESSES).collect();
        while flows.len() + 1 < usize::from(count.min(FIXED)) {
            self.fresh = if (FIXED..FLOWS - 1).contains(&self.fresh) { self.fresh + 1 } else { FIXED };
            flows.insert(self.fresh);
        }
        flows.into_iter().collect()
    }

    /// Compares a round, flow 0 first, with the accepted path; gives the change that it completes.
    pub(super) fn take(&mut self, sights: &[Sight], hysteresis: u32) -> Option<Change> {
        let deepest = sights.iter().map(|sight| sight.hops.len()).max().unwrap_or(0);
        let by_ttl: Vec<Sights> = (0..deepest)
            .map(|at| {
                let met = |sight: &Sight| Some((sight.flow, sight.hops.get(at)?.clone()));
                sights.iter().filter_map(met).filter(|(_, met)| !met.is_empty()).collect()
            })
            .collect();
        let (mut worst, mut calm) = (Finding::Same, true);
        let known = self.ends.last().unwrap_or(usize::MAX);
        for (at, sights) in by_ttl.iter().enumerate().take(known) {
            if at >= self.spots.len() {
                self.spots.push(Spot::default());
            }
            let shuffled = self.spots[at].is_shuffled(sights);
            worst = worst.max(self.spots[at].take(sights, calm, hysteresis));
            calm &= !shuffled;
        }
        if self.ends.take(sights, hysteresis) {
            worst = Finding::Other;
        } else if self.ends.is_pending() {
            worst = worst.max(Finding::Pending);
        }
        match worst {
            Finding::Same => {
                self.doubted = 0;
                self.learn_beyond(&by_ttl, sights);
                self.follow(sights);
                None
            }
            Finding::Pending => {
                self.doubted += 1;
                None
            }
            Finding::Member | Finding::Other => Some(self.accept(&by_ttl, sights, worst, hysteresis)),
        }
    }

    /// Branches of different lengths: what lies beyond the end that was known belongs to the path, once one flow got
    /// there by members alone.
    fn learn_beyond(&mut self, by_ttl: &[Sights], sights: &[Sight]) {
        self.ends.learn(sights);
        let farthest = self.ends.last().unwrap_or(0);
        for (at, sights) in by_ttl.iter().enumerate().take(farthest).skip(self.spots.len()) {
            debug_assert_eq!(at, self.spots.len(), "the spots before were taken");
            let mut spot = Spot::default();
            let _learned = spot.take(sights, true, 1);
            self.spots.push(spot);
        }
        // Where nobody but the target was ever met, no branch goes on.
        let alone = |end: &usize| self.spots.get(end - 1).is_some_and(|spot| spot.members.len() == 1);
        let nearest = self.ends.iter().find(alone);
        if let Some(end) = nearest {
            self.ends.cut(end);
            self.spots.truncate(end);
        }
    }

    fn follow(&mut self, sights: &[Sight]) {
        let Some(sight) = sights.iter().find(|sight| sight.flow == 0) else { return };
        self.path.resize(self.path.len().max(sight.hops.len()), None);
        for (hop, met) in self.path.iter_mut().zip(&sight.hops) {
            // Of several the one that it was before.
            *hop = hop.filter(|hop| met.is_empty() || met.contains(hop)).or(met.first().copied());
        }
        if let Some(length) = sight.length {
            self.path.truncate(length);
        }
    }

    fn accept(&mut self, by_ttl: &[Sights], sights: &[Sight], worst: Finding, hysteresis: u32) -> Change {
        let ends: BTreeSet<usize> = sights.iter().filter_map(|sight| sight.length).collect();
        let moved = self.ends.is_disjoint(&ends);
        let kind = match worst {
            _ if moved => "length",
            Finding::Other => "route",
            _ => "ecmp_member",
        };
        let before = std::mem::take(&mut self.path);
        let mut old: Vec<BTreeSet<IpAddr>> = self.sets().cloned().collect();
        for (at, sights) in by_ttl.iter().enumerate() {
            if at >= self.spots.len() {
                self.spots.push(Spot::default());
            }
            let _before = self.spots[at].accept(sights, hysteresis);
            if self.spots[at].members.is_empty() {
                let _learned = self.spots[at].take(sights, true, 1);
            }
        }
        if moved || self.ends.is_empty() {
            // Every hop is another distance away: what was not seen now is not known.
            self.spots.truncate(by_ttl.len());
            for (spot, sights) in self.spots.iter_mut().zip(by_ttl).filter(|(_, sights)| sights.is_empty()) {
                debug_assert!(sights.is_empty());
                *spot = Spot::default();
            }
            self.ends.replace(ends);
        } else {
            self.ends.learn(sights);
        }
        self.doubted = 0;
        self.follow(sights);
        let new: Vec<BTreeSet<IpAddr>> = self.sets().cloned().collect();
        old.resize(old.len().max(new.len()), BTreeSet::new());
        let sets = old
            .into_iter()
            .enumerate()
            .map(|(at, before)| (at + 1, before, new.get(at).cloned().unwrap_or_default()))
            .filter(|(_, before, after)| before != after)
            .collect();
        Change { kind, before, after: self.path.clone(), sets }
    }
}

#[cfg(test)]
mod tests;
