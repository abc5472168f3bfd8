//! Who this node is to the aggregator: a key that never leaves the state folder, and a short-lived certificate for it,
//! got by enrolment and renewed in time.
//!
//! | room | what it holds |
//! |---|---|
//! | `api` | configuration, what can go wrong |
//! | `proof` | what this node was given to enrol with, and the CA it came with |
//! | `store` | key and certificate in the state folder |
//! | `enroll` | the call |

mod api;
mod enroll;
pub(crate) mod fuzzing;
mod proof;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ao_common::backoff::Backoff;
use ao_common::health::Part;
use ao_common::tls::files;
use ao_common::tls::name::NodeId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tracing::{info, warn};

pub use self::api::{Config, IdentityError};
use self::store::{Held, Store};

/// Longest wait between two attempts to renew while the certificate still holds.
const RETRY: Duration = Duration::from_secs(60);

/// A peer that accepts a connection and then is silent is given up after this.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// See the module.
pub struct Identity {
    config: Config,
    id: NodeId,
    store: Arc<Store>,
    plaintext: bool,
    health: Part,
    held: watch::Sender<Option<Held>>,
}

impl Identity {
    /// Reads what the state folder holds. `plaintext`: nothing is needed, since no connection is encrypted.
    ///
    /// # Errors
    /// Where the folder cannot be used, or this node's name cannot stand in a certificate.
    pub fn open(
        data_dir: &Path,
        config: &Config,
        (cluster, node, agent): (&str, &str, [u8; 16]),
        plaintext: bool,
        health: Part,
    ) -> Result<Self, IdentityError> {
        health.ready();
        let store = Arc::new(Store::new(data_dir));
        let id = NodeId { cluster: cluster.to_owned(), node: node.to_owned(), agent };
        let mut held = None;
        if plaintext {
            warn!("aggregator.addresses say http://: data goes unencrypted and unauthenticated");
        } else {
            let id = NodeId::new(cluster, node, agent)?;
            store.prepare()?;
            held = store.load(&id);
        }
        Ok(Self { config: config.clone(), id, store, plaintext, health, held: watch::channel(held).0 })
    }

    /// Whether `http://` may be spoken at all: only where the configuration says so, never because a peer does.
    pub fn plaintext(&self) -> bool {
        self.plaintext
    }

    /// An endpoint for `https://` with this node's certificate; enrols there first where there is none that holds.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn secure(&self, endpoint: Endpoint, address: &str) -> Result<Endpoint, IdentityError> {
        let usable = self.held();
        let held = match usable {
            Some(held) => held,
            None => self.enroll(&endpoint, address).await?,
        };
        let tls = self.trust(&held.authorities, address)?.identity(held.identity());
        endpoint.tls_config(tls).map_err(|error| IdentityError::Setup(ao_common::tls::error::explain(&error)))
    }

    /// Waits until the certificate comes of age and has been renewed at `address`: then a new connection is due.
    pub async fn renewed(&self, endpoint: Endpoint, address: &str) {
        let mut held = self.held.subscribe();
        loop {
            // Of the certificate that the connection is made with, which may come only now.
            let due = match held.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(held)) if held.until > Instant::now() => held.renew_at,
                _ => Instant::now() + RETRY,
            };
            tokio::select! {
                () = sleep_until(due) => break,
                _ = held.changed() => {}
            }
        }
        let mut backoff = Backoff::new(Duration::from_secs(1), RETRY);
        while let Err(error) = self.enroll(&endpoint, address).await {
            warn!(%error, "the certificate is not renewed yet");
            self.health.troubled(format!("the certificate is not renewed yet: {error}"));
            sleep(backoff.next()).await;
        }
    }

    /// The aggregator refused the certificate, for this reason (`ao-reason`): what can be mended by a new one is.
    pub fn refused(&self, reason: &str) {
        match reason {
            "expired" | "foreign" | "invalid" | "another" | "missing" => {
                self.held.send_replace(None);
            }
            "forgotten" => {
                self.held.send_replace(None);
                if let Err(error) = self.store.forget_key() {
                    warn!(%error, "the key that the aggregator forgot stays");
                }
            }
            // Another agent has our name: a new certificate would be refused as well.
            _ => {}
        }
    }

    async fn enroll(&self, endpoint: &Endpoint, address: &str) -> Result<Held, IdentityError> {
        let before = self.held.borrow().clone();
        let given = proof::gather(&self.config);
        let stored = before.as_ref().map(|held| held.authorities.clone()).unwrap_or_default();
        // Without a proof at hand the certificate itself renews, while it holds.
        let renews = before.clone().filter(|held| held.until > Instant::now());
        let given = match (given, &renews) {
            (Ok(given), _) => given,
            (Err(_), Some(_)) => proof::Given::default(),
            (Err(error), None) => return Err(error),
        };
        let mut authorities = given.authorities;
        authorities.extend(stored);
        let mut tls = self.trust(&authorities, address)?;
        let by_certificate = renews.filter(|_| !matches!(given.proof, Some(proof::Proof::ServiceAccount(_))));
        let proof = match (given.proof, &by_certificate) {
            (_, Some(held)) => {
                tls = tls.identity(held.identity());
                None
            }
            (Some(proof), None) => Some(proof),
            (None, None) => return Err(IdentityError::NoProof),
        };
        let endpoint = endpoint.clone().tls_config(tls);
        let endpoint =
            endpoint.map_err(|error| IdentityError::Setup(ao_common::tls::error::explain(&error)))?;
        let store = Arc::clone(&self.store);
        let key =
            tokio::task::spawn_blocking(move || store.key()).await.map_err(|_| IdentityError::Stopped)??;
        let asked = Instant::now();
        let answer = enroll::call(endpoint, address, &self.id, &key, proof).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                if let IdentityError::Refused { reason, .. } = &error {
                    self.refused(reason);
                }
                return Err(error);
            }
        };
        let (store, id) = (Arc::clone(&self.store), self.id.clone());
        let keep = tokio::task::spawn_blocking(move || store.keep(&id, key, &answer, asked));
        let held = keep.await.map_err(|_| IdentityError::Stopped)??;
        info!(node = %self.id, lasts = ?held.until.duration_since(Instant::now()), "a new certificate");
        self.health.ready();
        self.held.send_replace(Some(held.clone()));
        Ok(held)
    }

    /// Trusts the CAs that came with the proof, and those the aggregator named at the last enrolment.
    fn trust(
        &self,
        stored: &[ao_common::tls::CertificateDer<'static>],
        address: &str,
    ) -> Result<ClientTlsConfig, IdentityError> {
        let mut authorities = proof::authorities(&self.config);
        authorities.extend_from_slice(stored);
        authorities.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
        authorities.dedup();
        if authorities.is_empty() {
            return Err(IdentityError::NoAuthority);
        }
        let pem = Certificate::from_pem(files::to_pem(&authorities));
        Ok(ClientTlsConfig::new().ca_certificate(pem).domain_name(host(address)).timeout(HANDSHAKE))
    }

    /// The certificate, while it holds.
    fn held(&self) -> Option<Held> {
        self.held.borrow().clone().filter(|held| held.until > Instant::now())
    }
}

/// The name or address in `https://HOST:PORT`; of `[::1]` without its brackets.
fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or(rest);
    let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests;
