//! The stream to the aggregator: frames from the spool go up, acks and directives come down. A frame leaves the
//! spool's window only when the aggregator has it on disk; after a break the stream goes on where the acks ended.
//!
//! | room | what it holds |
//! |---|---|
//! | `api` | what it works with, and why a connection ends |
//! | `connect` | a channel to an address, a stream on a channel |
//! | `session` | one connection, with a call for each lane |
//! | `call` | one lane's call: hello, feeders, answers |
//! | `feed` | reads one queue from the spool and sends it within the window |
//! | `gate` | which lane may send next |
//! | `flight` | what was sent and is not yet acknowledged |

mod api;
mod call;
mod connect;
mod feed;
mod flight;
mod gate;
mod session;

use std::sync::Arc;
use std::time::Duration;

use ao_common::backoff::Backoff;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::api::SentBefore;
pub use self::api::{Config, Uplink, UplinkError};

impl Uplink {
    /// Streams until `shutdown`; then what is in the spool stays there for the next start.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let sent_before = Arc::<SentBefore>::default();
        let mut backoff = Backoff::new(Duration::from_millis(200), self.config.retry.0);
        let mut turn = 0;
        while !shutdown.is_cancelled() {
            let address = self.config.addresses[turn % self.config.addresses.len()].clone();
            turn += 1;
            let ended = tokio::select! {
                () = shutdown.cancelled() => break,
                ended = session::run(&self, &address, &sent_before, &mut backoff) => ended,
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
    }
}
