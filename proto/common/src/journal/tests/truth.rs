//! The model test's plain list of what must be there, and the comparison.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Position;

/// The cursors of a class, by name.
pub(super) type Deliveries<'a> = Vec<(&'a str, &'a Delivery)>;

/// What is known of a class's log.
#[derive(Default)]
pub(super) struct Truth {
    /// All that ever was in the log, in order.
    pub(super) log: Vec<u64>,
    /// Under way when the crash came, in order.
    pub(super) unsure: Vec<u64>,
    /// Refused in the round in which the crash came.
    pub(super) loose: BTreeSet<u64>,
    /// Hit by a flipped bit.
    pub(super) hit: BTreeSet<u64>,
    /// Who missed what was shed.
    pub(super) shed: BTreeMap<u64, String>,
}

/// What is known of a cursor.
#[derive(Default)]
pub(super) struct Delivery {
    pub(super) done: BTreeSet<u64>,
    pub(super) at: Position,
    pub(super) begun: Option<Position>,
    /// An advance that failed, which may yet be found done.
    pub(super) maybe: Option<(Position, Vec<u64>)>,
    /// What it owes at all, if it is a range that was left behind.
    pub(super) range: Option<BTreeSet<u64>>,
}

impl Delivery {
    /// Whether it does not, or no longer, owe a frame.
    fn is_done(&self, id: u64) -> bool {
        self.done.contains(&id) || self.range.as_ref().is_some_and(|range| !range.contains(&id))
    }
}

impl Truth {
    /// What a start found: all that was acknowledged, then what was under way, up to some point.
    pub(super) fn reconcile(&mut self, found: Vec<u64>) {
        let mut rest = found.iter().copied().peekable();
        for id in &self.log {
            if rest.next_if_eq(id).is_none() {
                assert!(self.hit.contains(id), "{id} was acknowledged and is not in {found:?}");
            }
        }
        let rest: Vec<u64> = rest.collect();
        assert!(rest.is_sorted());
        let certain: Vec<u64> = rest.into_iter().filter(|id| !self.loose.contains(id)).collect();
        assert!(self.unsure.starts_with(&certain), "{certain:?} of {:?} with gaps", self.unsure);
        self.log = found;
    }

    /// What was shed must have been missed by exactly those who are named. Returns all that was shed so far.
    pub(super) fn check_shed(
        &self,
        found: Vec<(u64, String)>,
        deliveries: &Deliveries<'_>,
    ) -> BTreeMap<u64, String> {
        let mut shed = self.shed.clone();
        let clear = deliveries.iter().all(|(_, delivery)| delivery.maybe.is_none());
        for (id, names) in found {
            let late = deliveries.iter().filter(|(_, delivery)| !delivery.is_done(id));
            let late: Vec<&str> = late.map(|(name, _)| *name).collect();
            let right = shed.contains_key(&id) || names == late.join(",") || !clear;
            assert!(right, "{id} was shed for {names}, not read by {late:?}");
            shed.entry(id).or_insert(names);
        }
        shed
    }

    /// What is in the log must be all that was acknowledged, but for what had to go.
    pub(super) fn check_content(
        &self,
        here: &[u64],
        shed: &BTreeMap<u64, String>,
        deliveries: &Deliveries<'_>,
        tainted: bool,
    ) {
        assert!(here.windows(2).all(|pair| pair[0] < pair[1]), "once and in order: {here:?}");
        let here = BTreeSet::from_iter(here.iter().copied());
        for id in &self.log {
            let done = |(_, delivery): &(&str, &Delivery)| delivery.is_done(*id) || delivery.maybe.is_some();
            let read_by_all = !deliveries.is_empty() && deliveries.iter().all(done);
            let gone = shed.contains_key(id) || read_by_all || self.hit.contains(id);
            assert!(here.contains(id) || gone, "{id} is missing");
            assert!(!(here.contains(id) && shed.contains_key(id)) || tainted, "{id} was shed and is there");
        }
        let known = BTreeSet::from_iter(self.log.iter().copied());
        assert!(here.is_subset(&known) || tainted, "{here:?} is not all of {known:?}");
    }
}
