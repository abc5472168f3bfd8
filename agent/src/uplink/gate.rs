//! Who may send next: fresh first. While the fresh lane has anything unsent, the backlog has its share of the bytes and
//! no more; a fresh lane that is idle leaves it everything. Where the aggregator asks for less, the backlog stops first.
//! And where the acks of fresh frames come late, less of the backlog is under way, so that it does not fill the link's
//! queues in front of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ao_proto::queue::Lane;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::spool::Pace;

/// What the backlog may have saved up of its share: some frames.
const CREDIT: f64 = (1 << 20) as f64;
/// A fresh frame that took longer was behind too much of the backlog.
const LATE: Duration = Duration::from_millis(500);
/// What the backlog may add to the time that a frame takes: enough to fill any link. Beside it twice the least time that
/// was seen, which is the link's and the aggregator's own.
const ADDED: Duration = Duration::from_millis(250);
/// Bytes of the backlog that may always be under way, and those with which a connection begins.
const FLOOR: usize = 256 << 10;
const BEGIN: usize = 1 << 20;

/// One connection's.
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    pace: Arc<Pace>,
    /// Of the bytes, 0 to 1.
    share: f64,
    /// Fresh queues with something unsent.
    busy: usize,
    /// Bytes that the backlog may send beside them.
    credit: f64,
    throttle: Option<Throttle>,
    /// Fresh bytes under way.
    fresh_under_way: usize,
    /// Bytes of the backlog under way, how many may be, and how many at the most.
    under_way: usize,
    limit: usize,
    window: usize,
    /// The least that a frame of the backlog took.
    least: Option<Duration>,
    /// When the limit was last lowered for a fresh frame's sake.
    lowered: Option<Instant>,
    last_ack: Option<Instant>,
}

/// The aggregator's wish.
struct Throttle {
    bytes_per_second: f64,
    until: Instant,
    /// Bytes that may go now; below 0 what must be waited for.
    tokens: f64,
    filled: Instant,
}

/// What a frame waits for.
#[derive(Debug, PartialEq)]
enum Verdict {
    Go,
    At(Instant),
    Change,
}

/// A fresh queue has something unsent while it lives.
pub(crate) struct Busy<'a>(&'a Gate);

impl Gate {
    /// `share` of the bytes for the backlog, from 0 to 1; at most `window` bytes of it are under way. `pace` is told how
    /// fast acknowledgements come.
    pub(crate) fn new(share: f64, window: usize, pace: Arc<Pace>) -> Self {
        let state = State {
            pace,
            share: share.clamp(0.0, 1.0),
            busy: 0,
            credit: CREDIT,
            throttle: None,
            fresh_under_way: 0,
            under_way: 0,
            limit: BEGIN.min(window),
            window,
            least: None,
            lowered: None,
            last_ack: None,
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// Waits until a frame of so many bytes may go.
    pub(crate) async fn enter(&self, lane: Lane, bytes: usize) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let verdict = self.lock().judge(lane, bytes, Instant::now());
            match verdict {
                Verdict::Go => {
                    // What the fresh lane sends is the backlog's credit.
                    if lane == Lane::Fresh {
                        self.changed.notify_waiters();
                    }
                    return;
                }
                Verdict::At(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = changed => {}
                },
                Verdict::Change => changed.await,
            }
        }
    }

    /// To be held by a fresh queue's feeder while it has something to send.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.lock().busy += 1;
        Busy(self)
    }

    /// Frames of a lane are done, the last of which took so long.
    pub(crate) fn acked(&self, lane: Lane, bytes: usize, took: Duration) {
        self.lock().acked(lane, bytes, took, Instant::now());
        self.changed.notify_waiters();
    }

    /// When anything was last acknowledged.
    pub(crate) fn last_ack(&self) -> Option<Instant> {
        self.lock().last_ack
    }

    /// The aggregator asks for at most this rate, for a while.
    pub(crate) fn throttle(&self, bytes_per_second: u64, for_a_while: Duration) {
        let now = Instant::now();
        self.lock().throttle = (bytes_per_second > 0).then(|| Throttle {
            bytes_per_second: bytes_per_second as f64,
            until: now + for_a_while,
            tokens: 0.0,
            filled: now,
        });
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.lock().busy -= 1;
        self.0.changed.notify_waiters();
    }
}

impl State {
    fn judge(&mut self, lane: Lane, bytes: usize, now: Instant) -> Verdict {
        let verdict = match lane {
            Lane::Fresh => self.wait_for_tokens(now),
            Lane::Backlog => self.judge_backlog(bytes, now),
        };
        if verdict == Verdict::Go {
            if lane == Lane::Fresh {
                self.fresh_under_way += bytes;
            }
            let bytes = bytes as f64;
            if let Some(throttle) = &mut self.throttle {
                throttle.tokens -= bytes;
            }
            match lane {
                Lane::Fresh if self.share < 1.0 => {
                    self.credit = (self.credit + bytes * self.share / (1.0 - self.share)).min(CREDIT);
                }
                Lane::Backlog if self.busy > 0 => self.credit -= bytes,
                Lane::Fresh | Lane::Backlog => {}
            }
        }
        verdict
    }

    fn judge_backlog(&mut self, bytes: usize, now: Instant) -> Verdict {
        if self.busy > 0 {
            let throttled = self.throttle.as_ref().is_some_and(|throttle| throttle.until > now);
            if throttled || (self.share < 1.0 && self.credit <= 0.0) {
                return Verdict::Change;
            }
        }
        if self.under_way > 0 && self.under_way + bytes > self.limit {
            return Verdict::Change;
        }
        let verdict = self.wait_for_tokens(now);
        if verdict == Verdict::Go {
            self.under_way += bytes;
        }
        verdict
    }

    fn wait_for_tokens(&mut self, now: Instant) -> Verdict {
        let Some(throttle) = self.throttle.as_mut().filter(|throttle| throttle.until > now) else {
            self.throttle = None;
            return Verdict::Go;
        };
        let rate = throttle.bytes_per_second;
        let gained = (now - throttle.filled).as_secs_f64() * rate;
        // A tenth of a second's worth may be saved up.
        throttle.tokens = (throttle.tokens + gained).min(rate / 10.0);
        throttle.filled = now;
        if throttle.tokens >= 0.0 {
            return Verdict::Go;
        }
        let wait = Duration::from_secs_f64((-throttle.tokens / rate).min(60.0));
        Verdict::At(throttle.until.min(now + wait.max(Duration::from_millis(1))))
    }

    fn acked(&mut self, lane: Lane, bytes: usize, took: Duration, now: Instant) {
        self.last_ack = Some(now);
        match lane {
            Lane::Fresh => self.fresh_under_way = self.fresh_under_way.saturating_sub(bytes),
            Lane::Backlog => self.under_way = self.under_way.saturating_sub(bytes),
        }
        // Without a rule for it each has about half.
        let sure = if self.share < 1.0 { 1.0 - self.share } else { 0.5 };
        self.pace.acked(bytes, self.fresh_under_way + self.under_way, sure, now);
        match lane {
            Lane::Fresh if took > LATE => {
                // Once for each time that the effect can have shown.
                if self.lowered.is_none_or(|at| now - at > took) {
                    self.limit = (self.limit / 2).max(FLOOR).min(self.window);
                    self.lowered = Some(now);
                }
            }
            Lane::Fresh => {}
            Lane::Backlog => {
                let least = self.least.map_or(took, |least| least.min(took));
                self.least = Some(least);
                self.limit = if took <= 2 * least + ADDED {
                    (self.limit + bytes / 2).min(self.window)
                } else {
                    self.limit.saturating_sub(bytes / 2).max(FLOOR)
                };
            }
        }
    }
}

#[cfg(test)]
mod tests;
