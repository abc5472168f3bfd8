//! Full-jitter exponential waiting: the n-th wait is drawn evenly from zero to base * 2^n, never above the cap, so
//! that a fleet which failed together does not come back together.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A server's Retry-After is honoured up to this: a wrong header must not silence a sender for a day.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// The waits of one thing that is tried again.
#[derive(Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempt: u32,
    random: StdRng,
}

impl Backoff {
    /// The first wait is drawn from zero to `base`.
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, attempt: 0, random: StdRng::from_rng(&mut rand::rng()) }
    }

    /// As [`Backoff::new`], with the same waits for the same seed: for tests.
    pub fn seeded(base: Duration, cap: Duration, seed: u64) -> Self {
        Self { base, cap, attempt: 0, random: StdRng::seed_from_u64(seed) }
    }

    /// How long to wait before the next attempt.
    #[expect(clippy::should_implement_trait, reason = "no sequence: callers reset it and wait between calls")]
    pub fn next(&mut self) -> Duration {
        let most = self.base.saturating_mul(1 << self.attempt.min(20)).min(self.cap);
        self.attempt = self.attempt.saturating_add(1);
        most.mul_f64(self.random.random())
    }

    /// As [`Backoff::next`], but not before the time the server asked for (Retry-After, RFC 9110 section 10.2.3), and up
    /// to a tenth later, so that those who were told the same do not come back at once.
    pub fn next_at_least(&mut self, asked: Duration) -> Duration {
        let asked = asked.min(LONGEST_RETRY_AFTER.max(self.cap));
        let jitter = (asked / 10).mul_f64(self.random.random());
        self.next().max(asked + jitter)
    }

    /// After a success: begins anew.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Waits drawn since the last success.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(30);

    /// Scenario: hundreds of failures in a row, then a success.
    /// Guarantees: each wait is within its window, the windows grow to the cap and not beyond; a reset begins anew.
    #[test]
    fn windows() {
        let mut backoff = Backoff::seeded(BASE, CAP, 7);
        let mut longest = Duration::ZERO;
        for attempt in 0..300 {
            let wait = backoff.next();
            assert!(wait <= CAP.min(BASE * (1 << attempt.min(20))), "{attempt}: {wait:?}");
            longest = longest.max(wait);
        }
        assert!(longest > CAP / 2, "{longest:?}");
        backoff.reset();
        assert!(backoff.next() <= BASE);
    }

    /// Scenario: the server names a time, a sensible one and an absurd one.
    /// Guarantees: never earlier than asked, a little later at most; the absurd one is bounded.
    #[test]
    fn retry_after() {
        let mut backoff = Backoff::seeded(BASE, CAP, 7);
        let wait = backoff.next_at_least(Duration::from_secs(60));
        assert!((60..=66).contains(&wait.as_secs()), "{wait:?}");
        assert!(backoff.next_at_least(Duration::from_secs(86_400)) <= LONGEST_RETRY_AFTER * 11 / 10);
    }

    /// Scenario: two with one seed, two without.
    /// Guarantees: the former wait alike, the latter do not.
    #[test]
    fn seeds() {
        let waits = |mut backoff: Backoff| (0..8).map(|_| backoff.next()).collect::<Vec<_>>();
        assert_eq!(waits(Backoff::seeded(BASE, CAP, 1)), waits(Backoff::seeded(BASE, CAP, 1)));
        assert_ne!(waits(Backoff::new(BASE, CAP)), waits(Backoff::new(BASE, CAP)));
    }
}
