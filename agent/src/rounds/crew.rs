//! Does blocking jobs on a thread of its own, one after the other, without ever being held up by one of them: where a
//! job takes long, another thread goes on with the rest; what is not done by the deadline is left behind, and comes
//! back in the round in which it ends. A thread waits for the next round: to begin one costs as much as many a round.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Threads of one crew: all but one of them hang. Beyond it jobs are not begun.
const MAX_WORKERS: usize = 64;
/// How long a thread waits for jobs: for the next round at the usual interval of 15 s, and not for much more.
const LINGER: Duration = Duration::from_secs(30);

/// A crew for one kind of job; the job holds its own result.
pub(crate) struct Crew<J> {
    shared: Arc<Shared<J>>,
}

/// What became of the jobs.
pub(crate) struct Finished<J> {
    /// Done, among them those of earlier rounds that took long, in the order in which they ended.
    pub(crate) done: Vec<J>,
    /// Not begun: every thread is held up.
    pub(crate) unbegun: Vec<J>,
}

struct Shared<J> {
    state: Mutex<State<J>>,
    /// The round's last job has ended. (To be woken by each of them would cost more than many jobs do.)
    ended: Condvar,
    /// There are jobs for a thread that waits, or there will be no more.
    begun: Condvar,
    name: &'static str,
    work: fn(&mut J),
}

struct State<J> {
    queue: VecDeque<(u64, J)>,
    done: Vec<J>,
    workers: usize,
    /// Of these, those that wait for jobs.
    idle: usize,
    /// The crew is gone.
    is_over: bool,
    /// The round that is waited for.
    round: u64,
    /// Jobs of it that have not ended.
    left: usize,
}

impl<J> Shared<J> {
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: Send + 'static> Crew<J> {
    /// `name` is the threads' name; `work` does one job and is called on these threads.
    pub(crate) fn new(name: &'static str, work: fn(&mut J)) -> Self {
        let state = State {
            queue: VecDeque::new(),
            done: Vec::new(),
            workers: 0,
            idle: 0,
            is_over: false,
            round: 0,
            left: 0,
        };
        let (state, ended, begun) = (Mutex::new(state), Condvar::new(), Condvar::new());
        Self { shared: Arc::new(Shared { state, ended, begun, name, work }) }
    }

    /// Does the jobs and waits for them until `deadline`. A thread that ends no job for `patience` gets company.
    pub(crate) fn run(&mut self, jobs: Vec<J>, patience: Duration, deadline: Duration) -> Finished<J> {
        let begin = Instant::now();
        let mut state = self.shared.lock();
        state.round += 1;
        let round = state.round;
        state.left = jobs.len();
        state.queue.extend(jobs.into_iter().map(|job| (round, job)));
        let mut stalled = true;
        while state.left > 0 {
            let Some(rest) = deadline.checked_sub(begin.elapsed()) else { break };
            if stalled && !state.queue.is_empty() {
                if state.idle > 0 {
                    self.shared.begun.notify_one();
                } else if state.workers < MAX_WORKERS && self.hire().is_ok() {
                    state.workers += 1;
                }
            }
            let (before, wait) = (state.left, patience.min(rest).max(Duration::from_millis(1)));
            let woken = self.shared.ended.wait_timeout(state, wait);
            state = woken.map_or_else(|e| e.into_inner().0, |(state, _)| state);
            stalled = state.left == before;
        }
        let done = std::mem::take(&mut state.done);
        let unbegun = state.queue.drain(..).map(|(_, job)| job).collect();
        Finished { done, unbegun }
    }

    fn hire(&self) -> std::io::Result<()> {
        let shared = Arc::clone(&self.shared);
        thread::Builder::new().name(self.shared.name.to_owned()).spawn(move || worker(&shared)).map(drop)
    }
}

impl<J> Drop for Crew<J> {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.begun.notify_all();
    }
}

/// Takes jobs as they come. A job that panics comes back as it is: without a result.
fn worker<J>(shared: &Shared<J>) {
    let mut state = shared.lock();
    loop {
        while let Some((round, mut job)) = state.queue.pop_front() {
            drop(state);
            let _panicked = catch_unwind(AssertUnwindSafe(|| (shared.work)(&mut job))).is_err();
            state = shared.lock();
            state.done.push(job);
            if round == state.round {
                state.left -= 1;
                if state.left == 0 {
                    shared.ended.notify_one();
                }
            }
        }
        if state.is_over {
            break;
        }
        state.idle += 1;
        let waited = shared.begun.wait_timeout_while(state, LINGER, |s| s.queue.is_empty() && !s.is_over);
        state = waited.map_or_else(|e| e.into_inner().0, |(state, _)| state);
        state.idle -= 1;
        if state.queue.is_empty() {
            break;
        }
    }
    state.workers -= 1;
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::*;

    struct Job {
        number: u32,
        gate: Option<Receiver<()>>,
        result: Option<u32>,
    }

    fn work(job: &mut Job) {
        assert_ne!(job.number, 13, "a job that panics");
        if let Some(gate) = &job.gate {
            gate.recv().unwrap();
        }
        job.result = Some(job.number * 2);
    }

    fn job(number: u32) -> Job {
        Job { number, gate: None, result: None }
    }

    const LONG: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(20);

    /// Scenario: jobs of which one panics.
    /// Guarantees: all come back, the one without a result.
    #[test]
    fn a_panic_harms_no_other() {
        let finished = Crew::new("test", work).run(vec![job(1), job(13), job(2)], LONG, LONG);
        let results: Vec<_> = finished.done.iter().map(|j| (j.number, j.result)).collect();
        assert_eq!(results, [(1, Some(2)), (13, None), (2, Some(4))]);
    }

    /// Scenario: rounds one after the other; then the crew goes.
    /// Guarantees: one thread does them all, and ends with the crew.
    #[test]
    fn a_thread_stays_for_the_next_round() {
        static THREADS: Mutex<Vec<thread::ThreadId>> = Mutex::new(Vec::new());
        fn note(_: &mut Job) {
            THREADS.lock().unwrap().push(thread::current().id());
        }
        let mut crew = Crew::new("test", note);
        for n in 0..5 {
            assert_eq!(crew.run(vec![job(n), job(n)], LONG, LONG).done.len(), 2);
        }
        let threads = THREADS.lock().unwrap();
        assert!(threads.len() == 10 && threads.iter().all(|id| *id == threads[0]));
        let shared = Arc::clone(&crew.shared);
        drop(crew);
        let begin = Instant::now();
        while shared.lock().workers > 0 {
            assert!(begin.elapsed() < LONG, "it waits for jobs that cannot come");
            thread::yield_now();
        }
    }

    /// Scenario: the first job hangs, and hangs on while a second round runs.
    /// Guarantees: the others are done in their rounds; the hung one comes back in the round after its end.
    #[test]
    fn a_hung_job_is_left_behind() {
        let (open, gate) = sync_channel(1);
        let mut crew = Crew::new("test", work);
        let hung = Job { gate: Some(gate), ..job(7) };
        // All of it is waited for: long enough for two threads to begin and do a job each.
        let first = crew.run(vec![hung, job(1), job(2)], SHORT, Duration::from_secs(5));
        let mut done: Vec<_> = first.done.iter().map(|j| j.number).collect();
        done.sort_unstable();
        assert_eq!(done, [1, 2]);
        assert_eq!(first.unbegun.len(), 0);
        let second = crew.run(vec![job(3)], SHORT, LONG);
        assert_eq!(second.done[0].result, Some(6));
        open.send(()).unwrap();
        let mut back = Vec::new();
        while !back.contains(&7) {
            back.extend(crew.run(vec![job(4)], SHORT, LONG).done.iter().map(|j| j.number));
        }
    }
}
