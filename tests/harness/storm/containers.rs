//! The applications and their runtime: so many lines a second over all files, a few of which take much of them.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::line::{Which, stored};
use super::{FILES, HOT, HOT_SHARE};

/// Between two writes.
const EVERY: Duration = Duration::from_millis(20);

/// Lines that are wholly in their files, by file.
pub struct Written(Vec<AtomicU64>);

impl Written {
    /// None yet.
    pub fn new(files: usize) -> Self {
        Self((0..files).map(|_| AtomicU64::new(0)).collect())
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.0.len()
    }

    /// Of one file; none where there is no such file.
    pub fn of(&self, file: usize) -> u64 {
        self.0.get(file).map_or(0, |count| count.load(Ordering::SeqCst))
    }

    /// Of all.
    pub fn lines(&self) -> u64 {
        self.0.iter().map(|count| count.load(Ordering::SeqCst)).sum()
    }

    pub(super) fn add(&self, file: usize, lines: u64) {
        self.0[file].fetch_add(lines, Ordering::SeqCst);
    }
}

/// What those who steer the writing share with it: what is due at a rate is written however late the writer's turn comes,
/// and whatever the rate is by then, as applications do whose disk stands still for a while.
struct Steer {
    /// Lines a second.
    rate: u64,
    /// Lines in all, beyond which none is due.
    limit: u64,
    /// When what follows was true.
    at: Instant,
    /// Lines that are due since the writer's last turn.
    due: f64,
    /// Lines that were due before.
    gone: f64,
    /// Nothing is due at this rate, and the writer has had a turn for the rests of lines.
    at_rest: bool,
    /// The writing ends with the line in hand.
    ends: bool,
}

impl Steer {
    /// Up to now at the rate so far.
    fn catch_up(&mut self) {
        let now = Instant::now();
        self.due += self.rate as f64 * now.duration_since(self.at).as_secs_f64();
        self.due = self.due.min((self.limit as f64 - self.gone).max(0.0));
        self.at = now;
    }
}

fn lock(steer: &Mutex<Steer>) -> MutexGuard<'_, Steer> {
    steer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writing; ends when dropped.
pub struct Containers {
    /// What is in the files.
    pub written: Arc<Written>,
    /// Each container's live log.
    pub logs: Vec<PathBuf>,
    /// A log of this number was renamed, and is to be made anew.
    pub renamed: Arc<Vec<AtomicBool>>,
    steer: Arc<Mutex<Steer>>,
    thread: Option<JoinHandle<()>>,
}

impl Containers {
    /// Makes all logs; nothing is written yet.
    ///
    /// # Panics
    /// Where they cannot be made.
    pub fn start(pods: &Path) -> Self {
        let container = |n| {
            let pod = super::pod(n);
            crate::writer::container(pods, "storm", &pod, &format!("uid-{pod}"), "app").join("0.log")
        };
        let logs: Vec<PathBuf> = (0..FILES).map(container).collect();
        let written = Arc::new(Written::new(FILES));
        let renamed = Arc::new((0..FILES).map(|_| AtomicBool::new(false)).collect::<Vec<_>>());
        let (due, gone, at) = (0.0, 0.0, Instant::now());
        let steer = Steer { rate: 0, limit: 0, at, due, gone, at_rest: true, ends: false };
        let steer = Arc::new(Mutex::new(steer));
        let writers: Vec<Writer> = logs.iter().enumerate().map(|(n, log)| Writer::new(n, log)).collect();
        let all = (Arc::clone(&written), Arc::clone(&renamed), Arc::clone(&steer));
        let thread = thread::spawn(move || write(writers, &all.0, &all.1, &all.2));
        Self { written, logs, renamed, steer, thread: Some(thread) }
    }

    /// From now on, but no more than so many in all.
    pub fn write(&self, lines_per_second: u64, limit: u64) {
        let mut steer = lock(&self.steer);
        steer.catch_up();
        (steer.rate, steer.limit, steer.at_rest) = (lines_per_second, limit, false);
    }

    /// Whether nothing more comes at the rate of none: what was due before is in the files, to the ends of all lines.
    pub fn at_rest(&self) -> bool {
        lock(&self.steer).at_rest
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        lock(&self.steer).ends = true;
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed.
            let _panicked = thread.join();
        }
    }
}

/// One container's log.
struct Writer {
    number: usize,
    path: PathBuf,
    file: File,
    /// Lines that are due, of which the last may be less than one.
    due: f64,
    next: u64,
    at_ns: u64,
    /// The rest of a line, whose beginning is in the file.
    rest: Vec<u8>,
}

fn create(path: &Path) -> File {
    File::options().create_new(true).append(true).open(path).expect("a log can be made")
}

impl Writer {
    fn new(number: usize, path: &Path) -> Self {
        let file = create(path);
        Self { number, path: path.to_owned(), file, due: 0.0, next: 0, at_ns: 0, rest: Vec::new() }
    }

    /// Writes the rest of the last line and these lines, but for a part of the last.
    fn lines(&mut self, count: u64, written: &Written) {
        let began = u64::from(!self.rest.is_empty());
        let mut block = std::mem::take(&mut self.rest);
        for _ in 0..count {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
            self.at_ns = now.max(self.at_ns + 1);
            let which = Which { file: self.number, number: self.next, at_ns: self.at_ns };
            block.extend_from_slice(stored(which).as_bytes());
            self.next += 1;
        }
        if count > 0 {
            // Another place of the line each time, its end among them.
            self.rest = block.split_off(block.len() - (self.next % super::line::BYTES) as usize);
        }
        // Said before it is so: nobody can read a line that is not counted yet.
        written.add(self.number, began + count - u64::from(!self.rest.is_empty()));
        self.file.write_all(&block).expect("a log can be written");
    }

    /// What the runtime does when it is told that its log was renamed.
    fn reopen(&mut self, written: &Written) {
        self.lines(0, written);
        self.file = create(&self.path);
    }
}

fn write(mut writers: Vec<Writer>, written: &Written, renamed: &[AtomicBool], steer: &Mutex<Steer>) {
    loop {
        let begin = Instant::now();
        let (lines, ends) = {
            let mut steer = lock(steer);
            steer.catch_up();
            let lines = if steer.ends { 0.0 } else { std::mem::take(&mut steer.due) };
            steer.gone += lines;
            (lines, steer.ends)
        };
        for writer in &mut writers {
            let share = if writer.number < HOT {
                HOT_SHARE / HOT as f64
            } else {
                (1.0 - HOT_SHARE) / (FILES - HOT) as f64
            };
            writer.due += lines * share;
            // Whoever is to write nothing more writes the rest of his line.
            let now = if lines > 0.0 { writer.due as u64 } else { 0 };
            writer.due -= now as f64;
            if now > 0 || lines == 0.0 {
                writer.lines(now, written);
            }
            if renamed[writer.number].load(Ordering::SeqCst) {
                writer.reopen(written);
                renamed[writer.number].store(false, Ordering::SeqCst);
            }
        }
        if ends {
            return;
        }
        if lines == 0.0 {
            let mut steer = lock(steer);
            steer.at_rest = steer.rate == 0 && steer.due == 0.0;
        }
        thread::park_timeout(EVERY.saturating_sub(begin.elapsed()));
    }
}
