//! The rounds that alerts look at: loss in percent and median in seconds, the newest last.

use std::collections::VecDeque;

/// One figure of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// Before the first round: `S`.
    Start,
    /// All pings were lost, so that there is no median: `U`.
    Unknown,
    /// Percent, or seconds.
    Is(f64),
}

impl Value {
    /// Where it is a number.
    pub(super) fn number(self) -> Option<f64> {
        match self {
            Self::Is(value) => Some(value),
            _ => None,
        }
    }
}

/// The last rounds of a target.
#[derive(Clone, Debug)]
pub struct History {
    rounds: VecDeque<(Value, Value)>,
    most: usize,
}

impl History {
    /// Begins with the start and keeps `most` rounds.
    pub fn new(most: usize) -> Self {
        Self { rounds: VecDeque::from([(Value::Start, Value::Start)]), most: most.max(1) }
    }

    /// Adds a round: its loss in percent, its median in seconds where there is one.
    pub fn push(&mut self, loss: f64, median: Option<f64>) {
        self.rounds.push_back((Value::Is(loss), median.map_or(Value::Unknown, Value::Is)));
        while self.rounds.len() > self.most {
            self.rounds.pop_front();
        }
    }

    /// Rounds, the start among them.
    pub(super) fn len(&self) -> usize {
        self.rounds.len()
    }

    /// Losses from the newest on backwards.
    pub(super) fn losses(&self) -> impl DoubleEndedIterator<Item = Value> + ExactSizeIterator {
        self.rounds.iter().rev().map(|(loss, _)| *loss)
    }

    /// Medians from the newest on backwards.
    pub(super) fn medians(&self) -> impl DoubleEndedIterator<Item = Value> + ExactSizeIterator {
        self.rounds.iter().rev().map(|(_, median)| *median)
    }
}
