//! Who may speak: the CA, enrolment, and which key is whose.
//!
//! A node proves itself once (a Kubernetes service-account token or the bootstrap token) and gets a certificate for
//! its name; each stream is then checked against the CA, the clock and the list of live keys.
//!
//! | room | what it holds |
//! |---|---|
//! | `api` | configuration, who is at the other end, why somebody is refused |
//! | `material` | the CA, the trust in it and the server's certificate; read again when files change |
//! | `registry` | one live key for each node's name |
//! | `presence` | a stream's right to go on: until its certificate ends or its node is forgotten |
//! | `bootstrap` | the token for hosts outside Kubernetes |
//! | `kubernetes` | asks the API server whose a service-account token is |
//! | `limits` | how often enrolment may be tried |
//! | `enroll` | from a proof and a request to a certificate |
//! | `command` | `ao-aggregator identity ...` |

mod api;
mod bootstrap;
mod command;
mod enroll;
pub(crate) mod fuzzing;
mod kubernetes;
mod limits;
mod material;
mod metrics;
mod presence;
mod registry;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ao_common::clock;
use ao_common::health::Part;
use ao_common::tls::name::NodeId;
use ao_common::tls::read::NodeCertificate;
use ao_common::tls::server::ServerConfig;
use ao_common::tls::{TlsError, files};
use ao_proto::v1::Hello;
use prometheus_client::registry::Registry as Prometheus;
use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use api::{Config, Peer, Refusal};
pub use command::{Command, run as run_command};
pub use presence::Presence;

use self::api::FOLDER;
use self::bootstrap::Bootstrap;
use self::kubernetes::{Reviewer, ReviewerError};
use self::limits::Limits;
use self::material::{Material, Source};
use self::metrics::Metrics;
use self::registry::Registry;

/// Enrolments worked on at one time; more are told to come again.
const AT_ONCE: usize = 32;

/// Why the aggregator cannot prove who it is.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// Files, the CA.
    #[error("identity: {0}")]
    Tls(#[from] TlsError),
    /// The Kubernetes API.
    #[error(transparent)]
    Kubernetes(#[from] ReviewerError),
    /// Blocking work that did not end.
    #[error("identity: its files could not be worked on")]
    Stopped,
}

/// See the module.
pub struct Identity {
    config: Config,
    folder: PathBuf,
    source: Source,
    material: watch::Sender<Arc<Material>>,
    registry: Registry,
    bootstrap: Bootstrap,
    reviewer: Option<Reviewer>,
    limits: Limits,
    at_once: Semaphore,
    metrics: Metrics,
}

impl Identity {
    /// Opens the CA (made at the first start, unless files are configured) and the list of nodes. Blocking.
    /// `names` are what the server's certificate says beside the configured names.
    ///
    /// # Errors
    /// Where a file cannot be used; sentences with the fix in them.
    pub fn open(
        data_dir: &Path,
        config: &Config,
        names: Vec<String>,
        metrics: &mut Prometheus,
    ) -> Result<Self, IdentityError> {
        let folder = data_dir.join(FOLDER);
        files::private_dir(&folder)?;
        let source = Source::open(&folder, config, names)?;
        let material = source.load(clock::system_time())?;
        let bootstrap = Bootstrap::open(&folder, &config.bootstrap, material.authority.trusted())?;
        let registry = Registry::open(&folder, config.takeover_after.0)?;
        let reviewer = config.kubernetes.clone().map(Reviewer::open).transpose()?;
        Ok(Self {
            config: config.clone(),
            folder,
            source,
            material: watch::channel(Arc::new(material)).0,
            registry,
            bootstrap,
            reviewer,
            limits: Limits::default(),
            at_once: Semaphore::new(AT_ONCE),
            metrics: Metrics::register(metrics),
        })
    }

    /// What handshakes are made with; changes while running.
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.material.borrow().server)
    }

    /// The certificate at the other end, checked against CA and clock.
    ///
    /// # Errors
    /// The refusal, where there is none or it does not hold.
    pub fn caller(&self, peer: &Peer) -> Result<NodeCertificate, Refusal> {
        let Some(own) = peer.certificates.first() else { return Err(Refusal::missing()) };
        let trust = self.material.borrow().trust.clone();
        let read = NodeCertificate::read(own).map_err(|error| Refusal::invalid(&error.to_string()))?;
        let checked = trust.check(&peer.certificates, clock::system_time());
        checked.map(|()| read.clone()).map_err(|why| Refusal::distrusted(&read, &why))
    }

    /// Lets a stream of this caller begin: its hello must name the certificate's node, and its key be the live one.
    ///
    /// # Errors
    /// The refusal.
    pub fn admit(&self, caller: &NodeCertificate, hello: &Hello) -> Result<Presence, Refusal> {
        let agent = hello.agent.as_slice().try_into().unwrap_or_default();
        let said = NodeId { cluster: hello.cluster.clone(), node: hello.node.clone(), agent };
        if said != caller.id {
            return Err(Refusal::another(&caller.id, &said));
        }
        Presence::enter(&self.registry, caller, clock::system_time())
    }

    /// Keeps files and memory in step until the shutdown: certificates that were replaced, nodes to forget, the list
    /// of nodes.
    pub async fn run(self: Arc<Self>, health: Part, shutdown: CancellationToken) {
        health.ready();
        let mut tick = tokio::time::interval(self.config.reload.0);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let ends = tokio::select! {
                () = shutdown.cancelled() => true,
                _ = tick.tick() => false,
            };
            let this = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || this.keep())
                .await
                .unwrap_or(Err(IdentityError::Stopped))
            {
                Ok(()) => health.ready(),
                Err(error) => {
                    warn!(%error, "certificates stay as they were");
                    health.troubled(error.to_string());
                }
            }
            if ends {
                return;
            }
        }
    }

    fn keep(&self) -> Result<(), IdentityError> {
        let now = clock::system_time();
        self.registry.forget_as_asked(&self.folder, now)?;
        self.registry.save(now)?;
        let held = Arc::clone(&self.material.borrow());
        if let Some(new) = self.source.load_if_changed(&held, now)? {
            tracing::info!(trusts = new.authority.trusted().len(), "new certificates are in use");
            self.bootstrap.write(&self.folder, new.authority.trusted())?;
            self.material.send_replace(Arc::new(new));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
