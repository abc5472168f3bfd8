//! The configuration, and what can go wrong.

use std::path::PathBuf;

use ao_common::tls::TlsError;
use serde::Deserialize;
use thiserror::Error;

/// Section `aggregator.tls`. What is left out is looked for at the usual places: in a pod
/// `/var/run/secrets/ao-observability/{token,ca.crt}`, on a host `/etc/ao-agent/bootstrap`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// PEM: the CA that signs the aggregators' certificates.
    pub ca_file: Option<PathBuf>,
    /// A projected service-account token.
    pub token_file: Option<PathBuf>,
    /// What `ao-aggregator identity bootstrap` prints: the bootstrap token and the CA; or the token alone.
    pub bootstrap_file: Option<PathBuf>,
}

/// Why there is no certificate. All are tried again.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// Keys, certificates, files.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nothing to enrol with.
    #[error(
        "this node has nothing to enrol with: put the output of `ao-aggregator identity bootstrap` into a file and name it \
         in aggregator.tls.bootstrap_file (or a projected token in aggregator.tls.token_file)"
    )]
    NoProof,
    /// Nothing to check the aggregator's certificate against.
    #[error(
        "there is no CA to check the aggregator's certificate against: name it in aggregator.tls.ca_file, or put the \
         output of `ao-aggregator identity bootstrap`, which holds it, into aggregator.tls.bootstrap_file"
    )]
    NoAuthority,
    /// The connection could not be prepared.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
    /// No connection.
    #[error("cannot reach the aggregator at {address} to enrol: {why}")]
    Connect {
        /// Where.
        address: String,
        /// What the transport says.
        why: String,
    },
    /// The aggregator says no.
    #[error("the aggregator at {address} refused to enrol this node: {why}")]
    Refused {
        /// Where.
        address: String,
        /// Its `ao-reason`; empty where it gave none.
        reason: String,
        /// Its sentence.
        why: String,
    },
    /// What came is no certificate for us.
    #[error("the aggregator at {address} answered the enrolment with {what}")]
    Answer {
        /// Where.
        address: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The process is stopping.
    #[error("the agent is stopping")]
    Stopped,
}
