//! What goes wrong with keys and certificates, as sentences.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// See the module. None of them contains a key or a token.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file or folder.
    #[error("cannot {what} {}: {cause}", path.display())]
    File {
        /// "read", "write".
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A text that is no PEM, or holds nothing of what is needed.
    #[error("{0}")]
    Pem(String),
    /// Not the DER of an X.509 certificate.
    #[error("this is no certificate: {0}")]
    Certificate(String),
    /// A certificate of another kind than a node's.
    #[error("the certificate names no node: {0}")]
    NotANode(String),
    /// A name that cannot stand in a certificate.
    #[error(
        "{what} {name:?} cannot be certified: 1 to 253 of a-z, A-Z, 0-9, dot, dash and underscore, not beginning with a dot"
    )]
    Name {
        /// "the node's name", "the cluster's name".
        what: &'static str,
        /// As given, cut.
        name: String,
    },
    /// A request that is refused.
    #[error("the certificate request is refused: {0}")]
    Request(String),
    /// The CA's files do not belong together, or are not a CA's.
    #[error("the CA cannot be used: {0}")]
    Authority(String),
    /// What the TLS library refuses.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl TlsError {
    pub(crate) fn read(path: &Path, cause: io::Error) -> Self {
        Self::File { what: "read", path: path.to_owned(), cause }
    }

    pub(crate) fn write(path: &Path, cause: io::Error) -> Self {
        Self::File { what: "write", path: path.to_owned(), cause }
    }
}

/// What lies at the bottom of a transport's error, in words where it is about certificates.
pub fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    loop {
        // An io::Error hides the error that it carries from `source`.
        let carried = cause.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        let tls = carried.and_then(|carried| carried.downcast_ref::<rustls::Error>());
        if let Some(tls) = tls.or_else(|| cause.downcast_ref::<rustls::Error>()) {
            return words(tls);
        }
        match cause.source() {
            Some(below) => cause = below,
            None => return cause.to_string(),
        }
    }
}

fn words(error: &rustls::Error) -> String {
    use rustls::{CertificateError as Bad, Error};
    match error {
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "its certificate is not signed by the CA that this agent was given".to_owned()
        }
        Error::InvalidCertificate(why @ (Bad::NotValidForName | Bad::NotValidForNameContext { .. })) => {
            format!("{why}; add the name that the agent uses to identity.names at the aggregator")
        }
        Error::InvalidCertificate(
            why @ (Bad::Expired
            | Bad::ExpiredContext { .. }
            | Bad::NotValidYet
            | Bad::NotValidYetContext { .. }),
        ) => format!("its {why}; is this host's clock right?"),
        Error::InvalidMessage(_) => "it does not speak TLS (it may have ingest.plaintext: true)".to_owned(),
        other => other.to_string(),
    }
}
