//! inotify(7): folders that are watched, and a thread that brings what the kernel says of them into the inbox.
//!
//! A folder is added by its own system call and not by that thread: however fast files are written to, a new folder is
//! watched at once.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init, remove_watch};
use rustix::io::{Errno, write};

use super::watch::{Inbox, What};

/// Writes that come within this time of one another are taken from the kernel together: the longer one as long as they are
/// few, and its queue (`fs.inotify.max_queued_events`, 16,384) far from full.
const BREATH: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(50)];

/// Writes that are few.
const FEW: usize = 1_024;

/// Bytes of events that are taken at a time, of at most 272 each.
const EVENTS: usize = 64 << 10;

/// Opening, reading and closing is everybody's business; what was written has been said before.
const WANTED: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// What concerns a folder in which something is waited for. Files that are written to in it do not.
const AWAITED: WatchFlags = WatchFlags::ATTRIB
    .union(WatchFlags::CREATE)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// Watches folders, each by itself: what appears in them is for the caller to look at.
pub(super) struct Watch {
    shared: Arc<Shared>,
}

struct Shared {
    inotify: OwnedFd,
    /// Readable once the thread is to end.
    end: OwnedFd,
    folders: Mutex<Folders>,
}

#[derive(Default)]
struct Folders {
    paths: HashMap<i32, PathBuf>,
    numbers: HashMap<PathBuf, i32>,
}

impl Watch {
    /// # Errors
    /// The kernel gives no inotify instance (`fs.inotify.max_user_instances`), or no thread.
    pub(super) fn new(inbox: Arc<Inbox>) -> io::Result<Self> {
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let end = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { inotify, end, folders: Mutex::default() });
        let watching = Arc::clone(&shared);
        std::thread::Builder::new().name("ao-watch".to_owned()).spawn(move || watching.run(&inbox))?;
        Ok(Self { shared })
    }

    /// # Errors
    /// No such folder, no right to read it, or no watches left (`fs.inotify.max_user_watches`).
    pub(super) fn add(&self, dir: &Path) -> io::Result<()> {
        // Held from before the first event can come.
        let mut folders = self.shared.folders();
        let number = add_watch(&self.shared.inotify, dir, WANTED | WatchFlags::ONLYDIR)?;
        folders.paths.insert(number, dir.to_path_buf());
        folders.numbers.insert(dir.to_path_buf(), number);
        Ok(())
    }

    /// Watches a folder for what appears in it. Where it is watched already, under whatever name, it stays so.
    ///
    /// # Errors
    /// As [`Watch::add`].
    pub(super) fn wait_in(&self, dir: &Path) -> io::Result<()> {
        let mut folders = self.shared.folders();
        let more = WatchFlags::MASK_ADD | WatchFlags::ONLYDIR;
        let number = add_watch(&self.shared.inotify, dir, AWAITED | more)?;
        folders.paths.entry(number).or_insert_with(|| dir.to_path_buf());
        folders.numbers.insert(dir.to_path_buf(), number);
        Ok(())
    }

    /// Stops watching; that there was no watch is no error.
    pub(super) fn remove(&self, dir: &Path) {
        let mut folders = self.shared.folders();
        let Some(number) = folders.numbers.remove(dir) else { return };
        // The same folder may be watched under another name by now.
        if folders.paths.get(&number).is_some_and(|path| path == dir) {
            folders.paths.remove(&number);
            let _gone_with_its_folder = remove_watch(&self.shared.inotify, number);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _cannot_be_full = write(&self.shared.end, &1_u64.to_ne_bytes());
    }
}

impl Shared {
    fn folders(&self) -> MutexGuard<'_, Folders> {
        // Both maps are changed by whole entries: a poisoned lock is as good as any.
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, inbox: &Inbox) {
        let mut buffer = vec![MaybeUninit::uninit(); EVENTS];
        let mut breath = BREATH[0];
        loop {
            let mut ready =
                [PollFd::new(&self.end, PollFlags::IN), PollFd::new(&self.inotify, PollFlags::IN)];
            let waited = poll(&mut ready, None);
            if !ready[0].revents().is_empty() {
                return;
            }
            match waited {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "log folders are watched no more; they are looked at now and then");
                    return;
                }
            }
            if let Some(writes) = self.take(inbox, &mut buffer) {
                breath = if writes < FEW { BREATH[1].min(breath * 2) } else { BREATH[0] };
                // Each of the next writes would wake us, and the reader takes its time anyway.
                let breath = Timespec { tv_sec: 0, tv_nsec: breath.as_nanos() as _ };
                let _ended_or_not = poll(&mut ready[..1], Some(&breath));
            }
        }
    }

    /// Brings what lies there into the inbox, a buffer at the most. Says how much it was if it was nothing but writes.
    fn take(&self, inbox: &Inbox, buffer: &mut [MaybeUninit<u8>]) -> Option<usize> {
        let mut events = Reader::new(&self.inotify, buffer);
        let (mut path, mut writes, mut seen) = (PathBuf::new(), Some(0), Seen::default());
        let mut folders = self.folders();
        inbox.bring(|changes| {
            loop {
                let event = match events.next() {
                    Ok(event) => event,
                    Err(Errno::WOULDBLOCK) => break,
                    Err(Errno::INTR) => continue,
                    Err(_) => {
                        changes.lose_some();
                        break;
                    }
                };
                let (number, said) = (event.wd(), event.events());
                if said.contains(ReadFlags::QUEUE_OVERFLOW) {
                    changes.lose_some();
                } else if said.contains(ReadFlags::IGNORED) {
                    folders.forget(number);
                } else if let Some(dir) = folders.paths.get(&number) {
                    let what = what(said);
                    writes = writes.filter(|_| what == What::Written).map(|writes| writes + 1);
                    let name = event.file_name().map(|name| name.to_bytes()).unwrap_or_default();
                    if what != What::Written || seen.is_new(number, name) {
                        path.as_mut_os_string().clear();
                        path.as_mut_os_string().push(dir);
                        if !name.is_empty() {
                            path.push(OsStr::from_bytes(name));
                        }
                        changes.insert(path.as_os_str(), what);
                    }
                }
                if events.is_buffer_empty() {
                    break;
                }
            }
        });
        writes
    }
}

/// Folders of which [`Seen`] remembers a file at a time.
const SLOTS: usize = 256;

/// The files that were last written to, one for each folder or so: most of what is taken together says the same again. Their
/// paths need not be looked up, as long as nobody else takes what is in the inbox.
struct Seen([Slot; SLOTS]);

/// A folder's number, and the name of a file in it.
#[derive(Clone, Copy, Default)]
struct Slot {
    folder: i32,
    length: usize,
    name: [u8; 24],
}

impl Default for Seen {
    fn default() -> Self {
        Self([Slot::default(); SLOTS])
    }
}

impl Seen {
    /// Whether it is not known that this file was written to. Longer names are always new.
    fn is_new(&mut self, folder: i32, name: &[u8]) -> bool {
        let slot = &mut self.0[folder as usize % SLOTS];
        if (slot.folder, &slot.name[..slot.length]) == (folder, name) {
            return false;
        }
        if let Some(kept) = slot.name.get_mut(..name.len()) {
            kept.copy_from_slice(name);
            (slot.folder, slot.length) = (folder, name.len());
        }
        true
    }
}

impl Folders {
    /// The kernel watches it no more: it is gone, or we said so.
    fn forget(&mut self, number: i32) {
        if let Some(path) = self.paths.remove(&number)
            && self.numbers.get(&path) == Some(&number)
        {
            self.numbers.remove(&path);
        }
    }
}

fn what(said: ReadFlags) -> What {
    let removed = ReadFlags::DELETE
        | ReadFlags::MOVED_FROM
        | ReadFlags::DELETE_SELF
        | ReadFlags::MOVE_SELF
        | ReadFlags::UNMOUNT;
    if said.intersects(removed) {
        What::Removed
    } else if said.contains(ReadFlags::MODIFY) {
        What::Written
    } else {
        What::Altered
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use super::*;

    /// Scenario: files of one folder are written to without a pause by two threads, while 200 folders appear one by one.
    /// Guarantees: each is watched at once, and what happens in it is told, or that the queue was too short for it, whatever
    /// else is going on.
    #[test]
    fn a_flood_holds_up_no_new_folder() {
        let dir = tempfile::tempdir().unwrap();
        let inbox = Arc::new(Inbox::default());
        let watch = Watch::new(inbox.clone()).unwrap();
        watch.add(dir.path()).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for n in 0..2 {
                let mut file = File::create(dir.path().join(format!("{n}.log"))).unwrap();
                let stop = &stop;
                scope.spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        file.write_all(b"line\n").unwrap();
                    }
                });
            }
            let begin = Instant::now();
            for n in 0..200 {
                let new = dir.path().join(format!("pod-{n}"));
                fs::create_dir(&new).unwrap();
                watch.add(&new).unwrap();
                fs::write(new.join("0.log"), "first\n").unwrap();
            }
            let took = begin.elapsed();
            stop.store(true, Ordering::Relaxed);
            assert!(took < Duration::from_secs(20), "{took:?}");
        });
        let mut told = 0;
        let late = Instant::now() + Duration::from_secs(60);
        while told < 200 {
            assert!(Instant::now() < late, "{told} of 200");
            let changes = inbox.wait(Instant::now(), late);
            if changes.overflow {
                // Two busy writers fill the kernel's queue where nobody else wants a processor: it is said, and then all
                // folders are looked through.
                return;
            }
            let first = |path: &Path| path.file_name().is_some_and(|name| name == "0.log");
            told += changes
                .paths
                .iter()
                .filter(|c| first(&c.path) && c.path.parent() != Some(dir.path()))
                .count();
        }
    }

    /// Scenario: writes to files of several folders, to a folder itself, to a file with a long name, again and again.
    /// Guarantees: none is taken for another one; what was just said is not new.
    #[test]
    fn what_was_just_said() {
        let mut seen = Seen::default();
        let (other, long) = (1 + SLOTS as i32, "a name that has more than 24 bytes.log");
        for (folder, name, is_new) in [
            (1, "0.log", true),
            (1, "0.log", false),
            (2, "0.log", true),
            (1, "0.log", false),
            (1, "0.log2", true),
            (1, "", true),
            (1, "", false),
            (1, "0.log", true),
            (other, "0.log", true),
            (1, "0.log", true),
            (1, long, true),
            (1, long, true),
            (1, "0.log", false),
        ] {
            assert_eq!(seen.is_new(folder, name.as_bytes()), is_new, "{folder} {name}");
        }
    }

    /// Scenario: a watched folder is deleted and made again; a file of it is moved away; it is watched no more.
    /// Guarantees: each is told under the folder's name; nothing after the last.
    #[test]
    fn folders_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let pod = dir.path().join("pod");
        let inbox = Arc::new(Inbox::default());
        let watch = Watch::new(inbox.clone()).unwrap();
        let soon = || Instant::now() + Duration::from_secs(20);
        let wait_for = |path: &Path, what| {
            let until = soon();
            while !inbox.wait(Instant::now(), until).paths.iter().any(|c| c.path == path && c.what == what) {
                assert!(Instant::now() < until, "{what:?} of {path:?}");
            }
        };
        assert_eq!(watch.add(&pod).unwrap_err().kind(), io::ErrorKind::NotFound);
        for _ in 0..2 {
            fs::create_dir(&pod).unwrap();
            watch.add(&pod).unwrap();
            fs::write(pod.join("0.log"), "").unwrap();
            wait_for(&pod.join("0.log"), What::Altered);
            fs::rename(pod.join("0.log"), dir.path().join("1.log")).unwrap();
            wait_for(&pod.join("0.log"), What::Removed);
            fs::remove_dir(&pod).unwrap();
            wait_for(&pod, What::Removed);
        }
        fs::create_dir(&pod).unwrap();
        watch.add(&pod).unwrap();
        watch.remove(&pod);
        fs::write(pod.join("0.log"), "").unwrap();
        watch.add(dir.path()).unwrap();
        fs::write(dir.path().join("last"), "").unwrap();
        let until = soon();
        loop {
            let changes = inbox.wait(Instant::now(), until);
            assert!(changes.paths.iter().all(|change| !change.path.starts_with(&pod)), "{changes:?}");
            if changes.paths.iter().any(|change| change.path.ends_with("last")) {
                break;
            }
            assert!(Instant::now() < until);
        }
    }
}
