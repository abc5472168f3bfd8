//! When the frames of a queue came, by the journal's own clock: records' times are other machines'. What was there at
//! the start came long ago.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ao_common::journal::Position;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Marks within the time after which a frame is late: so exact is what they say.
const MARKS: u32 = 8;

/// Of one queue; shared by the sinks' fresh workers.
pub(super) struct Arrivals {
    late_after: Duration,
    /// How far the queue was durable, and since when; `None`: since before the start. Ascending.
    marks: Mutex<VecDeque<(Position, Option<Instant>)>>,
}

impl Arrivals {
    /// Of a queue that is durable up to a position.
    pub(super) fn new(durable: Position, late_after: Duration) -> Arc<Self> {
        Arc::new(Self { late_after, marks: Mutex::new([(durable, None)].into()) })
    }

    /// Follows the queue until the shutdown.
    pub(super) async fn follow(
        self: Arc<Self>,
        mut durable: watch::Receiver<Position>,
        shutdown: CancellationToken,
    ) {
        loop {
            let position = *durable.borrow_and_update();
            self.note(position, Instant::now());
            tokio::select! {
                changed = durable.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Whether the frame that begins at this position came so long ago that it is late.
    pub(super) fn is_late(&self, position: Position) -> bool {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let came = marks.iter().find(|(durable, _)| *durable > position);
        came.is_some_and(|(_, at)| at.is_none_or(|at| at.elapsed() > self.late_after))
    }

    fn note(&self, position: Position, now: Instant) {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let grain = self.late_after / MARKS;
        match marks.back_mut() {
            Some((last, _)) if *last >= position => return,
            // Rather a little late than many marks.
            Some((last, Some(at))) if now.duration_since(*at) < grain => *last = position,
            _ => marks.push_back((position, Some(now))),
        }
        // One that is late is enough.
        let late = |(_, at): &(Position, Option<Instant>)| {
            at.is_none_or(|at| now.duration_since(at) > self.late_after)
        };
        while marks.get(1).is_some_and(late) {
            marks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position { segment: 1, offset }
    }

    /// Scenario: a queue with old frames gets a new one a second for ten minutes.
    /// Guarantees: the old ones are late at once, new ones after the time given and an eighth of it less at the most;
    /// what is not there yet never is; the memory stays small.
    #[tokio::test(start_paused = true)]
    async fn by_the_time_of_their_coming() {
        let arrivals = Arrivals::new(at(1_000), Duration::from_secs(30));
        assert!(arrivals.is_late(at(0)) && arrivals.is_late(at(999)));
        assert!(!arrivals.is_late(at(1_000)));
        for second in 1..=600 {
            arrivals.note(at(1_000 + second), Instant::now());
            assert!(!arrivals.is_late(at(1_000 + second)));
            for age in 0..second.min(120) {
                // The frame between this mark and the one before.
                let late = arrivals.is_late(at(1_000 + second - age - 1));
                assert!(late || age <= 30, "{age} s");
                assert!(!late || age > 30 - 30 / 8 - 1, "{age} s");
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(arrivals.marks.lock().expect("no panic").len() <= 11);
    }

    /// Scenario: the queue's end moves on.
    /// Guarantees: it is followed, until the shutdown.
    #[tokio::test(start_paused = true)]
    async fn follows_the_queue() {
        let (durable, seen) = watch::channel(at(0));
        let (arrivals, shutdown) = (Arrivals::new(at(0), Duration::from_secs(30)), CancellationToken::new());
        let following = tokio::spawn(arrivals.clone().follow(seen, shutdown.clone()));
        durable.send_replace(at(7));
        tokio::time::sleep(Duration::from_secs(29)).await;
        assert!(!arrivals.is_late(at(0)));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(arrivals.is_late(at(0)));
        shutdown.cancel();
        following.await.expect("no panic");
    }
}
