//! What this node was given to enrol with, and the CA it came with. Files are read at each use: projected tokens and
//! mounted CAs are replaced while we run.

use std::path::{Path, PathBuf};

use ao_common::secret::Secret;
use ao_common::tls::bootstrap::Bootstrap;
use ao_common::tls::{CertificateDer, files};
use tracing::warn;

use crate::identity::api::{Config, IdentityError};

/// Where a pod has its token and CA mounted.
const POD_TOKEN: &str = "/var/run/secrets/ao-observability/token";
const POD_AUTHORITY: &str = "/var/run/secrets/ao-observability/ca.crt";
/// Where a host has its file.
const HOST_BOOTSTRAP: &str = "/etc/ao-agent/bootstrap";

/// Shown to the aggregator alone.
pub(crate) enum Proof {
    ServiceAccount(Secret),
    Bootstrap(Secret),
}

/// See the module.
#[derive(Default)]
pub(crate) struct Given {
    pub(crate) proof: Option<Proof>,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
}

/// Reads what there is; a service-account token goes before the bootstrap token.
///
/// # Errors
/// Where a file that is named cannot be used, or none is there.
pub(crate) fn gather(config: &Config) -> Result<Given, IdentityError> {
    let mut given = Given::default();
    if let Some(path) = place(config.ca_file.as_deref(), POD_AUTHORITY) {
        given.authorities = files::certificates(&files::read_text(&path)?, &path.display().to_string())?;
    }
    if let Some(path) = place(config.bootstrap_file.as_deref(), HOST_BOOTSTRAP) {
        let text = files::read_text(&path)?;
        if let Some(mode) = files::loose(&path).filter(|mode| mode & 0o007 != 0) {
            warn!(
                "everybody on this host may read the bootstrap token {} (mode {mode:o}): 0600 is enough",
                path.display()
            );
        }
        let bootstrap = Bootstrap::parse(&text, &path.display().to_string())?;
        given.authorities.extend(bootstrap.authorities);
        given.proof = Some(Proof::Bootstrap(bootstrap.token));
    }
    if let Some(path) = place(config.token_file.as_deref(), POD_TOKEN) {
        given.proof = Some(Proof::ServiceAccount(Secret::new(files::read_text(&path)?.trim())));
    }
    if given.proof.is_none() { Err(IdentityError::NoProof) } else { Ok(given) }
}

/// The CAs alone, as far as they can be read.
pub(crate) fn authorities(config: &Config) -> Vec<CertificateDer<'static>> {
    let mut found = Vec::new();
    let places = [
        place(config.ca_file.as_deref(), POD_AUTHORITY),
        place(config.bootstrap_file.as_deref(), HOST_BOOTSTRAP),
    ];
    for path in places.into_iter().flatten() {
        let origin = path.display().to_string();
        match files::read_text(&path).and_then(|text| files::certificates(&text, &origin)) {
            Ok(certificates) => found.extend(certificates),
            Err(error) => warn!(%error, "no CA from this file"),
        }
    }
    found
}

/// The configured file, or the usual one where it is there.
fn place(configured: Option<&Path>, usual: &str) -> Option<PathBuf> {
    configured.map(Path::to_owned).or_else(|| Some(PathBuf::from(usual)).filter(|path| path.exists()))
}
