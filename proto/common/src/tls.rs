//! Who a node is and how both ends prove it: certificates, keys, and the files they lie in. One TLS implementation
//! (rustls), one cryptography provider (ring), TLS 1.3 alone between our own two ends.
//!
//! | room | what it holds |
//! |---|---|
//! | [`error`](mod@error) | what goes wrong, as sentences |
//! | [`files`] | secrets written atomically, for their owner alone |
//! | [`name`] | a node's identity, and its form in a certificate |
//! | [`read`] | what stands in a certificate |
//! | [`request`] | a node's key, and its request for a certificate |
//! | [`authority`] | the CA: signs nodes and servers |
//! | [`trust`] | whether a node's certificate is one of ours and still holds |
//! | [`server`] | the aggregator's side of a handshake |
//! | [`client`] | a client's side, towards servers that are not ours |
//! | [`bootstrap`] | the one file that a host outside Kubernetes needs to enrol |

pub mod authority;
pub mod bootstrap;
pub mod client;
pub mod error;
pub mod files;
pub mod name;
pub mod read;
pub mod request;
pub mod server;
pub mod trust;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::{CryptoProvider, ring};

pub use error::TlsError;
pub use rustls::pki_types::CertificateDer;

/// Certificates begin this long before they are made, since the clocks of replicas differ a little. So a node's
/// certificate lasts `not_after - not_before - BACKDATE` from its making.
pub const BACKDATE: Duration = Duration::from_secs(60);

/// The one provider.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ::ring::digest::digest(&::ring::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A random text of 256 bits, for tokens.
pub fn random_token() -> String {
    let random: [u8; 32] = rand::random();
    hex(&random)
}

/// Seconds since 1970; before it: 0.
pub(crate) fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
