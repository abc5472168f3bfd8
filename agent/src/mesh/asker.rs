//! Asks peers, and matches their answers to what was asked. Time is told from outside.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::packet::Times;

/// Questions under way at most; those beyond it are put off.
const MOST: usize = 1 << 16;

/// What a question was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Round trip, clocks, delays.
    Echo,
    /// A source port, by its place.
    Port(usize),
    /// A size, as an IP packet.
    Size(u16),
}

/// A question under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) cell: u64,
    pub(super) purpose: Purpose,
    /// Boot time.
    pub(super) sent_ns: i64,
}

/// All questions under way.
#[derive(Debug, Default)]
pub(super) struct Asker {
    waiting: HashMap<u64, Asked>,
    /// In the order of their sending; answered ones stay in it until their time is over.
    order: VecDeque<(i64, u64)>,
}

impl Asker {
    /// A token for a question, which from now on is under way; `None` while there are too many.
    pub(super) fn ask(&mut self, asked: Asked) -> Option<u64> {
        if self.order.len() >= MOST {
            return None;
        }
        let token = rand::random();
        self.waiting.insert(token, asked);
        self.order.push_back((asked.sent_ns, token));
        Some(token)
    }

    /// It has not left.
    pub(super) fn unsent(&mut self, token: u64) {
        self.waiting.remove(&token);
    }

    /// The question to an answer; `None` for a second answer, a late one, and nonsense. A token is known to nobody but the
    /// peer; which of its addresses it answers from is its own affair.
    pub(super) fn answered(&mut self, token: u64, times: &Times) -> Option<Asked> {
        (times.received_ns <= times.answered_ns).then_some(())?;
        self.waiting.remove(&token)
    }

    /// Questions that have waited for too long.
    pub(super) fn expired(&mut self, now_ns: i64, timeout: Duration) -> Vec<Asked> {
        let timeout_ns = i64::try_from(timeout.as_nanos()).unwrap_or(i64::MAX);
        let mut expired = Vec::new();
        while let Some((_, token)) = self.order.pop_front_if(|(sent_ns, _)| now_ns - *sent_ns >= timeout_ns) {
            expired.extend(self.waiting.remove(&token));
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: answers that are right, to nothing asked, doubled, late, out of their order, and none.
    /// Guarantees: each question ends once, answered or expired; nobody else's answer ends it; there is a limit.
    #[test]
    fn one_end_for_each() {
        let times = Times { received_ns: 1, answered_ns: 2, anchor_ns: 0 };
        let asked = |cell| Asked { cell, purpose: Purpose::Echo, sent_ns: cell as i64 };
        let mut asker = Asker::default();
        let tokens: Vec<u64> = (0..4).map(|cell| asker.ask(asked(cell)).expect("room")).collect();
        assert!(asker.answered(tokens[0] ^ 1, &times).is_none());
        assert!(asker.answered(tokens[0], &Times { received_ns: 3, ..times }).is_none());
        assert!(asker.answered(tokens[0], &times).is_some_and(|asked| asked.cell == 0));
        assert!(asker.answered(tokens[0], &times).is_none());
        asker.unsent(tokens[1]);
        let ends: Vec<u64> =
            asker.expired(2 + 9, Duration::from_nanos(9)).iter().map(|asked| asked.cell).collect();
        assert_eq!(ends, [2]);
        assert!(asker.answered(tokens[2], &times).is_none());
        assert_eq!(asker.expired(100, Duration::from_nanos(9)).len(), 1);
        assert_eq!((0..2 * MOST).filter(|_| asker.ask(asked(7)).is_some()).count(), MOST);
    }
}
