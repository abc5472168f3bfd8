//! Rotation as the kubelet does it (pkg/kubelet/logs/container_log_manager.go): a log that is large enough is renamed to
//! `0.log.TIME` and the runtime told to make a new one; the one that was renamed before is compressed; of all files of
//! a container five stay.
//!
//! While the agent is started again no file is deleted. A kubelet looks at its logs every ten seconds, so that a file stays
//! for a minute at least, many times as long as a restart takes. In the storm files stay for seconds, and a slow agent
//! on a busy machine takes as long to start: of a file that came and went meanwhile, or of what was written to one after
//! its end, nobody can know.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::containers::Containers;
use crate::writer::rfc3339;

/// Between two looks at all logs. A kubelet's are ten seconds apart, in which its logs grow beyond their size.
const EVERY: Duration = Duration::from_millis(50);
/// A container's files, as `containerLogMaxFiles: 5`: the live one, one as it was, and three compressed.
const KEPT: usize = 5;

/// See the module; ends when dropped.
pub struct Kubelet {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    size: AtomicU64,
    keeps_all: AtomicBool,
    rotated: AtomicU64,
    end: AtomicBool,
}

impl Kubelet {
    /// Nothing is rotated until it is told the size.
    pub fn start(containers: &Containers) -> Self {
        let shared = Shared {
            size: AtomicU64::new(u64::MAX),
            keeps_all: AtomicBool::new(false),
            rotated: AtomicU64::new(0),
            end: AtomicBool::new(false),
        };
        let shared = Arc::new(shared);
        let (own, renamed) = (Arc::clone(&shared), Arc::clone(&containers.renamed));
        let mut logs: Vec<Log> = containers.logs.iter().map(|path| Log::new(path)).collect();
        let thread = thread::spawn(move || {
            while !own.end.load(Ordering::SeqCst) {
                let size = own.size.load(Ordering::SeqCst);
                let is_due = |n: &usize| !renamed[*n].load(Ordering::SeqCst) && logs[*n].bytes() >= size;
                // The largest first: compressing takes its time.
                let Some(n) = (0..logs.len()).filter(is_due).max_by_key(|n| logs[*n].bytes()) else {
                    thread::park_timeout(EVERY);
                    continue;
                };
                logs[n].rotate(&own.keeps_all);
                renamed[n].store(true, Ordering::SeqCst);
                own.rotated.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// `containerLogMaxSize`, from now on.
    pub fn rotate_at(&self, bytes: u64) {
        self.shared.size.store(bytes, Ordering::SeqCst);
    }

    /// Whether all files stay, from now on.
    pub fn keep_all(&self, all: bool) {
        self.shared.keeps_all.store(all, Ordering::SeqCst);
    }

    /// How many logs were rotated.
    pub fn rotated(&self) -> u64 {
        self.shared.rotated.load(Ordering::SeqCst)
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed.
            let _panicked = thread.join();
        }
    }
}

struct Log {
    live: PathBuf,
    /// The oldest first.
    rotated: VecDeque<PathBuf>,
    /// Seconds since 1970 of the newest one's name: two within a second would have one name.
    named: u64,
}

impl Log {
    fn new(live: &Path) -> Self {
        Self { live: live.to_owned(), rotated: VecDeque::new(), named: 0 }
    }

    fn bytes(&self) -> u64 {
        fs::metadata(&self.live).map_or(0, |metadata| metadata.len())
    }

    fn rotate(&mut self, keeps_all: &AtomicBool) {
        // With the new one and the one that is about to be renamed.
        while self.rotated.len() > KEPT - 2
            && !keeps_all.load(Ordering::SeqCst)
            && let Some(oldest) = self.rotated.pop_front()
        {
            fs::remove_file(oldest).expect("a log can be deleted");
        }
        for path in self.rotated.iter_mut().filter(|path| path.extension().is_none_or(|e| e != "gz")) {
            *path = compress(path);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        self.named = now.max(self.named + 1);
        let time = rfc3339(u128::from(self.named) * 1_000_000_000);
        let name: String = time.chars().take(19).filter(|c| !"-:".contains(*c)).collect();
        let path = PathBuf::from(format!("{}.{}", self.live.display(), name.replace('T', "-")));
        fs::rename(&self.live, &path).expect("a log can be renamed");
        self.rotated.push_back(path);
    }
}

/// Beside it, then in its place.
fn compress(path: &Path) -> PathBuf {
    let [temporary, compressed] = ["tmp", "gz"].map(|end| PathBuf::from(format!("{}.{end}", path.display())));
    let (from, to) = (File::open(path), File::create(&temporary));
    let mut command = Command::new("gzip");
    command.stdin(from.expect("a log can be read")).stdout(to.expect("a file can be made"));
    let status = command.stderr(Stdio::inherit()).status().expect("there is gzip");
    assert!(status.success(), "gzip: {status}");
    fs::rename(&temporary, &compressed).expect("a file can be renamed");
    fs::remove_file(path).expect("a log can be deleted");
    compressed
}
