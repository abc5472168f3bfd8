//! Why a question to a service had no good answer: a word for metrics, a sentence for people.

use std::io;

use ao_common::tls::TlsError;
use tokio_rustls::rustls;

/// The words of [`Failure::reason`].
pub(crate) const REASONS: [&str; 7] =
    ["timeout", "connection", "tls", "certificate", "trust", "status", "answer"];

/// See the module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing, or not all of it, came in time.
    #[error("no answer in time")]
    Timeout,
    /// It refuses, is not reached, or hangs up.
    #[error("{0}")]
    Connection(io::Error),
    /// It speaks no TLS, or none that we do.
    #[error("no TLS with it: {0}")]
    Tls(rustls::Error),
    /// Expired, for another name, signed by nobody whom we trust.
    #[error("its certificate is not taken: {0}")]
    Certificate(rustls::Error),
    /// What certificates are to be checked by cannot be had; the server was not asked.
    #[error("certificates cannot be checked: {0}")]
    Trust(TlsError),
    /// An HTTP status that says no.
    #[error("it answers with status {0}")]
    Status(u16),
    /// It answers something else than was asked, or refuses.
    #[error("{0}")]
    Answer(String),
}

impl Failure {
    /// One of [`REASONS`].
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection(_) => "connection",
            Self::Tls(_) => "tls",
            Self::Certificate(_) => "certificate",
            Self::Trust(_) => "trust",
            Self::Status(_) => "status",
            Self::Answer(_) => "answer",
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(bad @ rustls::Error::InvalidCertificate(_)) => Self::Certificate(bad.clone()),
            Some(other) => Self::Tls(other.clone()),
            None if error.kind() == io::ErrorKind::TimedOut => Self::Timeout,
            None => Self::Connection(error),
        }
    }
}
