//! Log lines that somebody else can cause as often as they like: the first of a kind is said at once, the others of
//! the same interval together, with their number. So nobody fills our log, and nothing is kept from it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

/// One event that may come without end, by its kinds; to be a `static`.
#[derive(Debug)]
pub struct Repeated {
    /// What the summary speaks of, such as "streams were refused".
    what: &'static str,
    every: Duration,
    /// What has come of each kind since it was said, and when that was.
    kinds: Mutex<BTreeMap<&'static str, (Instant, u64)>>,
}

impl Repeated {
    /// At most two lines of each kind in `every`: the first one, and the number of the others.
    pub const fn new(what: &'static str, every: Duration) -> Self {
        Self { what, every, kinds: Mutex::new(BTreeMap::new()) }
    }

    /// Whether to say this one; if not, it is counted into the summary at the interval's end. Kinds are few, and fixed.
    pub fn is_first(&'static self, kind: &'static str) -> bool {
        let Ok(runtime) = Handle::try_current() else { return true };
        let now = Instant::now();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        match kinds.get_mut(kind) {
            // Twice as long: the runtime that was to say it has ended.
            Some((since, more)) if now.duration_since(*since) < 2 * self.every => {
                *more += 1;
                false
            }
            _ => {
                kinds.insert(kind, (now, 0));
                drop(kinds);
                runtime.spawn(async move {
                    tokio::time::sleep(self.every).await;
                    let more = self.end(kind);
                    if more > 0 {
                        tracing::warn!(kind, more, within = ?self.every, "{}", self.what);
                    }
                });
                true
            }
        }
    }

    /// Ends the interval: how many were not said.
    fn end(&self, kind: &'static str) -> u64 {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        kinds.remove(kind).map_or(0, |(_, more)| more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a thousand of one kind and one of another, then nothing for an interval, then one more.
    /// Guarantees: one of each kind is said, the others are counted until the interval ends; then one is said again.
    #[tokio::test(start_paused = true)]
    async fn first_then_a_number() {
        static MANY: Repeated = Repeated::new("more were refused", Duration::from_secs(60));
        let said = (0..1_000).filter(|_| MANY.is_first("proof")).count();
        assert_eq!((said, MANY.is_first("limit")), (1, true));
        let unsaid = |kind| MANY.kinds.lock().unwrap().get(kind).map(|(_, more)| *more);
        assert_eq!((unsaid("proof"), unsaid("limit")), (Some(999), Some(0)));
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(unsaid("proof"), None, "it was said in a summary");
        assert!(MANY.is_first("proof"));
    }
}
