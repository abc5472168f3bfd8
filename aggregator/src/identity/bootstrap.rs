//! The bootstrap token: for hosts outside Kubernetes and for `make run`. Whoever has it can enrol a node that is not
//! here; it gives nothing else.

use std::path::{Path, PathBuf};

use ao_common::tls::bootstrap::Bootstrap as File;
use ao_common::tls::{CertificateDer, TlsError, files, random_token, sha256};
use tracing::warn;

use crate::identity::api::{BootstrapConfig, Refusal};

/// In the identity's folder: token and CA, to be copied to new hosts.
const FILE: &str = "bootstrap";

/// Knows where the token is; reads it at each use, so that one that was replaced counts at once.
pub(crate) struct Bootstrap {
    path: Option<PathBuf>,
}

impl Bootstrap {
    /// Makes a token at the first start, unless one is configured or none is wanted.
    pub(crate) fn open(
        folder: &Path,
        config: &BootstrapConfig,
        authorities: &[CertificateDer<'_>],
    ) -> Result<Self, TlsError> {
        if !config.enabled {
            return Ok(Self { path: None });
        }
        let own = folder.join(FILE);
        let path = config.token_file.clone().unwrap_or_else(|| own.clone());
        if path == own && !own.exists() {
            files::write_private(&own, File::format(&random_token(), authorities).as_bytes())?;
        }
        if let Some(mode) = files::loose(&path) {
            warn!("others than its owner may read the bootstrap token {} (mode {mode:o})", path.display());
            if path == own {
                files::tighten(&path)?;
            }
        }
        let this = Self { path: Some(path) };
        this.write(folder, authorities)?;
        Ok(this)
    }

    /// The file for new hosts, with the CAs of now.
    pub(crate) fn write(&self, folder: &Path, authorities: &[CertificateDer<'_>]) -> Result<(), TlsError> {
        let Some(path) = &self.path else { return Ok(()) };
        let text = File::format(&token(path)?, authorities);
        let own = folder.join(FILE);
        if own.exists() && files::read_text(&own)? == text {
            return Ok(());
        }
        files::write_private(&own, text.as_bytes())
    }

    /// Compares a token with ours: their digests, so that the time it takes tells nothing of the token.
    pub(crate) fn check(&self, given: &str) -> Result<(), Refusal> {
        let Some(path) = &self.path else {
            return Err(Refusal::proof(
                "this aggregator takes no bootstrap token (identity.bootstrap.enabled)",
            ));
        };
        let ours = token(path).map_err(|error| Refusal::unavailable(error.to_string()))?;
        if sha256(given.as_bytes()) != sha256(ours.as_bytes()) {
            let text = "the bootstrap token is not this aggregator's; \
                        `ao-aggregator identity bootstrap` prints the file that is";
            return Err(Refusal::proof(text));
        }
        Ok(())
    }
}

/// The file for a new host, as the process that runs has written it.
pub(crate) fn file(folder: &Path) -> Result<String, TlsError> {
    files::read_text(&folder.join(FILE))
}

fn token(path: &Path) -> Result<String, TlsError> {
    let parsed = File::parse(&files::read_text(path)?, &path.display().to_string())?;
    parsed.token.reveal().map_err(|error| TlsError::Pem(error.to_string()))
}
