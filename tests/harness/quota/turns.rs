//! A process stops when it has used up its share of a period, and goes on with the next one.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Between two looks at what it has used.
const LOOK: Duration = Duration::from_millis(2);

/// A thread that looks after one process; ends when dropped.
pub(super) struct Turns {
    /// Zero for none.
    pid: Arc<AtomicU32>,
    end: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Turns {
    pub(super) fn start(budget_us: u32, period_us: u32) -> Self {
        let pid = Arc::new(AtomicU32::new(0));
        let (end, ended) = sync_channel(1);
        let (held, budget, period) = (
            Arc::clone(&pid),
            Duration::from_micros(budget_us.into()),
            Duration::from_micros(period_us.into()),
        );
        let thread = thread::spawn(move || {
            let wait = |time| ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
            while turn(&held, budget, period, &wait) {}
        });
        Self { pid, end: Some(end), thread: Some(thread) }
    }

    pub(super) fn hold(&self, pid: Option<u32>) {
        self.pid.store(pid.unwrap_or_default(), Ordering::SeqCst);
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // What it was to hold is over anyway.
            let _panicked = thread.join();
        }
    }
}

/// One period. `false` at the end.
fn turn(held: &AtomicU32, budget: Duration, period: Duration, wait: &impl Fn(Duration) -> bool) -> bool {
    let (begin, pid) = (Instant::now(), held.load(Ordering::SeqCst));
    let before = used(pid).unwrap_or_default();
    let mut stopped = false;
    let mut goes_on = true;
    while goes_on && begin.elapsed() < period {
        // A thread that ends takes what it has used with it.
        let spent = used(pid).unwrap_or_default().saturating_sub(before);
        if !stopped && spent > budget && held.load(Ordering::SeqCst) == pid {
            stopped = signal(pid, Signal::STOP);
        }
        goes_on = wait(LOOK);
    }
    if stopped && held.load(Ordering::SeqCst) == pid {
        signal(pid, Signal::CONT);
    }
    goes_on
}

/// One that is gone already needs none.
fn signal(pid: u32, signal: Signal) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
}

/// Time of a processor that all threads of a process have used, from their schedstat, which is finer than the ticks of
/// the process's stat.
///
/// # Errors
/// Where there is no such process.
pub(super) fn used(pid: u32) -> io::Result<Duration> {
    let mut ns = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        ns += text.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(Duration::from_nanos(ns))
}
