//! Whether a node's certificate was signed by a CA of ours, for a client, and still holds.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error, RootCertStore};
use thiserror::Error as ThisError;

use crate::tls::error::TlsError;
use crate::tls::{provider, unix};

/// Why a certificate is not taken.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
pub enum Distrust {
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not begun.
    #[error("it is not valid yet: the aggregator's clock is behind that of the one that signed it")]
    NotYet,
    /// Signed by somebody else.
    #[error("it was not signed by a CA that this aggregator trusts")]
    Foreign,
    /// Made for another use, broken.
    #[error("it is not a node's: {0}")]
    Other(String),
}

/// The CAs trusted at one time.
#[derive(Clone, Debug)]
pub struct Trust(Arc<dyn ClientCertVerifier>);

impl Trust {
    /// Trusts these.
    ///
    /// # Errors
    /// [`TlsError::Authority`] where there are none, or one is broken.
    pub fn new(authorities: &[CertificateDer<'static>]) -> Result<Self, TlsError> {
        let broken = |error: String| TlsError::Authority(format!("it cannot be trusted: {error}"));
        let mut roots = RootCertStore::empty();
        for der in authorities {
            roots.add(der.clone()).map_err(|error| broken(error.to_string()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        verifier.map(Self).map_err(|error| broken(error.to_string()))
    }

    /// Checks the chain, the purpose and the time. The peer's own certificate comes first.
    ///
    /// # Errors
    /// See [`Distrust`].
    pub fn check(&self, chain: &[CertificateDer<'static>], now: SystemTime) -> Result<(), Distrust> {
        let [own, above @ ..] = chain else { return Err(Distrust::Other("there is none".to_owned())) };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(unix(now)));
        match self.0.verify_client_cert(own, above, now) {
            Ok(_) => Ok(()),
            Err(Error::InvalidCertificate(why)) => Err(match why {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Distrust::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Distrust::NotYet
                }
                // Another CA of the same name has another key.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Distrust::Foreign,
                other => Distrust::Other(other.to_string()),
            }),
            Err(other) => Err(Distrust::Other(other.to_string())),
        }
    }
}
