//! The stream to the aggregator: frames from the spool go up, acks and directives come down. A frame leaves the
//! spool's window only when the aggregator has it on disk; after a break the stream goes on where the acks ended.
//!
//! | room | what it holds |
//! |---|---|
//! | `api` | what it works with, and why a connection ends |
//! | `addresses` | which aggregator is tried next |
//! | `patience` | how long it may be silent |
//! | `connect` | a channel to an address, a stream on a channel |
//! | `session` | one connection, with a call for each lane |
//! | `status` | what is going on, in words |
//! | `call` | one lane's call: hello, feeders, answers |
//! | `feed` | reads one queue from the spool and sends it within the window |
//! | `gate` | which lane may send next |
//! | `reach` | how other nodes reach this one, as the aggregator is told |
//! | `flight` | what was sent and is not yet acknowledged |

mod addresses;
mod api;
mod call;
mod connect;
mod feed;
mod flight;
mod gate;
mod patience;
mod reach;
mod session;
mod status;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::addresses::Addresses;
use self::api::SentBefore;
pub use self::api::{Config, Uplink, UplinkError};
use self::patience::Patience;

/// A reason for being without an aggregator is said again after this.
const SAY_EVERY: Duration = Duration::from_secs(60);

impl Uplink {
    /// Streams until `shutdown`; then what is in the spool stays there for the next start.
    pub async fn run(self, shutdown: CancellationToken) {
        let sent_before = Arc::<SentBefore>::default();
        let mut addresses = Addresses::new(self.config.addresses.clone(), self.config.retry.0);
        // How often in a row acknowledgements were waited for in vain.
        let mut strained = 0;
        let mut said = HashMap::<String, Instant>::new();
        while let Some((address, at)) = addresses.next(Instant::now()) {
            let patience = Patience::new(self.config.failover.0, addresses.has_others(), strained);
            let mut welcomed = || addresses.worked(&address, Instant::now());
            let attempt = async {
                tokio::time::sleep_until(at).await;
                session::run(&self, &address, patience, &sent_before, &mut welcomed).await
            };
            let ended = tokio::select! {
                () = shutdown.cancelled() => return,
                ended = attempt => ended,
                () = connect::renewed(&self, &address, patience) => UplinkError::Renewed,
            };
            self.metrics.connected.set(0);
            strained = if matches!(ended, UplinkError::Silent { .. }) { strained + 1 } else { 0 };
            match ended {
                UplinkError::Moved(to) if !to.is_empty() => {
                    info!(addresses = ?to, "moving to other aggregators, as told");
                    addresses.moved(&address, &to, Instant::now());
                }
                UplinkError::Renewed => info!("connecting anew, with the new certificate"),
                error => {
                    addresses.failed(&address, Instant::now());
                    let waiting = status::human(status::waiting(&self, None));
                    self.health.not_ready(format!("{error}; {waiting} wait in the spool"));
                    // Once for each reason and minute: an outage may be long.
                    let reason = error.to_string();
                    let known = said.get(&reason).is_some_and(|at| at.elapsed() < SAY_EVERY);
                    if !known {
                        warn!(reason, waiting, "data waits in the spool until an aggregator takes it");
                        said.retain(|_, at| at.elapsed() < SAY_EVERY);
                        said.insert(reason, Instant::now());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
