//! How often enrolment may be tried: signing and asking the API server cost something, and a wrong token costs the
//! right to try often.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::identity::api::Refusal;

/// All enrolments: a fleet of thousands comes within a minute.
const ALL: Rate = Rate { burst: 500.0, per_second: 100.0 };
/// Failed ones of one address.
const FAILED: Rate = Rate { burst: 10.0, per_second: 0.2 };
/// Addresses remembered.
const MOST: usize = 4096;

struct Rate {
    burst: f64,
    per_second: f64,
}

/// A token bucket.
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: &Rate) -> Self {
        Self { left: rate.burst, at: Instant::now() }
    }

    fn fill(&mut self, rate: &Rate) -> f64 {
        let now = Instant::now();
        self.left = rate.burst.min(self.left + (now - self.at).as_secs_f64() * rate.per_second);
        self.at = now;
        self.left
    }

    fn wait(&self, rate: &Rate) -> Duration {
        Duration::from_secs_f64(((1.0 - self.left) / rate.per_second).max(0.0).ceil())
    }
}

/// See the module.
pub(crate) struct Limits {
    all: Mutex<Bucket>,
    failed: Mutex<HashMap<IpAddr, Bucket>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { all: Mutex::new(Bucket::full(&ALL)), failed: Mutex::default() }
    }
}

impl Limits {
    /// Before anything is checked.
    pub(crate) fn allow(&self, from: Option<IpAddr>) -> Result<(), Refusal> {
        if let Some(from) = from {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(bucket) = failed.get_mut(&from)
                && bucket.fill(&FAILED) < 1.0
            {
                let wait = bucket.wait(&FAILED);
                return Err(Refusal::limit(format!("too many failed enrolments from {from}; wait {wait:?}")));
            }
        }
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if all.fill(&ALL) < 1.0 {
            return Err(Refusal::limit("too many nodes enrol at once; try again in a second"));
        }
        all.left -= 1.0;
        Ok(())
    }

    /// After a proof that proved nothing.
    pub(crate) fn failed(&self, from: Option<IpAddr>) {
        let Some(from) = from else { return };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= MOST && !failed.contains_key(&from) {
            // Those that may try again anyway are not worth remembering; a flood of addresses ends all memory.
            failed.retain(|_, bucket| bucket.fill(&FAILED) < FAILED.burst - 1.0);
            if failed.len() >= MOST {
                failed.clear();
            }
        }
        let bucket = failed.entry(from).or_insert_with(|| Bucket::full(&FAILED));
        bucket.fill(&FAILED);
        bucket.left -= 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: one address fails again and again, another one does not; time passes.
    /// Guarantees: the first is held back and told how long; the other is not; later the first may try again.
    #[tokio::test(start_paused = true)]
    async fn failures_cost() {
        let limits = Limits::default();
        let (bad, good) = (Some(IpAddr::from([10, 0, 0, 1])), Some(IpAddr::from([10, 0, 0, 2])));
        for _ in 0..10 {
            limits.allow(bad).unwrap();
            limits.failed(bad);
        }
        assert!(limits.allow(bad).unwrap_err().text.contains("wait 5s"));
        limits.allow(good).unwrap();
        tokio::time::advance(Duration::from_secs(6)).await;
        limits.allow(bad).unwrap();
    }

    /// Scenario: more enrolments at once than are allowed, and more addresses that fail than are remembered.
    /// Guarantees: the rest is refused until time has passed; memory is bounded.
    #[tokio::test(start_paused = true)]
    async fn bounds() {
        let limits = Limits::default();
        assert_eq!((0..600).filter(|_| limits.allow(None).is_ok()).count(), 500);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((0..600).filter(|_| limits.allow(None).is_ok()).count(), 100);
        for n in 0..10_000_u32 {
            limits.failed(Some(IpAddr::from(n.to_be_bytes())));
        }
        assert!(limits.failed.lock().unwrap().len() <= MOST);
    }
}
