//! Key and certificate in the state folder, readable by their owner alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ao_common::clock;
use ao_common::tls::name::NodeId;
use ao_common::tls::read::NodeCertificate;
use ao_common::tls::{CertificateDer, TlsError, files, request};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::identity::api::IdentityError;

/// More than a rotation ever needs.
const MOST_AUTHORITIES: usize = 16;

/// A certificate with what belongs to it.
#[derive(Clone)]
pub(crate) struct Held {
    key_pem: String,
    chain: Vec<CertificateDer<'static>>,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
    /// Of this process's own clock, so that a step of the wall clock changes nothing.
    pub(crate) renew_at: Instant,
    pub(crate) until: Instant,
}

impl Held {
    /// As the transport wants it.
    pub(crate) fn identity(&self) -> tonic::transport::Identity {
        tonic::transport::Identity::from_pem(files::to_pem(&self.chain), &self.key_pem)
    }
}

/// What the aggregator answered to an enrolment.
pub(crate) struct Answer {
    pub(crate) address: String,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
}

/// See the module.
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join("identity") }
    }

    /// Makes the folder; closes a key that others could read.
    pub(crate) fn prepare(&self) -> Result<(), TlsError> {
        files::private_dir(&self.folder)?;
        let key = self.key_path();
        if let Some(mode) = files::loose(&key) {
            warn!(
                "others could read this node's key {} (mode {mode:o}); now only its owner can",
                key.display()
            );
            files::tighten(&key)?;
        }
        Ok(())
    }

    /// The key, made at the first time.
    pub(crate) fn key(&self) -> Result<String, TlsError> {
        let path = self.key_path();
        if path.exists() {
            return files::read_text(&path);
        }
        let key = request::make_key()?;
        files::write_private(&path, key.as_bytes())?;
        info!(path = %path.display(), "made this node's key");
        Ok(key)
    }

    /// The next enrolment makes a new one.
    pub(crate) fn forget_key(&self) -> std::io::Result<()> {
        std::fs::remove_file(self.key_path())
    }

    /// What an earlier run has left, where it still is this node's. `None` leads to an enrolment.
    pub(crate) fn load(&self, id: &NodeId) -> Option<Held> {
        let certificates = self.folder.join("node.crt");
        if !certificates.exists() {
            return None;
        }
        let held = self.read(&certificates, id);
        if let Err(error) = &held {
            info!(%error, "the stored certificate is of no use; a new one comes by enrolment");
        }
        held.ok()
    }

    fn read(&self, certificates: &Path, id: &NodeId) -> Result<Held, TlsError> {
        let key_pem = files::read_text(&self.key_path())?;
        let chain = files::certificates(&files::read_text(certificates)?, "node.crt")?;
        let authorities =
            files::certificates(&files::read_text(&self.folder.join("authorities.crt"))?, "authorities.crt")?;
        let read = ours(id, &key_pem, &chain)?;
        // The wall clock is all there is after a start; where it is wrong the aggregator says so and we enrol.
        let left = read.not_after.duration_since(clock::system_time()).unwrap_or_default();
        let left = left.min(read.lifetime());
        let age = read.lifetime().saturating_sub(left);
        let now = Instant::now();
        let renew_at = now + renewal(read.lifetime()).saturating_sub(age);
        Ok(Held { key_pem, chain, authorities, renew_at, until: now + left })
    }

    /// Checks that the answer is for this node and key, and keeps it. Its life began when it was `asked` for at the
    /// earliest: a disk that takes its time must not make it seem longer.
    pub(crate) fn keep(
        &self,
        id: &NodeId,
        key_pem: String,
        answer: &Answer,
        asked: Instant,
    ) -> Result<Held, IdentityError> {
        let wrong = |what| IdentityError::Answer { address: answer.address.clone(), what };
        let read =
            ours(id, &key_pem, &answer.chain).map_err(|_| wrong("a certificate that is not this node's"))?;
        if answer.authorities.is_empty() || answer.authorities.len() > MOST_AUTHORITIES {
            return Err(wrong("no list of CAs to trust, or too long a one"));
        }
        ao_common::tls::trust::Trust::new(&answer.authorities)
            .map_err(|_| wrong("a CA that cannot be trusted"))?;
        let write =
            |name, list| files::write_private(&self.folder.join(name), files::to_pem(list).as_bytes());
        write("authorities.crt", &answer.authorities)?;
        write("node.crt", &answer.chain)?;
        Ok(Held {
            key_pem,
            chain: answer.chain.clone(),
            authorities: answer.authorities.clone(),
            renew_at: asked + renewal(read.lifetime()),
            until: asked + read.lifetime(),
        })
    }

    fn key_path(&self) -> PathBuf {
        self.folder.join("node.key")
    }
}

/// Two thirds of the life, a little earlier at random: a fleet that enrolled together renews apart.
fn renewal(lifetime: Duration) -> Duration {
    lifetime.mul_f64(rand::random_range(0.60..0.667))
}

fn ours(id: &NodeId, key_pem: &str, chain: &[CertificateDer<'static>]) -> Result<NodeCertificate, TlsError> {
    let own = chain.first().ok_or_else(|| TlsError::Certificate("there is none".to_owned()))?;
    let read = NodeCertificate::read(own)?;
    let (_, key) = request::make_request(key_pem)?;
    if read.id != *id || read.key != key {
        return Err(TlsError::NotANode(format!("it is that of {}, or of another key", read.id)));
    }
    Ok(read)
}
