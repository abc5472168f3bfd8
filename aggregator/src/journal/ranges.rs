//! A set of sequence numbers, kept as ranges: frames come nearly in order, so there are few. An agent that leaves holes
//! on purpose makes the lowest ones be forgotten, at [`MAX_RANGES`].

use std::collections::BTreeMap;

use ao_proto::limits::MAX_RANGES;

/// Ranges with both ends included, none touching another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds a number; false where it was there.
    pub fn insert(&mut self, n: u64) -> bool {
        let before = self.0.range(..=n).next_back().map(|(&first, &last)| (first, last));
        if before.is_some_and(|(_, last)| last >= n) {
            return false;
        }
        let first = match before {
            Some((first, last)) if last.checked_add(1) == Some(n) => first,
            _ => n,
        };
        let last = n.checked_add(1).and_then(|next| self.0.remove(&next)).unwrap_or(n);
        self.put(first, last);
        true
    }

    /// Adds a whole range.
    pub fn insert_range(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first, last.max(first));
        let touching: Vec<(u64, u64)> = self
            .0
            .range(..=last.saturating_add(1))
            .rev()
            .take_while(|(_, end)| end.saturating_add(1) >= first)
            .map(|(&first, &last)| (first, last))
            .collect();
        for (start, end) in touching {
            self.0.remove(&start);
            first = first.min(start);
            last = last.max(end);
        }
        self.put(first, last);
    }

    fn put(&mut self, first: u64, last: u64) {
        self.0.insert(first, last);
        if self.0.len() > MAX_RANGES {
            self.0.pop_first();
        }
    }

    /// Whether the number is in it.
    pub fn contains(&self, n: u64) -> bool {
        self.0.range(..=n).next_back().is_some_and(|(_, &last)| last >= n)
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|(&first, &last)| (first, last))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Scenario: any numbers and ranges, in any order.
        /// Guarantees: the same answers as a plain set, and no two ranges touch.
        #[test]
        fn same_as_a_plain_set(adds in prop::collection::vec((0u64..200, 0u64..5, any::<bool>()), 0..100)) {
            let (mut ranges, mut plain) = (Ranges::default(), BTreeSet::new());
            for (first, more, single) in adds {
                if single {
                    prop_assert_eq!(ranges.insert(first), plain.insert(first));
                } else {
                    ranges.insert_range(first, first + more);
                    plain.extend(first..=first + more);
                }
            }
            for n in 0..210 {
                prop_assert_eq!(ranges.contains(n), plain.contains(&n), "{}", n);
            }
            let list: Vec<_> = ranges.iter().collect();
            prop_assert!(list.windows(2).all(|w| w[0].1 + 1 < w[1].0));
        }
    }

    /// Scenario: every other number, a million times.
    /// Guarantees: the newest are known, and no more than the limit.
    #[test]
    fn bounded() {
        let mut ranges = Ranges::default();
        assert!((0..1_000_000).all(|n| ranges.insert(2 * n)));
        assert_eq!(ranges.iter().count(), MAX_RANGES);
        assert!(ranges.contains(1_999_998) && !ranges.contains(0));
    }

    /// Scenario: the ends of the number space.
    /// Guarantees: no overflow.
    #[test]
    fn ends() {
        let mut ranges = Ranges::default();
        assert!(ranges.insert(u64::MAX) && ranges.insert(0) && !ranges.insert(u64::MAX));
        ranges.insert_range(u64::MAX - 3, u64::MAX);
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(0, 0), (u64::MAX - 3, u64::MAX)]);
    }
}
