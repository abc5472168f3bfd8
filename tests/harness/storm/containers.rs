//! The applications and their runtime: so many lines a second over all files, a few of which take much of them.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// What those who steer the writing share with it.
#[derive(Default)]
struct Steer {
    /// Lines a second.
    rate: AtomicU64,
    /// Lines in all, beyond which nothing is written.
    limit: AtomicU64,
    /// The writing ends with the line in hand.
    end: AtomicBool,
}

/// The writing; ends when dropped.
pub struct Containers {
    /// What is in the files.
    pub written: Arc<Written>,
    /// Each container's live log.
    pub logs: Vec<PathBuf>,
    /// A log of this number was renamed, and is to be made anew.
    pub renamed: Arc<Vec<AtomicBool>>,
    steer: Arc<Steer>,
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
        let steer = Arc::<Steer>::default();
        let writers: Vec<Writer> = logs.iter().enumerate().map(|(n, log)| Writer::new(n, log)).collect();
        let all = (Arc::clone(&written), Arc::clone(&renamed), Arc::clone(&steer));
        let thread = thread::spawn(move || write(writers, &all.0, &all.1, &all.2));
        Self { written, logs, renamed, steer, thread: Some(thread) }
    }

    /// From now on, but no more than so many in all.
    pub fn write(&self, lines_per_second: u64, limit: u64) {
        self.steer.limit.store(limit, Ordering::SeqCst);
        self.steer.rate.store(lines_per_second, Ordering::SeqCst);
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        self.steer.end.store(true, Ordering::SeqCst);
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

fn write(mut writers: Vec<Writer>, written: &Written, renamed: &[AtomicBool], steer: &Steer) {
    let mut last = Instant::now();
    let mut total = 0;
    loop {
        let ends = steer.end.load(Ordering::SeqCst);
        let (rate, limit) = (steer.rate.load(Ordering::SeqCst), steer.limit.load(Ordering::SeqCst));
        let lines = if ends { 0.0 } else { rate as f64 * last.elapsed().as_secs_f64() };
        let lines = lines.min(limit.saturating_sub(total) as f64);
        last = Instant::now();
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
            total += now;
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
        thread::park_timeout(EVERY.saturating_sub(last.elapsed()));
    }
}
