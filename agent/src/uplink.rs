//! The stream to the aggregator: frames from the spool go up, acks and directives come down. A frame leaves the
//! spool's window only when the aggregator has it on disk; after a break the stream goes on where the acks ended.
//!
//! | room | what it holds |
//! |---|---|
//! | `api` | what it works with, and why a connection ends |
//! | `connect` | a channel to an address, a stream on a channel |
//! | `session` | one connection: hello, feeders, answers |
//! | `feed` | reads one class from the spool and sends it within the window |
//! | `flight` | what was sent and is not yet acknowledged |

mod api;
mod connect;
mod feed;
mod flight;
mod session;

use std::sync::Arc;
use std::time::Duration;

use ao_common::backoff::Backoff;
use ao_common::journal::{Cursor, Position};
use ao_proto::class::CLASSES;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::api::Progress;
pub use self::api::{Config, Uplink, UplinkError};

/// Name of the cursor in each class of the spool.
const CURSOR: &str = "uplink";

impl Uplink {
    /// Streams until `shutdown`; then what is in the spool stays there for the next start.
    ///
    /// # Errors
    /// Where the spool's cursors cannot be opened.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), UplinkError> {
        let (progress, mut keepers) = self.progress()?;
        let progress = Arc::new(progress);
        let mut backoff = Backoff::new(Duration::from_millis(200), self.config.retry.0);
        let mut turn = 0;
        while !shutdown.is_cancelled() {
            let address = self.config.addresses[turn % self.config.addresses.len()].clone();
            turn += 1;
            let ended = tokio::select! {
                () = shutdown.cancelled() => break,
                ended = session::run(&self, &address, &progress, &mut backoff) => ended,
            };
            self.metrics.connected.set(0);
            match ended {
                UplinkError::Moved(addresses) if !addresses.is_empty() => {
                    info!(?addresses, "moving to other aggregators, as told");
                    self.config.addresses = addresses;
                    turn = 0;
                }
                error => {
                    let wait = backoff.next();
                    self.health.not_ready(error.to_string());
                    warn!(%error, "data waits in the spool; trying again in {wait:?}");
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
        drop(progress);
        while keepers.join_next().await.is_some() {}
        Ok(())
    }

    /// Opens the cursors; each is moved by a task of its own, so that no answer waits for an fsync.
    fn progress(&self) -> Result<(Progress, JoinSet<()>), UplinkError> {
        let mut keepers = JoinSet::new();
        let mut acked = Vec::new();
        for class in 0..CLASSES.len() {
            let cursor = self.journal.cursor(class, CURSOR)?;
            let (sender, receiver) = watch::channel(cursor.position());
            keepers.spawn(keep(cursor, receiver));
            acked.push(sender);
        }
        let mut acked = acked.into_iter();
        // As many as there are classes, made just above.
        let acked =
            std::array::from_fn(|_| acked.next().unwrap_or_else(|| watch::channel(Position::default()).0));
        let sent = std::array::from_fn(|_| watch::channel(Position::default()).0);
        Ok((Progress { acked, sent }, keepers))
    }
}

/// Moves a cursor behind the acks; several acks that come during one fsync cost one more.
async fn keep(mut cursor: Cursor, mut acked: watch::Receiver<Position>) {
    while acked.changed().await.is_ok() {
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
