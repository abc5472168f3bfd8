//! The client's side towards servers that are not ours, such as those that are probed: whom it trusts. TLS 1.2 and 1.3. Each
//! handshake is a whole one, so that each certificate is checked.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::tls::error::TlsError;
use crate::tls::{files, provider};

pub use rustls::ClientConfig;

/// Trusts servers whose certificates are signed by one of a file's (PEM), or, without one, by those that the system
/// trusts.
///
/// # Errors
/// Where the file cannot be read or holds none, or the system trusts nobody.
pub fn checked(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        let origin = path.display().to_string();
        for certificate in files::certificates(&files::read_text(path)?, &origin)? {
            let broken = |error: Error| TlsError::Pem(format!("{origin}: {error}"));
            roots.add(certificate).map_err(broken)?;
        }
    } else {
        // Systems carry a certificate now and then that is not quite right: the others do.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        let why = "this system trusts no certificates (Debian: package ca-certificates); name a file of them";
        return Err(TlsError::Pem(why.to_owned()));
    }
    finish(|builder| builder.with_root_certificates(roots).with_no_client_auth())
}

/// Takes any certificate. Only that the server has its key is checked.
///
/// # Errors
/// [`TlsError::Setup`].
pub fn unchecked() -> Result<ClientConfig, TlsError> {
    let anybody = Arc::new(Anybody(provider()));
    finish(|builder| builder.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth())
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn finish(build: impl FnOnce(Builder) -> ClientConfig) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let mut config = build(builder.map_err(|error| TlsError::Setup(error.to_string()))?);
    config.resumption = Resumption::disabled();
    Ok(config)
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _own: &CertificateDer<'_>,
        _above: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
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
