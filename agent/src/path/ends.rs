//! At which distances the target answers, and when that has changed. No I/O.
//!
//! A pass that gets no answer at the target's own distance asks farther on, and the target answers there, too: one lost
//! packet looks like a longer path behind a silent hop. So an end behind silence is believed only where the chance of as
//! many losses would be small.

use std::collections::BTreeSet;

use super::sight::Sight;

/// A change of length is no loss when the chance of that is less than this.
const CHANCE: f64 = 1e-6;

/// Sights counted for the share of losses before older ones count half.
const MUCH: u32 = 4096;

/// The accepted distances, from 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    known: BTreeSet<usize>,
    /// Sights that met the target at one of them, and those that met it elsewhere.
    met: u32,
    missed: u32,
    /// Rounds in a row, and the sights in them, that met it elsewhere only.
    strange: u32,
    sights: u32,
}

impl Ends {
    /// The farthest.
    pub(super) fn last(&self) -> Option<usize> {
        self.known.last().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// From the nearest on.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.known.iter().copied()
    }

    /// Forgets those that are farther.
    pub(super) fn cut(&mut self, last: usize) {
        self.known.retain(|end| *end <= last);
    }

    pub(super) fn contains(&self, length: usize) -> bool {
        self.known.contains(&length)
    }

    /// Whether rounds speak against them.
    pub(super) fn is_pending(&self) -> bool {
        self.strange > 0
    }

    /// Whether what one flow met asks for a look by all.
    pub(super) fn suspects(&self, sight: &Sight) -> bool {
        !self.is_empty() && sight.length.is_some_and(|length| !self.contains(length))
    }

    /// Whether the target answers elsewhere only.
    pub(super) fn is_disjoint(&self, ends: &BTreeSet<usize>) -> bool {
        !ends.is_empty() && !self.is_empty() && self.known.is_disjoint(ends)
    }

    /// Compares a round; true where rounds have spoken against them for long enough that it is no chance.
    pub(super) fn take(&mut self, sights: &[Sight], hysteresis: u32) -> bool {
        let ends: BTreeSet<usize> = sights.iter().filter_map(|sight| sight.length).collect();
        let reached = sights.iter().filter(|sight| sight.length.is_some()).count() as u32;
        if self.is_disjoint(&ends) {
            self.strange = self.strange.saturating_add(1);
            self.sights = self.sights.saturating_add(reached);
            let sights = i32::try_from(self.sights).unwrap_or(i32::MAX);
            return self.strange >= hysteresis.max(1) && self.share().powi(sights) < CHANCE;
        }
        if !ends.is_empty() && !self.is_empty() {
            let missed = sights.iter().filter(|sight| self.suspects(sight)).count() as u32;
            if self.met + self.missed > MUCH {
                (self.met, self.missed) = (self.met / 2, self.missed / 2);
            }
            (self.met, self.missed) = (self.met + reached - missed, self.missed + missed);
        }
        (self.strange, self.sights) = (0, 0);
        false
    }

    /// How often the target was missed where it is.
    fn share(&self) -> f64 {
        (f64::from(self.missed) + 0.5) / (f64::from(self.met + self.missed) + 1.0)
    }

    /// Adds the ends of branches of other lengths: those of flows that met a router wherever the target is known to be.
    pub(super) fn learn(&mut self, sights: &[Sight]) {
        let silent = |sight: &Sight, at: usize| sight.hops.get(at - 1).is_none_or(BTreeSet::is_empty);
        let believed = |sight: &&Sight| {
            sight
                .length
                .is_some_and(|length| self.known.iter().all(|end| *end >= length || !silent(sight, *end)))
        };
        let ends: Vec<usize> = sights.iter().filter(believed).filter_map(|sight| sight.length).collect();
        self.known.extend(ends);
    }

    /// Makes them be those.
    pub(super) fn replace(&mut self, ends: BTreeSet<usize>) {
        *self = Self { known: ends, ..Self::default() };
    }
}
