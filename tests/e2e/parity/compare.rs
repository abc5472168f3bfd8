//! Series by series: whether it is ours too, of the same type, and whether its value lies between our two reads.

use std::collections::{BTreeMap, BTreeSet};

use ao_tests::exposition::Page;

use super::rules::slack;

/// What became of node_exporter's host series.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// There with type, labels and value.
    pub(super) matched: BTreeSet<String>,
    /// Not there, or not with these labels.
    pub(super) missing: BTreeSet<String>,
    /// There, with what is different.
    pub(super) differing: BTreeMap<String, String>,
}

impl Outcome {
    pub(super) fn total(&self) -> usize {
        self.matched.len() + self.missing.len() + self.differing.len()
    }

    /// A series that has differed and is there with its type and value now has matched.
    pub(super) fn look_again(&mut self, now: &Self) {
        for series in &now.matched {
            if self.differing.remove(series).is_some() {
                self.matched.insert(series.clone());
            }
        }
    }
}

/// Holds theirs against what we read before and behind it.
pub(super) fn compare(ours: [&Page; 2], theirs: &Page, counts: impl Fn(&str) -> bool) -> Outcome {
    let mut outcome = Outcome::default();
    for (series, value) in theirs.samples.iter().filter(|(series, _)| counts(series)) {
        let reads = ours.map(|page| page.samples.get(series).copied());
        let [Some(before), Some(after)] = reads else {
            outcome.missing.insert(series.clone());
            continue;
        };
        let (kind, our_kind) = (theirs.kind(series), ours[1].kind(series));
        if kind != our_kind {
            let why = format!("its type is {kind:?}, ours is {our_kind:?}");
            outcome.differing.insert(series.clone(), why);
        } else if !lies_between(*value, before, after, slack(series, kind)) {
            let why = format!("it is {value}, ours {before} before and {after} behind");
            outcome.differing.insert(series.clone(), why);
        } else {
            outcome.matched.insert(series.clone());
        }
    }
    outcome
}

fn lies_between(value: f64, before: f64, after: f64, slack: f64) -> bool {
    if value.is_nan() || before.is_nan() || after.is_nan() {
        return value.is_nan() && before.is_nan() && after.is_nan();
    }
    let (least, most) = (before.min(after), before.max(after));
    // Theirs divides where we multiply: the last digits of a float.
    let rounding = value.abs() * 1e-12;
    least - slack - rounding <= value && value <= most + slack + rounding
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Page {
        Page::read(text).unwrap()
    }

    /// Scenario: a counter between our reads, one that is ahead of both, a gauge that moved, another type, other
    /// labels, a series of theirs alone.
    /// Guarantees: only the first matches; a second look clears what moved, never what misses.
    #[test]
    fn each_series_is_judged() {
        let before = page("# TYPE c counter\nc 5\nd 5\ng{a=\"1\"} 1\nt 1\nn NaN\n");
        let after = page("# TYPE c counter\nc 9\nd 6\ng{a=\"1\"} 1\nt 1\nn NaN\n");
        let theirs =
            page("# TYPE c counter\nc 7\nd 8\n# TYPE t counter\nt 1\ng{a=\"2\"} 1\nx 1\nn NaN\nself 1\n");
        let mut outcome = compare([&before, &after], &theirs, |series| series != "self");
        assert_eq!(outcome.matched.iter().collect::<Vec<_>>(), ["c", "n"]);
        assert_eq!(outcome.missing.iter().collect::<Vec<_>>(), ["g{a=\"2\"}", "x"]);
        assert_eq!(outcome.differing.keys().collect::<Vec<_>>(), ["d", "t"]);
        assert_eq!(outcome.total(), 6);
        let later = page("# TYPE c counter\nc 9\nd 8\ng{a=\"2\"} 1\n");
        outcome.look_again(&compare([&after, &later], &theirs, |_| true));
        assert_eq!((outcome.differing.len(), outcome.missing.len(), outcome.total()), (1, 2, 6));
    }
}
