//! The stream to the aggregator: frames from the spool go up, acks and directives come down. A frame leaves the
//! spool's window only when the aggregator has it on disk; after a break the stream goes on where the acks ended.
//!
//! | room | what it holds |
//! |---|---|
//! | `session` | one connection: hello, feeders, answers |
//! | `feed` | reads one class from the spool and sends it within the window |
//! | `flight` | what was sent and is not yet acknowledged |

mod feed;
mod flight;
mod session;

use std::sync::Arc;
use std::time::Duration;

use ao_common::backoff::Backoff;
use ao_common::health::Part;
use ao_common::journal::{Cursor, Journal, JournalError, Position};
use ao_common::units::{Size, Span};
use ao_proto::class::CLASSES;
use ao_proto::v1::Directives;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::context::Node;
use crate::metrics::Metrics;

/// Section `aggregator`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Aggregators, tried in turn: `http://host:4417`.
    pub addresses: Vec<String>,
    /// Bytes sent and not yet acknowledged.
    pub window: Size,
    /// Longest wait between two attempts to connect.
    pub retry: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addresses: vec!["http://127.0.0.1:4417".to_owned()],
            window: Size::mib(16),
            retry: Span::secs(5),
        }
    }
}

/// Why a connection ended. All are retried.
#[derive(Debug, Error)]
pub enum UplinkError {
    /// Not an address.
    #[error("{address:?} is not an aggregator's address such as http://aggregator:4417")]
    Address {
        /// As configured.
        address: String,
    },
    /// No connection.
    #[error("cannot reach the aggregator at {address}: {why}")]
    Connect {
        /// Where.
        address: String,
        /// What the transport says.
        why: String,
    },
    /// The aggregator ended or refused the stream.
    #[error("the aggregator at {address} ended the stream: {why}")]
    Ended {
        /// Where.
        address: String,
        /// What it says.
        why: String,
    },
    /// The spool cannot be read.
    #[error(transparent)]
    Spool(#[from] JournalError),
    /// The aggregator asked to go elsewhere.
    #[error("the aggregator sent this agent on to {0:?}")]
    Moved(Vec<String>),
}

/// What the uplink works with.
pub struct Uplink {
    /// See [`Config`].
    pub config: Config,
    /// The spool to read.
    pub journal: Journal,
    /// This agent's id.
    pub agent: [u8; 16],
    /// Epochs that may still be in the spool.
    pub epochs: Vec<u64>,
    /// Who.
    pub node: Arc<Node>,
    /// Where directives go; its value is what this agent holds.
    pub directives: Arc<watch::Sender<Arc<Directives>>>,
    /// See [`Metrics`].
    pub metrics: Arc<Metrics>,
    /// Ready while connected.
    pub health: Part,
}

/// Name of the cursor in each class of the spool.
const CURSOR: &str = "uplink";

/// How far the acks are, and how far anything was ever sent; by class.
struct Progress {
    acked: [watch::Sender<Position>; CLASSES.len()],
    sent: [watch::Sender<Position>; CLASSES.len()],
}

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
