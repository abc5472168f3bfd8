//! A stream's right to go on.

use std::time::SystemTime;

use ao_common::tls::name::NodeId;
use ao_common::tls::read::{Fingerprint, NodeCertificate};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::identity::api::Refusal;
use crate::identity::registry::Registry;

/// Held by a stream; the node counts as here until it is dropped.
pub struct Presence {
    registry: Registry,
    id: NodeId,
    key: Fingerprint,
    until: Instant,
    forgets: watch::Receiver<u64>,
}

impl Presence {
    /// Enters the stream's node into the list.
    ///
    /// # Errors
    /// The refusal, where the name is another's.
    pub(crate) fn enter(
        registry: &Registry,
        caller: &NodeCertificate,
        now: SystemTime,
    ) -> Result<Self, Refusal> {
        registry.enter(caller, now)?;
        let left = caller.not_after.duration_since(now).unwrap_or_default();
        Ok(Self {
            registry: registry.clone(),
            id: caller.id.clone(),
            key: caller.key,
            until: Instant::now() + left,
            forgets: registry.forgets(),
        })
    }

    /// Waits until the stream must end: the certificate has ended, or its node was forgotten. May be dropped and
    /// called again.
    pub async fn ended(&mut self) -> Refusal {
        loop {
            let changed = tokio::select! {
                () = tokio::time::sleep_until(self.until) => return Refusal::expired(&self.id),
                changed = self.forgets.changed() => changed,
            };
            if changed.is_err() || self.registry.is_forgotten(&self.key) {
                return Refusal::forgotten(&self.id);
            }
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.registry.leave(&self.id, &self.key);
    }
}
