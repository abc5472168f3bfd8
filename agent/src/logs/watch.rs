//! What the kernel says has changed, as a set of paths: however often a file is written to before anybody looks, it is
//! in there once. So the memory is bounded, and a burst of changes costs no more than one look at each file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{EventKind, ModifyKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// Paths kept at once; beyond it everything is looked at anew.
const MAX_PATHS: usize = 1 << 16;

/// Writes that come within this time of one another are taken from the kernel together.
const BREATH: Duration = Duration::from_millis(10);

/// After this long without a change the kernel had no more of them: those that it has follow each other at once.
const DRAINED: Duration = Duration::from_micros(20);

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

#[derive(Default)]
struct State {
    /// Position of each path in the list.
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
        let lost = notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        self.handle(Ok(lost));
    }

    /// Says whether it was a mere write.
    fn handle(&self, event: notify::Result<notify::Event>) -> bool {
        let (paths, what, overflow) = match event {
            Ok(event) => match event.kind {
                // Our own opening and closing, and everybody's reading. What was written has been said before.
                EventKind::Access(_) => return false,
                // Said before, as one event for each of the two names.
                EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => return false,
                EventKind::Modify(ModifyKind::Data(_)) => (event.paths, What::Written, false),
                EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
                    (event.paths, What::Removed, false)
                }
                _ if event.need_rescan() => (Vec::new(), What::Altered, true),
                _ => (event.paths, What::Altered, false),
            },
            Err(err) => (err.paths, What::Altered, true),
        };
        let mut state = self.lock();
        for path in paths {
            state.insert(path, what);
        }
        state.overflow |= overflow;
        if std::mem::take(&mut state.asleep) {
            drop(state);
            self.wake.notify_one();
        }
        what == What::Written
    }
}

impl State {
    fn insert(&mut self, path: PathBuf, what: What) {
        // A path is hashed name by name, its text at once.
        let path = path.into_os_string();
        if let Some(&at) = self.at.get(&path) {
            self.what[at] = self.what[at].max(what);
        } else if self.at.len() < MAX_PATHS {
            self.at.insert(path, self.what.len());
            self.what.push(what);
        } else {
            self.overflow = true;
        }
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

/// Watches folders, each by itself: what appears in them is for the caller to look at.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
}

impl Watch {
    /// # Errors
    /// The kernel gives no inotify instance (`fs.inotify.max_user_instances`).
    pub(super) fn new(inbox: Arc<Inbox>) -> notify::Result<Self> {
        let mut last = Instant::now();
        let watcher = notify::recommended_watcher(move |event| {
            let drained = last.elapsed() > DRAINED;
            if inbox.handle(event) && drained {
                // The thread of the watcher has just woken up for one write, and would so for each of the next ones.
                std::thread::park_timeout(BREATH);
            }
            last = Instant::now();
        })?;
        Ok(Self { watcher })
    }

    /// # Errors
    /// No such folder, no right to read it, or no watches left (`fs.inotify.max_user_watches`).
    pub(super) fn add(&mut self, dir: &Path) -> notify::Result<()> {
        self.watcher.watch(dir, RecursiveMode::NonRecursive)
    }

    /// Stops watching; that there was no watch is no error.
    pub(super) fn remove(&mut self, dir: &Path) {
        let _not_watched = self.watcher.unwatch(dir);
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
        let changed = |path: &str, kind| {
            inbox.handle(Ok(notify::Event::new(kind).add_path(path.into())));
        };
        let written = EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any));
        changed("/b", written);
        changed("/a", written);
        changed("/b", EventKind::Remove(notify::event::RemoveKind::File));
        changed("/c", EventKind::Access(notify::event::AccessKind::Any));
        let change = |path: &str, what| Change { path: path.into(), what };
        let paths = vec![change("/b", What::Removed), change("/a", What::Written)];
        let expect = Changes { paths, overflow: false, stop: false };
        assert_eq!(inbox.wait(Instant::now(), Instant::now()), expect);
        assert_eq!(inbox.poll(), Changes::default());

        for n in 0..=MAX_PATHS {
            changed(&format!("/{n}"), EventKind::Modify(ModifyKind::Any));
        }
        let changes = inbox.poll();
        assert!(changes.overflow && changes.paths.len() == MAX_PATHS);
        inbox.stop();
        assert!(inbox.wait(Instant::now(), Instant::now() + Duration::from_secs(60)).stop);
    }
}
