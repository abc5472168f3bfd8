//! How far the aggregator has acknowledged each queue, and what became of its frames. A task per queue keeps the counts
//! and moves the cursor, so that no answer waits for an fsync; acks that come during one cost one more.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ao_common::journal::{Cursor, Journal, Position};
use ao_proto::queue::QUEUES;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::warn;

use crate::spool::api::{Count, Frame};
use crate::spool::counts::{self, Counts, Settled, Tally};
use crate::spool::error::SpoolError;
use crate::spool::ledger::{Ledger, Newest};
use crate::spool::pace::Pace;

/// Name of the cursor in each queue of the spool.
const CURSOR: &str = "uplink";

/// See the module.
pub struct Acks {
    ledger: Arc<Ledger>,
    pace: Arc<Pace>,
    queues: [Arc<Queue>; QUEUES.len()],
    keepers: Mutex<JoinSet<()>>,
    closing: watch::Sender<bool>,
}

#[derive(Default)]
struct Queue {
    step: Mutex<Step>,
    changed: Notify,
}

/// What is to be kept next.
#[derive(Default)]
struct Step {
    end: Position,
    tally: Tally,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, end: Option<Position>, tally: Tally) {
        let mut step = self.lock();
        if end.is_none_or(|end| end <= step.end) && tally.is_empty() {
            return;
        }
        step.end = step.end.max(end.unwrap_or_default());
        for (source, more) in tally {
            *step.tally.entry(source).or_default() += more;
        }
        self.changed.notify_one();
    }
}

impl Acks {
    /// Opens the cursors, and the counts beside them, of the spool in this folder.
    ///
    /// # Errors
    /// Where one cannot be opened.
    pub(crate) fn open(
        journal: &Journal,
        spool: &Path,
        ledger: Arc<Ledger>,
        pace: Arc<Pace>,
    ) -> Result<Self, SpoolError> {
        let (closing, closed) = watch::channel(false);
        let mut keepers = JoinSet::new();
        let queues: [Arc<Queue>; QUEUES.len()] = std::array::from_fn(|_| Arc::default());
        for (number, queue) in queues.iter().enumerate() {
            let cursor = journal.cursor(number, CURSOR)?;
            queue.lock().end = cursor.position();
            let path = counts::path(spool, QUEUES[number].name(), CURSOR);
            let counts = Counts::open(path, cursor.position())?;
            let mut book = ledger.book(number);
            book.adopting = counts.is_new && !book.logged.is_empty();
            book.note(&counts.total);
            drop(book);
            keepers.spawn(keep(Keeper { cursor, counts }, Arc::clone(queue), closed.clone()));
        }
        Ok(Self { ledger, pace, queues, keepers: Mutex::new(keepers), closing })
    }

    /// To be told how fast acknowledgements come.
    pub(crate) fn pace(&self) -> Arc<Pace> {
        Arc::clone(&self.pace)
    }

    /// Everything before this is with the aggregator, or will never be taken.
    pub(crate) fn position(&self, queue: usize) -> Position {
        self.queues[queue].lock().end
    }

    /// A connection begins: see [`Book::connected`](crate::spool::ledger::Book::connected).
    pub(crate) fn connected(&self, queue: usize, has: impl Fn(u64, u64) -> bool) {
        let tally = self.ledger.book(queue).connected(has);
        self.queues[queue].add(None, tally);
    }

    /// A frame is about to be sent; false where it was shed since it was read from the log.
    pub(crate) fn send(&self, queue: usize, frame: &Frame) -> bool {
        self.ledger.book(queue).send(frame)
    }

    /// Frames, in the order of the log, are done, and with them everything before `end`.
    pub(crate) fn done(&self, queue: usize, frames: &[Frame], end: Position) {
        let tally = self.ledger.book(queue).settle(frames);
        self.queues[queue].add(Some(end), tally);
    }

    /// For [`Acks::read_out`]: to be asked before the log is read to its end.
    pub(crate) fn newest(&self, queue: usize) -> Newest {
        self.ledger.book(queue).newest()
    }

    /// All up to `newest` was read from the log and is done: what the ledger misses was damaged.
    pub(crate) fn read_out(&self, queue: usize, newest: Newest, end: Position) {
        let tally = self.ledger.book(queue).balance(newest);
        for (source, lost) in &tally {
            if lost.damaged != Count::default() {
                let (records, bytes) = (lost.damaged.records, lost.damaged.bytes);
                warn!(source, records, bytes, "the spool was damaged; these records are lost");
            }
        }
        self.queues[queue].add(Some(end), tally);
    }

    /// A frame is sent again.
    pub(crate) fn resent(&self, queue: usize, frame: &Frame) {
        self.note(queue, &frame.source, Settled { resent: frame.count, ..Settled::default() });
    }

    fn note(&self, queue: usize, source: &str, settled: Settled) {
        let tally = Tally::from([(source.to_owned(), settled)]);
        self.ledger.book(queue).note(&tally);
        self.queues[queue].add(None, tally);
    }

    /// Ends once all that was done is kept.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        let mut keepers = std::mem::take(&mut *self.keepers.lock().unwrap_or_else(PoisonError::into_inner));
        while keepers.join_next().await.is_some() {}
    }
}

struct Keeper {
    cursor: Cursor,
    counts: Counts,
}

/// Keeps the counts and moves the cursor behind the acks.
async fn keep(mut keeper: Keeper, queue: Arc<Queue>, mut closing: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            biased;
            () = queue.changed.notified() => {}
            _ = closing.wait_for(|closing| *closing) => return,
        }
        let (end, tally) = {
            let mut step = queue.lock();
            (step.end, std::mem::take(&mut step.tally))
        };
        match tokio::task::spawn_blocking(move || (keeper.keep(end, &tally), keeper)).await {
            Ok(((), back)) => keeper = back,
            Err(_) => return,
        }
    }
}

impl Keeper {
    /// The cursor moves even where the counts cannot be kept: else a full disk would never have room again.
    fn keep(&mut self, end: Position, tally: &Tally) {
        let end = end.max(self.cursor.position());
        if let Err(error) = self.counts.add(end, tally) {
            warn!(%error, "the ledger's counts are kept with the next acknowledgement");
        }
        if let Err(error) = self.cursor.advance(end) {
            warn!(%error, "acks are not kept; frames may be sent again after a restart");
        }
    }
}
