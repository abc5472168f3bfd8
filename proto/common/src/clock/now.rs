//! The process's clock: its state, and the functions that ask it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

use super::anchor::{Anchor, Seen};
use super::source::{self, Source};

/// How often the system's wall clock is looked at.
const LOOK_NS: i64 = 50_000_000;

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::start);

struct Clock {
    source: Source,
    /// Of `state`, for those who only want the time.
    anchor: AtomicI64,
    /// Boot time of the next look at the system's clock.
    look_at: AtomicI64,
    state: Mutex<Anchor>,
    steps: watch::Sender<u64>,
}

/// Wall time, nanoseconds since 1970.
pub fn now_ns() -> i64 {
    let boot = CLOCK.look_if_due();
    boot.saturating_add(CLOCK.anchor.load(Ordering::Relaxed))
}

/// Wall time, milliseconds since 1970.
pub fn now_ms() -> i64 {
    now_ns().div_euclid(1_000_000)
}

/// Wall time since 1970.
pub fn now() -> Duration {
    Duration::from_nanos(u64::try_from(now_ns()).unwrap_or(0))
}

/// Wall time in the standard library's form.
pub fn system_time() -> SystemTime {
    UNIX_EPOCH + now()
}

/// Boot time, nanoseconds: goes on through suspensions, is never set.
pub fn boot_ns() -> i64 {
    source::boot_ns()
}

/// What the system's wall clock shows, right or wrong, nanoseconds since 1970: for showing it to people, never for
/// stamping.
pub fn system_ns() -> i64 {
    let (boot, wall) = CLOCK.source.read();
    wall + (source::boot_ns() - boot)
}

/// What the system's wall clock shows less boot time, both of one moment, nanoseconds: for comparing machines' clocks.
pub fn system_anchor_ns() -> i64 {
    let (boot, wall) = CLOCK.source.read();
    wall.saturating_sub(boot)
}

/// What the kernel itself stamps packets with: for differences to its stamps alone.
pub fn kernel_ns() -> i64 {
    source::realtime_ns()
}

/// Changes at every step of the system's clock and every move of the anchor.
pub fn steps() -> watch::Receiver<u64> {
    CLOCK.steps.subscribe()
}

/// Looks at the system's clock now and hands out the anchor's state.
pub fn look<T>(work: impl FnOnce(&mut Anchor) -> T) -> T {
    let (value, seen, moved) = {
        let mut state = CLOCK.lock();
        let before = state.moves();
        let (boot, wall) = CLOCK.source.read();
        CLOCK.look_at.store(boot + LOOK_NS, Ordering::Relaxed);
        let seen = state.see(boot, wall);
        let value = work(&mut state);
        CLOCK.anchor.store(state.anchor_ns(), Ordering::Relaxed);
        (value, seen, (state.moves() != before).then_some(state.moves()))
    };
    match seen {
        Seen::Stepped { by_ns, followed } => {
            tracing::warn!(seconds = by_ns as f64 / 1e9, followed, "the system's clock has been set");
        }
        Seen::Back => tracing::info!("the system's clock is back where it was"),
        Seen::Same => {}
    }
    if let Some(moves) = moved {
        CLOCK.steps.send_replace(moves);
    }
    value
}

impl Clock {
    fn start() -> Self {
        let source = Source::from_environment();
        let (boot, wall) = source.read();
        let state = Anchor::new(boot, wall);
        Self {
            source,
            anchor: AtomicI64::new(state.anchor_ns()),
            look_at: AtomicI64::new(boot + LOOK_NS),
            state: Mutex::new(state),
            steps: watch::Sender::new(0),
        }
    }

    /// Boot time; on the way the system's clock is looked at where nobody has for a while.
    fn look_if_due(&self) -> i64 {
        let boot = source::boot_ns();
        let due = self.look_at.load(Ordering::Relaxed);
        let mine = boot >= due
            && self
                .look_at
                .compare_exchange(due, boot + LOOK_NS, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            look(|_| ());
        }
        boot
    }

    fn lock(&self) -> MutexGuard<'_, Anchor> {
        // Valid after any panic: single assignments only.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: nobody sets the clock.
    /// Guarantees: our time is the system's, goes on, and agrees with itself in all units.
    #[test]
    fn our_time_is_the_systems() {
        let (first, system) = (now_ns(), system_ns());
        assert!((system - first).abs() < 50_000_000, "{first} {system}");
        assert!(now_ns() >= first && boot_ns() > 0);
        assert!((now_ms() - now().as_millis() as i64).abs() < 50);
        assert!((kernel_ns() - system_ns()).abs() < 50_000_000);
        assert_eq!(look(|anchor| anchor.pending_ns()), 0);
    }
}
