//! How far the aggregator has acknowledged each queue. A task per queue moves its cursor, so that no answer waits for an
//! fsync; acks that come during one cost one more.

use std::sync::{Mutex, PoisonError};

use ao_common::journal::{Cursor, Journal, JournalError, Position};
use ao_proto::queue::QUEUES;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

/// Name of the cursor in each queue of the spool.
const CURSOR: &str = "uplink";

/// See the module.
pub struct Acks {
    /// By queue.
    acked: [watch::Sender<Position>; QUEUES.len()],
    keepers: Mutex<JoinSet<()>>,
    closing: watch::Sender<bool>,
}

impl Acks {
    /// Opens the cursors.
    ///
    /// # Errors
    /// Where one cannot be opened.
    pub(crate) fn open(journal: &Journal) -> Result<Self, JournalError> {
        let (closing, closed) = watch::channel(false);
        let mut keepers = JoinSet::new();
        let acked = std::array::from_fn(|_| watch::channel(Position::default()).0);
        for (queue, acked) in acked.iter().enumerate() {
            let cursor = journal.cursor(queue, CURSOR)?;
            acked.send_replace(cursor.position());
            keepers.spawn(keep(cursor, acked.subscribe(), closed.clone()));
        }
        Ok(Self { acked, keepers: Mutex::new(keepers), closing })
    }

    /// Everything before this is with the aggregator, or will never be taken.
    pub(crate) fn position(&self, queue: usize) -> Position {
        *self.acked[queue].borrow()
    }

    /// Moves on; never back.
    pub(crate) fn done(&self, queue: usize, end: Position) {
        self.acked[queue].send_if_modified(|acked| {
            let newer = end > *acked;
            *acked = end.max(*acked);
            newer
        });
    }

    /// Ends once all that was done is kept.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        let mut keepers = std::mem::take(&mut *self.keepers.lock().unwrap_or_else(PoisonError::into_inner));
        while keepers.join_next().await.is_some() {}
    }
}

/// Moves a cursor behind the acks.
async fn keep(mut cursor: Cursor, mut acked: watch::Receiver<Position>, mut closing: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            biased;
            changed = acked.changed() => if changed.is_err() { return },
            _ = closing.wait_for(|closing| *closing) => return,
        }
        let to = *acked.borrow_and_update();
        let moved = tokio::task::spawn_blocking(move || (cursor.advance(to), cursor)).await;
        match moved {
            Ok((result, back)) => {
                cursor = back;
                if let Err(error) = result {
                    warn!(%error, "acks are not kept; frames may be sent again after a restart");
                }
            }
            Err(_) => return,
        }
    }
}
