//! The aggregator's side of a handshake: TLS 1.3, HTTP/2.
//!
//! A client's certificate is asked for but not demanded here, since a node that enrols has none yet. What a client
//! shows is proved to be its own (the signature over the handshake is checked); whether it is a node's, of a trusted
//! CA and in its time is checked at each call ([`crate::tls::trust`]), where a refusal can be told in words and a
//! CA that is no longer trusted counts at once.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};

use crate::tls::authority::ServerIdentity;
use crate::tls::error::TlsError;
use crate::tls::provider;

pub use rustls::ServerConfig;

/// For one certificate; made anew when the certificate is.
///
/// # Errors
/// [`TlsError::Setup`].
pub fn config(identity: ServerIdentity) -> Result<Arc<ServerConfig>, TlsError> {
    let setup = |error: Error| TlsError::Setup(error.to_string());
    let provider = provider();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key));
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(setup)?
        .with_client_cert_verifier(Arc::new(Anonymous(provider)))
        .with_single_cert(identity.chain, key)
        .map_err(setup)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // Connections last for hours: resumption would save nothing and keep state.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Everybody is anonymous until a call has checked the certificate.
#[derive(Debug)]
struct Anonymous(Arc<CryptoProvider>);

impl ClientCertVerifier for Anonymous {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _own: &CertificateDer<'_>,
        _above: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
