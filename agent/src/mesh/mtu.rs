//! The largest packet that gets through to a peer: a search that knows of no network.
//!
//! A router that drops what is too large ought to say so and often does not (RFC 4821), so sizes are tried: a size holds
//! when an echo of it came back, and fails when several did not though small ones do: more of them, the more of the small
//! ones are lost. What was found is tried again later, and one byte more.

/// Every IPv4 path takes it (RFC 1122), and IPv6 links take more.
const LEAST: u16 = 576;
/// Beyond jumbo frames nobody goes.
const MOST: u16 = 9216;
/// What most links take.
const USUAL: u16 = 1500;
/// How likely it may be that a size fails by chance: one peer's is looked at some thousand times in a week.
const CHANCE: f64 = 1e-5;
/// The least share that is taken to be lost: three questions must stay unanswered at least.
const LOSS: f64 = 0.02;

/// A search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Search {
    /// The largest known to get through.
    holds: u16,
    /// The smallest known not to.
    fails: u16,
    /// How likely it is that all questions of the current size without an answer were lost by chance.
    by_chance: f64,
    found: Option<u16>,
}

impl Default for Search {
    fn default() -> Self {
        Self { holds: LEAST, fails: MOST + 1, by_chance: 1.0, found: None }
    }
}

impl Search {
    /// The size of the next question, as an IP packet; `None` once it is found.
    pub(super) fn size(&self) -> Option<u16> {
        let hints = self.found.into_iter().chain([USUAL]).flat_map(|size| [size, size + 1]);
        let open = self.holds + 1..self.fails;
        let middle = (!open.is_empty()).then(|| open.start.midpoint(open.end));
        hints.into_iter().find(|hint| open.contains(hint)).or(middle)
    }

    /// What was found so far.
    pub(super) fn found(&self) -> Option<u16> {
        self.found
    }

    /// An echo of this size came back. Where that ended the search: the size before, if any, and the one found.
    pub(super) fn came(&mut self, size: u16) -> Option<(Option<u16>, u16)> {
        self.by_chance = 1.0;
        self.holds = self.holds.max(size.min(MOST));
        self.fails = self.fails.max(self.holds + 1);
        self.ended()
    }

    /// None came in time, while small ones do but for this share.
    pub(super) fn missed(&mut self, size: u16, loss: f64) -> Option<(Option<u16>, u16)> {
        if self.size() != Some(size) {
            // Asked before the search went on.
            return None;
        }
        self.by_chance *= loss.clamp(LOSS, 1.0);
        if self.by_chance <= CHANCE { self.refused(size) } else { None }
    }

    /// It cannot even leave this machine.
    pub(super) fn refused(&mut self, size: u16) -> Option<(Option<u16>, u16)> {
        self.by_chance = 1.0;
        self.fails = self.fails.min(size.max(LEAST + 1));
        self.holds = self.holds.min(self.fails - 1);
        self.ended()
    }

    /// Looks again.
    pub(super) fn again(&mut self) {
        *self = Self { found: self.found, ..Self::default() };
    }

    fn ended(&mut self) -> Option<(Option<u16>, u16)> {
        let ended = self.size().is_none() && self.found != Some(self.holds);
        ended.then(|| (self.found.replace(self.holds), self.holds))
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Goes on until the search ends; questions that it took, and what it says.
    fn search(search: &mut Search, path: u16, interface: u16) -> (usize, Option<(Option<u16>, u16)>) {
        let (mut asked, mut said) = (0, None);
        while let Some(size) = search.size() {
            asked += 1;
            said = match size {
                size if size > interface => search.refused(size),
                size if size > path => search.missed(size, 0.0),
                size => search.came(size),
            };
        }
        (asked, said)
    }

    /// Scenario: paths of many sizes, behind interfaces that take as much or more.
    /// Guarantees: exactly the path's size is found, by few questions; the usual one by four.
    #[test]
    fn every_size() {
        for path in (LEAST..=MOST).step_by(7).chain([LEAST, MOST, USUAL - 1, USUAL, USUAL + 1]) {
            for interface in [path, path.max(USUAL), MOST] {
                let mut one = Search::default();
                let (asked, said) = search(&mut one, path, interface);
                assert_eq!((said, one.found()), (Some((None, path)), Some(path)));
                assert!(asked <= 3 * 14, "{path} took {asked}");
            }
        }
        assert_eq!(search(&mut Search::default(), USUAL, MOST).0, 4);
    }

    /// Scenario: it is looked at again: nothing has changed, a tunnel came in between, a wider path.
    /// Guarantees: four questions where it is as it was, and nothing is said; else the new size is found, and both are said.
    #[test]
    fn changes() {
        let mut one = Search::default();
        search(&mut one, 1500, 1500);
        for (path, said) in
            [(1500, None), (1450, Some((Some(1500), 1450))), (9000, Some((Some(1450), 9000))), (9000, None)]
        {
            one.again();
            let (asked, says) = search(&mut one, path, 9000);
            assert_eq!((says, one.found()), (said, Some(path)));
            assert!(said.is_some() || asked <= 4, "{asked}");
        }
    }

    /// Scenario: a path that takes the usual size and loses a third, or half, of all packets, looked at a thousand times;
    /// a tunnel comes in between.
    /// Guarantees: the size does not change by chance more than once or twice; it does for the tunnel.
    #[test]
    fn loss_is_no_size() {
        for loss in [0.05, 0.33, 0.5] {
            let mut random = StdRng::seed_from_u64(5);
            let mut one = Search::default();
            let mut run = |path: u16| {
                one.again();
                while let Some(size) = one.size() {
                    let comes = size <= path && !random.random_bool(loss);
                    if comes {
                        one.came(size)
                    } else {
                        one.missed(size, loss)
                    };
                }
                one.found()
            };
            let wrong = (0..1000).filter(|_| run(USUAL) != Some(USUAL)).count();
            assert!(wrong <= 2, "{wrong} of a thousand at {loss}");
            assert_eq!(run(1450), Some(1450));
        }
    }
}
