//! What the kernel says has changed, as a set of paths: however often a file is written to before anybody looks, it is
//! in there once. So the memory is bounded, and a burst of changes costs no more than one look at each file.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Paths kept at once; beyond it everything is looked at anew.
const MAX_PATHS: usize = 1 << 16;

/// A changed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub path: PathBuf,
    pub what: What,
}

/// What was done to it; of several things the one that asks for the closest look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// Bytes were written, and nothing else.
    Written,
    /// It is new, or has other attributes.
    Altered,
    /// What was there was taken away.
    Removed,
}

/// What has come together since the last look.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// In the order of each path's first change.
    pub paths: Vec<Change>,
    /// Some changes are not among them.
    pub overflow: bool,
    /// The source is to end.
    pub stop: bool,
}

/// Collects changes, for one who waits for them.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    wake: Condvar,
}

/// What an inbox holds.
#[derive(Default)]
pub(super) struct State {
    /// Position of each path in the list. A path is hashed at once and not name by name, so it is kept as text.
    at: HashMap<OsString, usize>,
    what: Vec<What>,
    overflow: bool,
    stop: bool,
    woken: bool,
    /// Somebody waits for changes, and nobody told him yet.
    asleep: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can be left half done: a poisoned lock is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the waiting for good.
    pub(super) fn stop(&self) {
        self.lock().stop = true;
        self.wake.notify_all();
    }

    /// Ends the waiting once.
    pub(super) fn wake(&self) {
        self.lock().woken = true;
        self.wake.notify_all();
    }

    /// What has changed, at once if there is something, else as soon as there is or at `until`. Changes of files may
    /// come together until `pace`: every single waking is costly where each line is a write.
    pub(super) fn wait(&self, pace: Instant, until: Instant) -> Changes {
        let mut state = self.lock();
        while !state.stop && !state.woken {
            let left = pace.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                break;
            }
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        loop {
            if state.stop || state.overflow || state.woken || !state.at.is_empty() {
                return state.take();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return Changes::default();
            }
            state.asleep = true;
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.asleep = false;
        }
    }

    /// What has changed until now.
    pub(super) fn poll(&self) -> Changes {
        self.lock().take()
    }

    /// The kernel had more than it could keep.
    #[cfg(test)]
    pub(super) fn overflowed(&self) {
        self.bring(State::lose_some);
    }

    /// Takes in changes, and wakes who waits for them.
    pub(super) fn bring(&self, changes: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        changes(&mut state);
        let is_new = state.overflow || !state.at.is_empty();
        if is_new && std::mem::take(&mut state.asleep) {
            drop(state);
            self.wake.notify_one();
        }
    }
}

impl State {
    /// A path has changed.
    pub(super) fn insert(&mut self, path: &OsStr, what: What) {
        if let Some(&at) = self.at.get(path) {
            self.what[at] = self.what[at].max(what);
        } else if self.at.len() < MAX_PATHS {
            self.at.insert(path.to_owned(), self.what.len());
            self.what.push(what);
        } else {
            self.overflow = true;
        }
    }

    /// Some changes are not told.
    pub(super) fn lose_some(&mut self) {
        self.overflow = true;
    }

    fn take(&mut self) -> Changes {
        let mut paths: Vec<_> = self.at.drain().collect();
        paths.sort_unstable_by_key(|(_, at)| *at);
        self.woken = false;
        let what = std::mem::take(&mut self.what);
        let paths =
            paths.into_iter().map(|(path, at)| Change { path: path.into(), what: what[at] }).collect();
        Changes { paths, overflow: std::mem::take(&mut self.overflow), stop: self.stop }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: many changes to few paths, more paths than are kept, then a stop.
    /// Guarantees: each path once, in order, with its removal remembered; too many are an overflow.
    #[test]
    fn collects() {
        let inbox = Inbox::default();
        let changed = |path: &str, what| inbox.bring(|changes| changes.insert(path.as_ref(), what));
        changed("/b", What::Written);
        changed("/a", What::Written);
        changed("/b", What::Removed);
        changed("/a", What::Written);
        let change = |path: &str, what| Change { path: path.into(), what };
        let paths = vec![change("/b", What::Removed), change("/a", What::Written)];
        let expect = Changes { paths, overflow: false, stop: false };
        assert_eq!(inbox.wait(Instant::now(), Instant::now()), expect);
        assert_eq!(inbox.poll(), Changes::default());

        for n in 0..=MAX_PATHS {
            changed(&format!("/{n}"), What::Altered);
        }
        let changes = inbox.poll();
        assert!(changes.overflow && changes.paths.len() == MAX_PATHS);
        inbox.stop();
        assert!(inbox.wait(Instant::now(), Instant::now() + Duration::from_secs(60)).stop);
    }
}
