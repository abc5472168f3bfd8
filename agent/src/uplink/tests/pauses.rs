//! When this runtime stood still, as it does on a machine that is busy with other things: that time is no fault of the
//! uplink, whose timers stand still with it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

/// What a timer that comes later than this was late.
const PAUSE: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_millis(20);

/// Notes them while it lives.
pub(super) struct Pauses {
    /// From when a timer was due until it came.
    all: Arc<Mutex<Vec<(Instant, Instant)>>>,
    noting: AbortHandle,
}

impl Pauses {
    pub(super) fn note() -> Self {
        let all = Arc::<Mutex<Vec<_>>>::default();
        let noting = tokio::spawn(tick(Arc::clone(&all))).abort_handle();
        Self { all, noting }
    }

    /// How much of the time between these two it stood still. The one that has not ended yet is not known.
    pub(super) fn between(&self, from: Instant, to: Instant) -> Duration {
        let all = self.all.lock().unwrap();
        all.iter().map(|(due, came)| (*came).min(to).saturating_duration_since((*due).max(from))).sum()
    }
}

impl Drop for Pauses {
    fn drop(&mut self) {
        self.noting.abort();
    }
}

async fn tick(all: Arc<Mutex<Vec<(Instant, Instant)>>>) {
    loop {
        let due = Instant::now() + TICK;
        tokio::time::sleep_until(due).await;
        let came = Instant::now();
        if came - due > PAUSE {
            all.lock().unwrap().push((due, came));
        }
    }
}
