//! How many recordings there may be: a network that flaps shall not fill the stores with what each flap looks like.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3600);

/// What is recorded: the way to an address, or how names are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum What {
    Way(IpAddr),
    Names,
}

/// The recordings of the last hour.
#[derive(Debug)]
pub(super) struct Limits {
    per_way: usize,
    per_node: usize,
    newest: VecDeque<(Instant, What)>,
}

impl Limits {
    pub(super) fn new(per_way: u32, per_node: u32) -> Self {
        Self { per_way: per_way as usize, per_node: per_node as usize, newest: VecDeque::new() }
    }

    /// Whether one more may begin; then it counts.
    pub(super) fn allow(&mut self, what: What, now: Instant) -> bool {
        while self.newest.pop_front_if(|(at, _)| now.duration_since(*at) >= HOUR).is_some() {}
        let same = self.newest.iter().filter(|(_, one)| *one == what).count();
        let allowed = same < self.per_way && self.newest.len() < self.per_node;
        if allowed {
            self.newest.push_back((now, what));
        }
        allowed
    }

    /// Those that have begun.
    #[cfg(test)]
    pub(super) fn begun(&self) -> usize {
        self.newest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a way that flaps each minute for three hours, beside it a quiet one; many ways at once.
    /// Guarantees: in no hour more than are allowed, of one way and of all; the quiet one is not held up by the other.
    #[test]
    fn in_an_hour() {
        let start = Instant::now();
        let way = |last| What::Way(IpAddr::from([10, 0, 0, last]));
        let mut limits = Limits::new(4, 20);
        let mut begun = Vec::new();
        for minute in 0..180 {
            let now = start + Duration::from_secs(60 * minute);
            if limits.allow(way(1), now) {
                begun.push(minute);
            }
            if minute == 100 {
                assert!(limits.allow(way(2), now) && limits.allow(What::Names, now));
            }
        }
        assert_eq!(begun, [0, 1, 2, 3, 60, 61, 62, 63, 120, 121, 122, 123]);
        let now = start + Duration::from_secs(100 * 3600);
        assert_eq!((0..100).filter(|last| limits.allow(way(*last), now)).count(), 20);
        assert!(!Limits::new(0, 9).allow(What::Names, now));
    }
}
