//! Which aggregator is tried next: each address has its own backoff; of those that may be tried, the one that failed
//! longest ago, and among equals the one that worked last. So a dead one is left for another at once.

use std::cmp::Reverse;
use std::time::Duration;

use ao_common::backoff::Backoff;
use tokio::time::Instant;

/// The first wait is drawn from zero to this.
const FIRST: Duration = Duration::from_millis(200);

/// See the module.
pub(crate) struct Addresses {
    /// As configured: where to go when those that were told do not work.
    configured: Vec<String>,
    retry: Duration,
    all: Vec<Address>,
}

struct Address {
    at: String,
    backoff: Backoff,
    not_before: Option<Instant>,
    failed: Option<Instant>,
    worked: Option<Instant>,
}

impl Addresses {
    /// `retry` is the longest wait between two attempts at one of them.
    pub(crate) fn new(configured: Vec<String>, retry: Duration) -> Self {
        let mut addresses = Self { configured, retry, all: Vec::new() };
        addresses.list(&[]);
        addresses
    }

    /// The next to try, and when; `None` only where none is configured.
    pub(crate) fn next(&self, now: Instant) -> Option<(String, Instant)> {
        let free = self.all.iter().filter(|a| a.not_before.is_none_or(|at| at <= now));
        let best = free.min_by_key(|a| (a.failed, Reverse(a.worked)));
        let soonest = || self.all.iter().min_by_key(|a| a.not_before);
        best.map(|a| (a.at.clone(), now))
            .or_else(|| soonest().map(|a| (a.at.clone(), a.not_before.unwrap_or(now))))
    }

    /// Another one could be tried.
    pub(crate) fn has_others(&self) -> bool {
        self.all.len() > 1
    }

    /// It has welcomed us.
    pub(crate) fn worked(&mut self, address: &str, now: Instant) {
        if let Some(a) = self.find(address) {
            a.worked = Some(now);
            a.failed = None;
            a.backoff.reset();
        }
    }

    /// It did not work, or does not any more.
    pub(crate) fn failed(&mut self, address: &str, now: Instant) {
        if let Some(a) = self.find(address) {
            a.failed = Some(now);
            a.not_before = Some(now + a.backoff.next());
        }
    }

    /// It asks us to go to these, which are tried first.
    pub(crate) fn moved(&mut self, address: &str, to: &[String], now: Instant) {
        self.list(to);
        self.failed(address, now);
    }

    /// Those that were told, then those configured.
    fn list(&mut self, told: &[String]) {
        let mut was = std::mem::take(&mut self.all);
        for at in told.iter().chain(&self.configured) {
            if self.all.iter().any(|a| a.at == *at) {
                continue;
            }
            let known = was.iter().position(|a| a.at == *at).map(|n| was.swap_remove(n));
            let mut address = known.unwrap_or_else(|| Address {
                at: at.clone(),
                backoff: Backoff::new(FIRST, self.retry),
                not_before: None,
                failed: None,
                worked: None,
            });
            if told.contains(at) {
                (address.failed, address.not_before) = (None, None);
            }
            self.all.push(address);
        }
    }

    fn find(&mut self, address: &str) -> Option<&mut Address> {
        self.all.iter_mut().find(|a| a.at == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(addresses: &Addresses, now: Instant) -> String {
        addresses.next(now).unwrap().0
    }

    /// Scenario: three aggregators; the first dies, then the second, then all are back.
    /// Guarantees: a dead one is left at once for the one that failed longest ago; with all dead the wait is bounded.
    #[test]
    fn a_dead_one_is_left_at_once() {
        let list = ["a", "b", "c"].map(str::to_owned);
        let mut addresses = Addresses::new(list.to_vec(), Duration::from_secs(5));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(addresses.next(start), Some(("a".to_owned(), start)));
        addresses.worked("a", start);
        addresses.failed("a", at(1_000));
        assert_eq!(addresses.next(at(1_000)), Some(("b".to_owned(), at(1_000))));
        addresses.worked("b", at(1_001));
        addresses.failed("b", at(9_000));
        assert_eq!(next(&addresses, at(9_000)), "c");
        addresses.failed("c", at(9_001));
        assert_eq!(next(&addresses, at(9_001)), "a");
        for n in 0..100 {
            let now = at(10_000 + 10_000 * n);
            let (address, when) = addresses.next(now).unwrap();
            assert!(when <= now + Duration::from_secs(5));
            addresses.failed(&address, when);
        }
    }

    /// Scenario: an aggregator sends us to another one, which is dead.
    /// Guarantees: it is tried first, then we come back to those configured; never back to the one that sent us at once.
    #[test]
    fn moved_and_back() {
        let list = ["a", "b"].map(str::to_owned);
        let mut addresses = Addresses::new(list.to_vec(), Duration::from_secs(5));
        let now = Instant::now();
        addresses.worked("a", now);
        addresses.moved("a", &["z".to_owned()], now);
        assert_eq!(next(&addresses, now), "z");
        addresses.failed("z", now);
        assert_eq!(next(&addresses, now), "b");
        addresses.failed("b", now + Duration::from_millis(1));
        let later = now + Duration::from_secs(1);
        assert_eq!(next(&addresses, later), "a");
        addresses.moved("a", &["b".to_owned()], later);
        assert_eq!(next(&addresses, later), "b");
    }
}
