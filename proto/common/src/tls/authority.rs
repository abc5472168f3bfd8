//! The CA of one installation. Replicas share it: its files may come from a mounted secret and be replaced while
//! running. During a rotation several CAs are trusted while one signs.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

use crate::tls::error::TlsError;
use crate::tls::name::NodeId;
use crate::tls::request::{self, Checked};
use crate::tls::{BACKDATE, files, hex, read, unix};

/// A CA that we make lasts ten years.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);
/// An agent whose clock is behind must still be able to connect and learn so: servers' certificates begin early.
const SERVER_BACKDATE: Duration = Duration::from_secs(48 * 3600);

/// Signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    not_after: SystemTime,
    trusted: Vec<CertificateDer<'static>>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority(trusts {})", self.trusted.len())
    }
}

/// A server's certificate and key; they live in memory alone.
pub struct ServerIdentity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Vec<u8>,
    /// When it ends.
    pub not_after: SystemTime,
}

impl Authority {
    /// Makes a new one: its certificate and its key, both as PEM.
    ///
    /// # Errors
    /// [`TlsError::Setup`].
    pub fn make(now: SystemTime) -> Result<(String, String), TlsError> {
        let setup = |error: rcgen::Error| TlsError::Setup(format!("no CA can be made: {error}"));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(setup)?;
        let random: [u8; 4] = rand::random();
        let mut params = params(&format!("AO Observability CA {}", hex(&random)));
        valid(&mut params, now - SERVER_BACKDATE, now + AUTHORITY_LIFETIME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(setup)?;
        Ok((files::to_pem(&[certificate.der().clone()]), key.serialize_pem()))
    }

    /// From PEM texts: the first certificate is that of the key; all others, and those of `more`, are trusted too.
    ///
    /// # Errors
    /// [`TlsError::Pem`] and [`TlsError::Authority`].
    pub fn from_pem(certificates: &str, key: &str, more: &str) -> Result<Self, TlsError> {
        let mut trusted = files::certificates(certificates, "the CA's certificate")?;
        let first = trusted.first().cloned();
        let first = first.ok_or_else(|| TlsError::Authority("its file holds no certificate".to_owned()))?;
        trusted.extend(files::certificates(more, "the list of trusted CAs")?);
        let key = request::read_key(key)?;
        let parsed = read::parse(&first)?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            let text = "its key is not that of its certificate; replace both files together";
            return Err(TlsError::Authority(text.to_owned()));
        }
        for der in &trusted {
            if !read::parse(der)?.is_ca() {
                return Err(TlsError::Authority("one of its certificates is not a CA's".to_owned()));
            }
        }
        let not_after = read::time(parsed.validity().not_after.timestamp());
        let issuer = Issuer::from_ca_cert_der(&first, key)
            .map_err(|error| TlsError::Authority(format!("its certificate is not understood: {error}")))?;
        trusted.dedup();
        Ok(Self { issuer, not_after, trusted })
    }

    /// Certificates to trust, the signing one first.
    pub fn trusted(&self) -> &[CertificateDer<'static>] {
        &self.trusted
    }

    /// Signs a node's certificate: for clients alone, for the key of the request, in the name of the proof.
    ///
    /// # Errors
    /// [`TlsError::Authority`] where the CA has expired.
    pub fn sign_node(
        &self,
        request: &Checked,
        id: &NodeId,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<CertificateDer<'static>, TlsError> {
        let uri =
            id.uri().try_into().map_err(|error: rcgen::Error| TlsError::Authority(error.to_string()))?;
        let mut params = params("AO Observability agent");
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, &request.public_key, (now - BACKDATE, now + lifetime), now)
    }

    /// Makes a server's certificate for these DNS names and addresses.
    ///
    /// # Errors
    /// [`TlsError::Authority`] where the CA has expired or a name cannot be one.
    pub fn serve_as(
        &self,
        names: &[String],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<ServerIdentity, TlsError> {
        let refused = |error: rcgen::Error| TlsError::Authority(error.to_string());
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(refused)?;
        let mut params = params("AO Observability aggregator");
        for name in names {
            let bad = |_| TlsError::Authority(format!("{name:?} is neither a DNS name nor an address"));
            params.subject_alt_names.push(match IpAddr::from_str(name) {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().map_err(bad)?),
            });
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = self.sign(params, &key, (now - SERVER_BACKDATE, now + lifetime), now)?;
        let not_after = (now + lifetime).min(self.not_after);
        Ok(ServerIdentity { chain: vec![certificate], key: key.serialize_der(), not_after })
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
        (from, to): (SystemTime, SystemTime),
        now: SystemTime,
    ) -> Result<CertificateDer<'static>, TlsError> {
        if now >= self.not_after {
            return Err(TlsError::Authority("its certificate has expired; give it a new one".to_owned()));
        }
        let mut serial: [u8; 16] = rand::random();
        // Positive and not zero (RFC 5280, section 4.1.2.2).
        serial[0] = serial[0] & 0x3f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        valid(&mut params, from, to.min(self.not_after));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(key, &self.issuer);
        signed.map(|made| made.der().clone()).map_err(|error| TlsError::Authority(error.to_string()))
    }
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

/// In whole seconds, as certificates have them.
fn valid(params: &mut CertificateParams, from: SystemTime, to: SystemTime) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(unix(from));
    params.not_after = epoch + Duration::from_secs(unix(to));
}
