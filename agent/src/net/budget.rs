//! How often a router may be made to answer, and what it has answered of late.
//!
//! A Linux router sends one "time exceeded" a second to a source, after a burst of six (icmp_ratelimit); asked more
//! often, it shows loss that is none. All paths of a node share its first hops, so these have one budget for all, and one
//! answer serves all who would have to wait: what a router says of itself is the same whoever asks (the stop set of
//! Doubletree, Donnet et al. 2005). Such an answer shows nothing of the way of the path that did not ask.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Time between two probes that expire at one router.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Up to this TTL the hop is taken to be the same router for all targets.
const NEAR: u8 = 3;

/// How long a probe waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For its turn, rather than share an answer.
    turn: Duration,
    /// Where there is no answer to share.
    most: Duration,
}

/// Where rounds have time.
pub(crate) const PATIENCE: Patience = Patience { turn: Duration::from_secs(1), most: Duration::from_secs(5) };

/// Where somebody looks on: figures are of this path's own probes alone.
pub(crate) const HURRY: Patience =
    Patience { turn: Duration::from_millis(100), most: Duration::from_millis(100) };

/// Where few walk at once and each wants its own answers: they take turns.
pub(crate) const TURNS: Patience =
    Patience { turn: Duration::from_millis(2200), most: Duration::from_millis(2200) };

/// How old a shared answer may be.
const FRESH: Duration = Duration::from_secs(30);

/// Entries kept before those of the past are swept out.
const SWEEP: usize = 4096;

/// Who is asked: a router, or whoever answers there for targets that are near each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    /// Answers without a limit.
    Free,
    Near {
        v6: bool,
        ttl: u8,
    },
    Far {
        net: IpAddr,
        ttl: u8,
    },
    Router(IpAddr),
}

/// What a probe may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// Ask to start at that time.
    At(Instant, Asked),
    /// Stay: this router answered another one that fast, or not at all.
    Shared { from: IpAddr, rtt: Option<Duration> },
    /// Stay: it would have to wait for too long.
    Spent,
}

/// When each router may be asked again.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    free_at: HashMap<Asked, Instant>,
    /// When a probe really left: whoever was not running in time must not make two at once of two that were apart.
    started: HashMap<Asked, Instant>,
    /// Who answered there last, for targets that do not know yet.
    who: HashMap<Asked, IpAddr>,
    /// What became of the newest probe to each router.
    answers: HashMap<IpAddr, (Instant, Option<Duration>)>,
}

impl Budget {
    /// Reserves a probe to `dest` at `ttl`, where `known` is who answered there last. An echo reply is not rate-limited:
    /// `free_end` says that the destination answers with such.
    pub(crate) fn reserve(
        &mut self,
        dest: IpAddr,
        ttl: u8,
        known: Option<IpAddr>,
        free_end: bool,
        patience: Patience,
        now: Instant,
    ) -> Grant {
        let asked = match known {
            Some(known) if known == dest && free_end => return Grant::At(now, Asked::Free),
            Some(router) => Asked::Router(router),
            None => {
                let place = place(dest, ttl);
                self.who.get(&place).map_or(place, |router| Asked::Router(*router))
            }
        };
        self.sweep(now);
        let at = self.free_at.get(&asked).copied().unwrap_or(now).max(now);
        if at > now + patience.turn
            && patience.turn < patience.most
            && let Some(from) = known
            && let Some((heard, rtt)) = self.answers.get(&from)
            && now.duration_since(*heard) <= FRESH
        {
            return Grant::Shared { from, rtt: *rtt };
        }
        if at > now + patience.most {
            return Grant::Spent;
        }
        self.free_at.insert(asked, at + PAUSE);
        Grant::At(at, asked)
    }

    /// A probe that was granted is about to leave; gives the time until which it must wait where another one left late.
    pub(crate) fn start(&mut self, asked: Asked, now: Instant) -> Result<(), Instant> {
        if asked == Asked::Free {
            return Ok(());
        }
        let ready = self.started.get(&asked).map_or(now, |before| *before + PAUSE);
        if ready > now {
            return Err(ready);
        }
        self.started.insert(asked, now);
        let free_at = self.free_at.entry(asked).or_insert(now);
        *free_at = (*free_at).max(now + PAUSE);
        Ok(())
    }

    /// A router has answered a probe to `dest` at `ttl`, whoever had been expected there.
    pub(crate) fn answered(&mut self, (dest, ttl): (IpAddr, u8), from: IpAddr, rtt: Duration, now: Instant) {
        self.answers.insert(from, (now, Some(rtt)));
        self.who.insert(place(dest, ttl), from);
        let sent = now.checked_sub(rtt).unwrap_or(now);
        let started = self.started.entry(Asked::Router(from)).or_insert(sent);
        *started = sent.max(*started);
        let asked = sent + PAUSE;
        let free_at = self.free_at.entry(Asked::Router(from)).or_insert(asked);
        *free_at = asked.max(*free_at);
    }

    /// A router has not answered a probe. Who shares its answers shares that, too: else loss would show at none but the
    /// few that ask.
    pub(crate) fn silent(&mut self, router: IpAddr, now: Instant) {
        if let Some(answer) = self.answers.get_mut(&router) {
            *answer = (now, None);
        }
    }

    fn sweep(&mut self, now: Instant) {
        if self.free_at.len() >= SWEEP {
            self.free_at.retain(|_, at| *at > now);
        }
        if self.started.len() >= SWEEP {
            self.started.retain(|_, at| *at + PAUSE > now);
        }
        if self.who.len() >= SWEEP {
            self.who.clear();
        }
        if self.answers.len() >= SWEEP {
            self.answers.retain(|_, (heard, _)| now.duration_since(*heard) <= FRESH);
        }
    }
}

/// Where nobody is known: near hops are one router for all targets, far ones for neighbours.
fn place(dest: IpAddr, ttl: u8) -> Asked {
    if ttl <= NEAR { Asked::Near { v6: dest.is_ipv6(), ttl } } else { Asked::Far { net: network(dest), ttl } }
}

/// Paths to neighbours are the same up to the end, mostly.
fn network(dest: IpAddr) -> IpAddr {
    match dest {
        IpAddr::V4(v4) => IpAddr::from((u32::from(v4) & 0xffff_ff00).to_be_bytes()),
        IpAddr::V6(v6) => IpAddr::from((u128::from(v6) >> 64 << 64).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(grant: Grant, now: Instant) -> Option<u64> {
        match grant {
            Grant::At(at, _) => Some((at - now).as_secs()),
            _ => None,
        }
    }

    /// Scenario: ten paths ask at once: a first hop and a far one that nobody knows, a known router, the targets.
    /// Guarantees: a second between two probes to one router, none beyond the patience; targets are not held up, but
    /// where they answer by errors.
    #[test]
    fn one_a_second() {
        let now = Instant::now();
        let mut budget = Budget::default();
        let router = IpAddr::from([10, 0, 0, 9]);
        let mut granted = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        for n in 0..10 {
            let dest = IpAddr::from([192, 0, 2, n]);
            let asks = [(1, None), (7, None), (5, Some(router)), (8, Some(dest))];
            for (list, (ttl, known)) in granted.iter_mut().zip(asks) {
                list.extend(seconds(budget.reserve(dest, ttl, known, true, PATIENCE, now), now));
            }
        }
        let paced: Vec<u64> = (0..=5).collect();
        assert_eq!(granted, [paced.clone(), paced.clone(), paced.clone(), vec![0; 10]]);
        let dest = IpAddr::from([192, 0, 2, 77]);
        let ends: Vec<_> = (0..3)
            .filter_map(|_| seconds(budget.reserve(dest, 8, Some(dest), false, PATIENCE, now), now))
            .collect();
        assert_eq!(ends, [0, 1, 2]);
    }

    /// Scenario: a router has answered; two ask it, then many more within the second, and again a minute later.
    /// Guarantees: whoever would have to wait longer than for its turn is given the answer, or that there was none, while
    /// it is fresh; a router that answers where another one was expected has spent its budget, too.
    #[test]
    fn shared() {
        let now = Instant::now();
        let mut budget = Budget::default();
        let (router, dest) = (IpAddr::from([10, 0, 0, 9]), IpAddr::from([192, 0, 2, 1]));
        let rtt = Duration::from_millis(3);
        assert_eq!(seconds(budget.reserve(dest, 1, None, true, PATIENCE, now), now), Some(0));
        budget.answered((dest, 1), router, rtt, now + rtt);
        let mut ask = |now| budget.reserve(dest, 1, Some(router), true, PATIENCE, now);
        assert_eq!(ask(now), Grant::At(now + PAUSE, Asked::Router(router)));
        let shared = |rtt| Grant::Shared { from: router, rtt };
        assert_eq!(ask(now), shared(Some(rtt)));
        assert_eq!(ask(now), shared(Some(rtt)));
        budget.silent(router, now);
        let mut ask = |now| budget.reserve(dest, 1, Some(router), true, PATIENCE, now);
        assert_eq!(ask(now), shared(None));
        let later = now + Duration::from_secs(60);
        assert_eq!(
            [ask(later), ask(later), ask(later)].map(|grant| seconds(grant, later)),
            [Some(0), Some(1), Some(2)]
        );
    }

    /// Scenario: two probes to one router were granted a second apart, and both get to run at the same late moment; a
    /// third is of a target that does not know yet who answers there.
    /// Guarantees: a second lies between any two of them all the same.
    #[test]
    fn late_starters() {
        let now = Instant::now();
        let mut budget = Budget::default();
        let (router, dest) = (IpAddr::from([10, 0, 0, 9]), IpAddr::from([192, 0, 2, 1]));
        budget.answered((dest, 1), router, Duration::ZERO, now);
        let mut asked = Vec::new();
        for (n, known) in [Some(router), Some(router), None].into_iter().enumerate() {
            let now = now + PAUSE * n as u32;
            let grant = budget.reserve(dest, 1, known, true, PATIENCE, now);
            let Grant::At(_, who) = grant else { panic!("{grant:?}") };
            asked.push(who);
        }
        assert_eq!(asked, [Asked::Router(router); 3]);
        let late = now + Duration::from_secs(9);
        assert_eq!(budget.start(asked[0], late), Ok(()));
        assert_eq!(budget.start(asked[1], late), Err(late + PAUSE));
        assert_eq!(budget.start(asked[1], late + PAUSE), Ok(()));
        assert_eq!(budget.start(asked[2], late + PAUSE), Err(late + PAUSE * 2));
    }
}
