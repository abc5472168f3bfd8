//! What stands in a certificate. The bytes may come from anybody.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::tls::error::TlsError;
use crate::tls::name::NodeId;
use crate::tls::{BACKDATE, hex, sha256};

/// SHA-256 of a public key (SubjectPublicKeyInfo, DER).
pub type Fingerprint = [u8; 32];

/// A node's certificate, read but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCertificate {
    /// Whose.
    pub id: NodeId,
    /// Of its key.
    pub key: Fingerprint,
    /// Hexadecimal.
    pub serial: String,
    /// Holds from here.
    pub not_before: SystemTime,
    /// To here.
    pub not_after: SystemTime,
}

impl NodeCertificate {
    /// Reads DER.
    ///
    /// # Errors
    /// [`TlsError::Certificate`], and [`TlsError::NotANode`] where it has not exactly one name of ours.
    pub fn read(der: &[u8]) -> Result<Self, TlsError> {
        let certificate = parse(der)?;
        let names = certificate.subject_alternative_name();
        let names = names.map_err(|error| TlsError::Certificate(error.to_string()))?;
        let none = || {
            TlsError::NotANode(
                "it has no alternative name that begins with spiffe://ao-observability/".to_owned(),
            )
        };
        let names = &names.ok_or_else(none)?.value.general_names;
        let mut found = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => NodeId::parse(uri),
            _ => None,
        });
        let id = found.next().ok_or_else(none)?;
        if found.next().is_some() {
            return Err(TlsError::NotANode("it names several".to_owned()));
        }
        let validity = certificate.validity();
        Ok(Self {
            id,
            key: sha256(certificate.public_key().raw),
            serial: hex(certificate.raw_serial()),
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
        })
    }

    /// From its making to its end.
    pub fn lifetime(&self) -> Duration {
        self.not_after.duration_since(self.not_before).unwrap_or_default().saturating_sub(BACKDATE)
    }
}

/// A certificate of any kind.
pub(crate) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, TlsError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(TlsError::Certificate("bytes follow it".to_owned())),
        Err(error) => Err(TlsError::Certificate(error.to_string())),
    }
}

pub(crate) fn time(unix_seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(unix_seconds).unwrap_or(0))
}
