//! Who waits for room, first come first served: pings while the prober's queues are full, questions and lookups while too
//! many are under way. Asking again every few milliseconds instead would take the time of those that have room.

use std::collections::{HashSet, VecDeque};

/// Targets by number, each once.
#[derive(Debug, Default)]
pub(super) struct Line {
    order: VecDeque<u64>,
    inside: HashSet<u64>,
}

impl Line {
    /// Puts one at the end; false when it is waiting already.
    pub(super) fn join(&mut self, id: u64) -> bool {
        let new = self.inside.insert(id);
        if new {
            self.order.push_back(id);
        }
        new
    }

    /// Takes the first one.
    pub(super) fn next(&mut self) -> Option<u64> {
        let id = self.order.pop_front()?;
        self.inside.remove(&id);
        Some(id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: three join, one of them twice, and again once its turn has been.
    /// Guarantees: each is there once, in the order of joining.
    #[test]
    fn in_turn() {
        let mut line = Line::default();
        assert_eq!([7, 8, 7, 9].map(|id| line.join(id)), [true, true, false, true]);
        assert_eq!(line.next(), Some(7));
        assert!(line.join(7));
        assert_eq!([(); 4].map(|()| line.next()), [Some(8), Some(9), Some(7), None]);
        assert!(line.is_empty());
    }
}
