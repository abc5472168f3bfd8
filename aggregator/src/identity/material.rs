//! What handshakes and checks are made with: the CA, the trust in it, the server's certificate. Loaded again when a
//! file changes (a mounted secret that was replaced) and when the server's certificate comes of age; connections that
//! are open stay.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ao_common::clock;
use ao_common::tls::authority::Authority;
use ao_common::tls::server::{self, ServerConfig};
use ao_common::tls::trust::Trust;
use ao_common::tls::{TlsError, files, sha256};
use tracing::{info, warn};

use crate::identity::api::Config;

/// All of one time.
pub(crate) struct Material {
    pub(crate) authority: Arc<Authority>,
    pub(crate) trust: Trust,
    pub(crate) server: Arc<ServerConfig>,
    renew_at: SystemTime,
    read: [u8; 32],
}

/// Where it comes from.
pub(crate) struct Source {
    cert_file: PathBuf,
    key_file: PathBuf,
    trust_file: Option<PathBuf>,
    names: Vec<String>,
    lifetime: Duration,
}

/// The texts of the files, and a digest that changes when one of them does.
struct Read {
    certificates: String,
    key: String,
    more: String,
    digest: [u8; 32],
}

impl Source {
    /// Makes a CA where none is configured and there is none yet.
    pub(crate) fn open(folder: &Path, config: &Config, mut names: Vec<String>) -> Result<Self, TlsError> {
        names.extend(config.names.iter().cloned());
        names.sort();
        names.dedup();
        let lifetime = config.server_lifetime.0;
        if let Some(ca) = config.ca.clone() {
            if let Some(mode) = files::loose(&ca.key_file).filter(|mode| mode & 0o007 != 0) {
                let file = ca.key_file.display();
                warn!(
                    "everybody on this host may read the CA's key {file} (mode {mode:o}); 0400 or 0440 is enough"
                );
            }
            let (cert_file, key_file, trust_file) = (ca.cert_file, ca.key_file, ca.trust_file);
            return Ok(Self { cert_file, key_file, trust_file, names, lifetime });
        }
        let (cert_file, key_file) = (folder.join("ca.crt"), folder.join("ca.key"));
        if !cert_file.exists() {
            let (certificate, key) = Authority::make(clock::system_time())?;
            // The certificate last: where it is, the key is too.
            files::write_private(&key_file, key.as_bytes())?;
            files::write_private(&cert_file, certificate.as_bytes())?;
            info!(folder = %folder.display(), "made a CA for this installation");
        }
        if let Some(mode) = files::loose(&key_file) {
            warn!(
                "others could read the CA's key {} (mode {mode:o}); now only its owner can",
                key_file.display()
            );
            files::tighten(&key_file)?;
        }
        Ok(Self { cert_file, key_file, trust_file: None, names, lifetime })
    }

    /// Reads the files.
    pub(crate) fn load(&self, now: SystemTime) -> Result<Material, TlsError> {
        self.build(self.read()?, now)
    }

    /// `None` while nothing changed and the server's certificate is young.
    pub(crate) fn load_if_changed(
        &self,
        held: &Material,
        now: SystemTime,
    ) -> Result<Option<Material>, TlsError> {
        let read = self.read()?;
        if read.digest == held.read && now < held.renew_at {
            return Ok(None);
        }
        self.build(read, now).map(Some)
    }

    fn read(&self) -> Result<Read, TlsError> {
        let certificates = files::read_text(&self.cert_file)?;
        let key = files::read_text(&self.key_file)?;
        let more = self.trust_file.as_deref().map(files::read_text).transpose()?.unwrap_or_default();
        let digest = sha256(format!("{certificates}\0{key}\0{more}").as_bytes());
        Ok(Read { certificates, key, more, digest })
    }

    fn build(&self, read: Read, now: SystemTime) -> Result<Material, TlsError> {
        let authority = Authority::from_pem(&read.certificates, &read.key, &read.more)?;
        let identity = authority.serve_as(&self.names, self.lifetime, now)?;
        let life = identity.not_after.duration_since(now).unwrap_or_default();
        Ok(Material {
            trust: Trust::new(authority.trusted())?,
            authority: Arc::new(authority),
            server: server::config(identity)?,
            renew_at: now + life * 2 / 3,
            read: read.digest,
        })
    }
}
