//! What fails in every round is said at the first one, and then now and then.

use std::time::{Duration, Instant};

/// How often it is said again.
const REMIND: Duration = Duration::from_secs(600);

/// What is remembered of one thing that may fail.
#[derive(Default)]
pub(crate) struct Complaint {
    said: Option<Instant>,
    failures: u64,
}

impl Complaint {
    /// It has failed: how often by now, where that is to be said.
    pub(crate) fn failed(&mut self) -> Option<u64> {
        self.failures += 1;
        if self.said.is_some_and(|said| said.elapsed() < REMIND) {
            return None;
        }
        self.said = Some(Instant::now());
        Some(self.failures)
    }

    /// It has worked: how often it had failed, where that was said.
    pub(crate) fn worked(&mut self) -> Option<u64> {
        let failures = std::mem::take(&mut self.failures);
        self.said.take().map(|_| failures)
    }
}
