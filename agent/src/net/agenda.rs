//! What is due when: a heap of times, for thousands of timers in one task.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

/// What is due within this time is done together: each time that the process is woken costs more than a ping.
pub const TICK: Duration = Duration::from_millis(10);

/// Things with the time at which each is due; the earliest comes first, ties in the order of their adding.
#[derive(Debug)]
pub struct Agenda<T> {
    heap: BinaryHeap<Entry<T>>,
    added: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), added: 0 }
    }
}

impl<T> Agenda<T> {
    /// Adds something.
    pub fn add(&mut self, at: Instant, what: T) {
        self.added += 1;
        self.heap.push(Entry { at, order: self.added, what });
    }

    /// When the next thing is due.
    pub fn next(&self) -> Option<Instant> {
        self.first().map(|(at, _)| at)
    }

    /// The next thing, and when it is due.
    pub fn first(&self) -> Option<(Instant, &T)> {
        self.heap.peek().map(|entry| (entry.at, &entry.what))
    }

    /// Takes what is due at `now`.
    pub fn due(&mut self, now: Instant) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|entry| entry.what)
    }

    /// Waits until something is due; for ever while the agenda is empty.
    pub async fn wait(&self) {
        match self.next() {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    order: u64,
    what: T,
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        // BinaryHeap gives the greatest first; the earliest is wanted.
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: things are added out of order, two of them for the same time.
    /// Guarantees: they come by time, then by order of adding, and none before its time.
    #[tokio::test(start_paused = true)]
    async fn earliest_first() {
        let start = Instant::now();
        let mut agenda = Agenda::default();
        for (ms, what) in [(30, "c"), (10, "a"), (10, "b")] {
            agenda.add(start + Duration::from_millis(ms), what);
        }
        assert_eq!(agenda.due(start), None);
        agenda.wait().await;
        let now = Instant::now();
        assert_eq!((agenda.due(now), agenda.due(now), agenda.due(now)), (Some("a"), Some("b"), None));
        assert_eq!(agenda.next(), Some(start + Duration::from_millis(30)));
    }
}
