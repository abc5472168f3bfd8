//! A node's key, and its request for a certificate (PKCS #10, RFC 2986): made at the agent, checked at the aggregator.

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};

use crate::tls::error::TlsError;
use crate::tls::read::Fingerprint;
use crate::tls::sha256;

/// Largest request; one of ours has some 200 bytes.
pub const MAX_REQUEST_BYTES: usize = 4 << 10;

/// Makes a key: ECDSA on P-256, PKCS #8 as PEM.
///
/// # Errors
/// [`TlsError::Setup`] where the system gives no random bytes.
pub fn make_key() -> Result<String, TlsError> {
    let made = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
    made.map(|key| key.serialize_pem())
        .map_err(|error| TlsError::Setup(format!("no key can be made: {error}")))
}

/// A request for this key, as DER, and the key's fingerprint. It names nobody: the proof beside it does.
///
/// # Errors
/// [`TlsError::Pem`] where the text holds no key.
pub fn make_request(key_pem: &str) -> Result<(Vec<u8>, Fingerprint), TlsError> {
    let key = read_key(key_pem)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(|error| TlsError::Setup(error.to_string()))?;
    Ok((request.der().to_vec(), sha256(&key.subject_public_key_info())))
}

pub(crate) fn read_key(pem: &str) -> Result<KeyPair, TlsError> {
    KeyPair::from_pem(pem).map_err(|_| {
        TlsError::Pem(
            "no private key that can be used: PKCS #8 as PEM (\"BEGIN PRIVATE KEY\") is needed; \
             `openssl pkcs8 -topk8 -nocrypt` converts others"
                .to_owned(),
        )
    })
}

/// A request whose sender has shown that the key is its own.
pub struct Checked {
    pub(crate) public_key: rcgen::PublicKey,
    /// Of its key.
    pub key: Fingerprint,
}

/// Checks size, form, kind of key and signature. Subject and extensions are not looked at: they prove nothing.
///
/// # Errors
/// [`TlsError::Request`].
pub fn check(der: &[u8]) -> Result<Checked, TlsError> {
    if der.len() > MAX_REQUEST_BYTES {
        return Err(TlsError::Request(format!(
            "it has {} bytes, {MAX_REQUEST_BYTES} are allowed",
            der.len()
        )));
    }
    let request = CertificateSigningRequestParams::from_der(&der.into())
        .map_err(|error| TlsError::Request(error.to_string()))?;
    if request.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
        return Err(TlsError::Request("its key is not ECDSA on P-256".to_owned()));
    }
    let key = sha256(&request.public_key.subject_public_key_info());
    Ok(Checked { public_key: request.public_key, key })
}
