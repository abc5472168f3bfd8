//! Which path is the accepted one, and when it has changed.
//!
//! A hop differs when it is known now, was known before, and nobody who answered there now is the one from before. A
//! silent hop never differs. Only a hop that differs in several rounds in a row makes a change: routers answer with
//! other addresses for a while, and routing converges.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// The hops of a path by TTL from 1; `None` for those that are not known.
pub(super) type Hops = Vec<Option<IpAddr>>;

/// The accepted path of one target, and what speaks against it.
#[derive(Clone, Debug, Default)]
pub(super) struct Route {
    hops: Hops,
    /// Rounds in a row in which the hop was another one.
    differs: Vec<u32>,
    /// TTL of the target, once it has been reached: what is seen beyond it is no hop of this path.
    length: Option<usize>,
}

/// A change of path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// "length" when the target is nearer or farther than before, else "route".
    pub(super) kind: &'static str,
    pub(super) before: Hops,
    pub(super) after: Hops,
}

/// What one round has shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    /// By TTL from 1: all who answered there.
    pub(super) hops: Vec<BTreeSet<IpAddr>>,
    /// TTL of the target, where it was reached.
    pub(super) length: Option<usize>,
}

impl Route {
    /// The accepted path.
    #[cfg(test)]
    pub(super) fn hops(&self) -> &[Option<IpAddr>] {
        &self.hops
    }

    /// Compares a round with the accepted path; gives the change that it completes.
    pub(super) fn take(&mut self, sight: &Sight, hysteresis: u32) -> Option<Change> {
        let mut changed = false;
        for (at, now) in sight.hops.iter().enumerate().take(self.length.unwrap_or(usize::MAX)) {
            if at >= self.hops.len() {
                self.hops.push(None);
                self.differs.push(0);
            }
            let Some(first) = now.first() else { continue };
            match self.hops[at] {
                // Not known before: learned, not changed.
                None => self.hops[at] = Some(*first),
                Some(before) if now.contains(&before) => self.differs[at] = 0,
                Some(_) => {
                    self.differs[at] += 1;
                    changed |= self.differs[at] >= hysteresis.max(1);
                }
            }
        }
        if !changed {
            self.length = self.length.or(sight.length);
            return None;
        }
        let before = std::mem::take(&mut self.hops);
        let after: Hops = sight.hops.iter().map(|now| now.first().copied()).collect();
        let kind = match (self.length, sight.length) {
            (Some(before), Some(after)) if before != after => "length",
            _ => "route",
        };
        self.hops.clone_from(&after);
        self.differs = vec![0; after.len()];
        self.length = sight.length;
        Some(Change { kind, before, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hops as letters, `?` unknown; an upper-case one is the target.
    fn sight(text: &str) -> Sight {
        let hops = text.bytes().map(|b| match b {
            b'?' => BTreeSet::new(),
            b => BTreeSet::from([IpAddr::from([10, 0, 0, b])]),
        });
        let length = text.bytes().position(|b| b.is_ascii_uppercase()).map(|at| at + 1);
        Sight { hops: hops.collect(), length }
    }

    fn text(hops: &[Option<IpAddr>]) -> String {
        let letter = |hop: &Option<IpAddr>| match hop {
            Some(IpAddr::V4(v4)) => char::from(v4.octets()[3]),
            _ => '?',
        };
        hops.iter().map(letter).collect()
    }

    /// Runs rounds; gives the changes as "round kind before after" and the path at the end.
    fn run(rounds: &[&str]) -> (Vec<String>, String) {
        let mut route = Route::default();
        let mut changes = Vec::new();
        for (n, round) in rounds.iter().enumerate() {
            if let Some(change) = route.take(&sight(round), 3) {
                changes.push(format!("{n} {} {} {}", change.kind, text(&change.before), text(&change.after)));
            }
        }
        (changes, text(route.hops()))
    }

    /// Scenario: rounds of a path: steady, silent hops, a short flap, a real change, a longer and a shorter path.
    /// Guarantees: a change only when the same known hop differs in three rounds in a row.
    #[test]
    fn changes() {
        let none: &[&str] = &[];
        let cases: [(&[&str], &[&str], &str); 8] = [
            (&["abT", "abT", "abT", "abT"], none, "abT"),
            (&["abT", "a?T", "???", "a", "abT"], none, "abT"),
            (&["a?T", "a?T", "abT", "abT"], none, "abT"),
            (&["abT", "acT", "acT", "abT", "acT", "acT"], none, "abT"),
            (&["abT", "acT", "a?T", "acT", "acT", "acT"], &["4 route abT acT"], "acT"),
            (&["abT", "abcT", "abcT", "abcT"], &["3 length abT abcT"], "abcT"),
            (&["abT", "aT", "aT", "aT", "aT"], &["3 length abT aT"], "aT"),
            (
                &["abT", "acT", "acT", "acT", "abT", "abT", "abT"],
                &["3 route abT acT", "6 route acT abT"],
                "abT",
            ),
        ];
        for (rounds, changes, end) in cases {
            let (found, path) = run(rounds);
            assert_eq!(
                (found.iter().map(String::as_str).collect::<Vec<_>>(), path.as_str()),
                (changes.to_vec(), end),
                "{rounds:?}"
            );
        }
    }

    /// Scenario: a hop at which two routers answer in turn, one of them the known one.
    /// Guarantees: no change.
    #[test]
    fn several_answer() {
        let mut route = Route::default();
        route.take(&sight("aT"), 3);
        let mut both = sight("bT");
        both.hops[0].insert(IpAddr::from([10, 0, 0, b'a']));
        for _ in 0..5 {
            assert_eq!(route.take(&both, 3), None);
        }
    }
}
