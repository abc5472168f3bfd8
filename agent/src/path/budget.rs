//! How often a router may be made to answer.
//!
//! A Linux router sends one "time exceeded" a second to a source, after a burst of six (icmp_ratelimit); asked more
//! often, it shows loss that is none. All paths of a node share its first hops, so these have one budget for all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

/// Time between two probes that expire at one router.
const PAUSE: Duration = Duration::from_secs(1);

/// Up to this TTL the hop is taken to be the same router for all targets.
const NEAR: u8 = 2;

/// Entries kept before those of the past are swept out.
const SWEEP: usize = 4096;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asked {
    Near { v6: bool, ttl: u8 },
    Router(IpAddr),
}

/// When each router may be asked again.
#[derive(Debug, Default)]
pub(super) struct Budget {
    free_at: HashMap<Asked, Instant>,
}

impl Budget {
    /// Reserves a probe to `dest` at `ttl`, where `known` is who answered there last. Gives the time at which it may
    /// go, or `None` when that is more than `patience` away.
    pub(super) fn reserve(
        &mut self,
        dest: IpAddr,
        ttl: u8,
        known: Option<IpAddr>,
        now: Instant,
        patience: Duration,
    ) -> Option<Instant> {
        let asked = match known {
            // An echo reply is not rate-limited.
            Some(known) if known == dest => return Some(now),
            _ if ttl <= NEAR => Asked::Near { v6: dest.is_ipv6(), ttl },
            Some(router) => Asked::Router(router),
            None => return Some(now),
        };
        if self.free_at.len() >= SWEEP {
            self.free_at.retain(|_, at| *at > now);
        }
        let at = self.free_at.get(&asked).copied().unwrap_or(now).max(now);
        if at > now + patience {
            return None;
        }
        self.free_at.insert(asked, at + PAUSE);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: ten paths ask at once: their first hop, a shared router further on, the targets themselves.
    /// Guarantees: a second between two probes to one router, none beyond the patience; targets are not held up.
    #[test]
    fn one_a_second() {
        let now = Instant::now();
        let mut budget = Budget::default();
        let patience = Duration::from_secs(3);
        let router = IpAddr::from([10, 0, 0, 9]);
        let mut granted = [Vec::new(), Vec::new(), Vec::new()];
        for n in 0..10 {
            let dest = IpAddr::from([192, 0, 2, n]);
            let asks = [(1, None), (5, Some(router)), (1, Some(dest))];
            for (list, (ttl, known)) in granted.iter_mut().zip(asks) {
                list.extend(budget.reserve(dest, ttl, known, now, patience).map(|at| (at - now).as_secs()));
            }
        }
        assert_eq!(granted, [vec![0, 1, 2, 3], vec![0, 1, 2, 3], vec![0; 10]]);
        assert!(budget.reserve(router, 1, None, now + Duration::from_secs(4), patience).is_some());
    }
}
