//! The queues: one per class and lane, each with its own journal log, sequence, cursors and acknowledgements, at both
//! ends. Their order is that of their worth: the last is shed first, so that a class's backlog goes before what is
//! fresh in it, and debug logs go before all else.

use crate::v1::Class;

/// How fresh data is, decided when it is read: what the fresh queue has no room for, since the aggregator is away or does
/// not take it in time, goes to the backlog, so that it never stands before what is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Sent as it is read.
    Fresh,
    /// Drained beside the fresh lane, at a bounded share.
    Backlog,
}

/// One class in one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Queue {
    /// See [`Class`].
    pub class: Class,
    /// See [`Lane`].
    pub lane: Lane,
}

/// A queue's place in this list is its number in the journals of both ends.
pub const QUEUES: [Queue; 8] = {
    const fn queue(class: Class, lane: Lane) -> Queue {
        Queue { class, lane }
    }
    [
        queue(Class::Metrics, Lane::Fresh),
        queue(Class::Metrics, Lane::Backlog),
        queue(Class::Spans, Lane::Fresh),
        queue(Class::Spans, Lane::Backlog),
        queue(Class::Logs, Lane::Fresh),
        queue(Class::Logs, Lane::Backlog),
        queue(Class::LogsLow, Lane::Fresh),
        queue(Class::LogsLow, Lane::Backlog),
    ]
};

/// The place of a header's class and lane; `None` for one that this build does not know.
pub fn number(class: i32, lane: u32) -> Option<usize> {
    QUEUES.iter().position(|queue| i32::from(queue.class) == class && queue.lane.number() == lane)
}

impl Lane {
    /// Both, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Fresh, Self::Backlog];

    /// As in `FrameHeader` and `Hello`.
    pub const fn number(self) -> u32 {
        match self {
            Self::Fresh => 0,
            Self::Backlog => 1,
        }
    }

    /// In metrics and the console.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Backlog => "backlog",
        }
    }
}

impl Queue {
    /// In folders.
    pub const fn name(self) -> &'static str {
        match (self.class, self.lane) {
            (Class::Metrics, Lane::Fresh) => "metrics",
            (Class::Metrics, Lane::Backlog) => "metrics_backlog",
            (Class::Spans, Lane::Fresh) => "spans",
            (Class::Spans, Lane::Backlog) => "spans_backlog",
            (Class::Logs, Lane::Fresh) => "logs",
            (Class::Logs, Lane::Backlog) => "logs_backlog",
            (Class::LogsLow, Lane::Fresh) => "logs_low",
            (Class::LogsLow, Lane::Backlog) => "logs_low_backlog",
            (Class::Unspecified, _) => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Scenario: every queue is looked up by what its frames carry.
    /// Guarantees: it is found at its place, its folder is its own; what is unknown is found nowhere.
    #[test]
    fn each_has_its_place_and_its_folder() {
        for (place, queue) in QUEUES.iter().enumerate() {
            assert_eq!(number(queue.class.into(), queue.lane.number()), Some(place));
        }
        assert_eq!(QUEUES.iter().map(|queue| queue.name()).collect::<HashSet<_>>().len(), QUEUES.len());
        assert_eq!((number(0, 0), number(9, 0), number(1, 2)), (None, None, None));
    }
}
