//! Fresh first: while the fresh worker of a sink and class has work, each of the workers beside it (backlog, late) takes
//! at most its share of the time; when the fresh one waits for data they take all of it.

use std::time::Duration;

use tokio::sync::watch;

/// Between the workers of one sink and class.
pub(super) struct Share {
    /// Of the time, above 0 and up to 1.
    share: f64,
    /// Whether the fresh worker has work.
    busy: watch::Sender<bool>,
}

/// A share under this would be none.
const LEAST: f64 = 0.01;

impl Share {
    pub(super) fn new(share: f64) -> Self {
        Self { share: share.clamp(LEAST, 1.0), busy: watch::Sender::new(false) }
    }

    /// The fresh worker has work, or waits for some.
    pub(super) fn fresh(&self, busy: bool) {
        self.busy.send_if_modified(|now| std::mem::replace(now, busy) != busy);
    }

    /// Waits after `worked` until another worker than the fresh one may go on.
    pub(super) async fn pause(&self, worked: Duration) {
        if !*self.busy.borrow() {
            return;
        }
        let pause = worked.mul_f64((1.0 - self.share) / self.share);
        let mut busy = self.busy.subscribe();
        // In time or when there is nothing fresh, whichever is first.
        let _first = tokio::time::timeout(pause, busy.wait_for(|busy| !busy)).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// Scenario: a request of three seconds beside a fresh worker that is idle, busy, or idle after a second; shares of
    /// all sizes.
    /// Guarantees: it waits as long as its share asks, and no longer than there is anything fresh.
    #[tokio::test(start_paused = true)]
    async fn as_long_as_there_is_something_fresh() {
        let worked = Duration::from_secs(3);
        for (share, pause) in [(1.0, 0.0), (0.75, 1.0), (0.5, 3.0), (0.25, 9.0), (0.0, 297.0), (7.0, 0.0)] {
            let between = Share::new(share);
            let begin = Instant::now();
            between.pause(worked).await;
            assert_eq!(begin.elapsed(), Duration::ZERO);
            between.fresh(true);
            between.pause(worked).await;
            let took = begin.elapsed().as_secs_f64();
            assert!((took - pause).abs() < 0.01, "{share}: {took}");
        }
        let between = Share::new(0.1);
        between.fresh(true);
        let begin = Instant::now();
        let idle = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            between.fresh(false);
        };
        tokio::join!(between.pause(worked), idle);
        assert_eq!(begin.elapsed(), Duration::from_secs(1));
    }
}
