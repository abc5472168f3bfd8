//! Keys, certificates, requests and files, with good and with hostile input.

use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::authority::Authority;
use super::bootstrap::Bootstrap;
use super::name::NodeId;
use super::read::NodeCertificate;
use super::server::config;
use super::trust::{Distrust, Trust};
use super::*;

fn authority() -> Authority {
    let (certificate, key) = Authority::make(SystemTime::now()).unwrap();
    Authority::from_pem(&certificate, &key, "").unwrap()
}

fn node() -> NodeId {
    NodeId::new("lab", "worker-1.example", [7; 16]).unwrap()
}

const HOUR: Duration = Duration::from_secs(3600);

/// Scenario: a node makes a key and a request, the CA signs it.
/// Guarantees: the certificate names the node of the proof, carries the request's key, is trusted for its lifetime
/// and not after, and by its own CA alone.
#[test]
fn a_node_is_signed() {
    let (ca, now) = (authority(), SystemTime::now());
    let key = request::make_key().unwrap();
    let (der, fingerprint) = request::make_request(&key).unwrap();
    let checked = request::check(&der).unwrap();
    assert_eq!(checked.key, fingerprint);
    let signed = ca.sign_node(&checked, &node(), HOUR, now).unwrap();
    let read = NodeCertificate::read(&signed).unwrap();
    assert_eq!((read.id.clone(), read.key), (node(), fingerprint));
    assert_eq!(read.lifetime(), HOUR);
    assert_eq!(read.serial.len(), 32);

    let chain = [signed];
    let trust = Trust::new(ca.trusted()).unwrap();
    assert_eq!(trust.check(&chain, now), Ok(()));
    assert_eq!(trust.check(&chain, now + HOUR * 2), Err(Distrust::Expired));
    assert_eq!(trust.check(&chain, now - HOUR), Err(Distrust::NotYet));
    assert_eq!(Trust::new(authority().trusted()).unwrap().check(&chain, now), Err(Distrust::Foreign));
    assert!(matches!(trust.check(&[], now), Err(Distrust::Other(_))));
}

/// Scenario: a server's certificate is shown where a node's is asked for; two CAs are trusted during a rotation.
/// Guarantees: the former is refused; a node of either CA is taken.
#[test]
fn purposes_and_rotation() {
    let (old, now) = (authority(), SystemTime::now());
    let server = old.serve_as(&["localhost".to_owned(), "127.0.0.1".to_owned()], HOUR, now).unwrap();
    assert_eq!(server.not_after, now + HOUR);
    let trust = Trust::new(old.trusted()).unwrap();
    assert!(matches!(trust.check(&server.chain, now), Err(Distrust::Other(_))));
    assert!(NodeCertificate::read(&server.chain[0]).is_err());
    assert!(config(server).is_ok());

    let (certificate, key) = Authority::make(now).unwrap();
    let new = Authority::from_pem(&certificate, &key, &files::to_pem(old.trusted())).unwrap();
    let trust = Trust::new(new.trusted()).unwrap();
    for ca in [&old, &new] {
        let (der, _) = request::make_request(&request::make_key().unwrap()).unwrap();
        let signed = ca.sign_node(&request::check(&der).unwrap(), &node(), HOUR, now).unwrap();
        assert_eq!(trust.check(&[signed], now), Ok(()));
    }
}

/// Scenario: the CA's files do not belong together, hold a node's certificate, or nothing.
/// Guarantees: each is refused with its reason.
#[test]
fn a_wrong_authority_is_explained() {
    let now = SystemTime::now();
    let ((one, key_one), (_, key_two)) = (Authority::make(now).unwrap(), Authority::make(now).unwrap());
    let said =
        |certificate: &str, key: &str| Authority::from_pem(certificate, key, "").unwrap_err().to_string();
    assert!(said(&one, &key_two).contains("replace both files together"));
    assert!(said("", &key_one).contains("no certificate"));
    assert!(said(&one, "nothing").contains("openssl pkcs8"));
    let ca = Authority::from_pem(&one, &key_one, "").unwrap();
    let node_key = request::make_key().unwrap();
    let (der, _) = request::make_request(&node_key).unwrap();
    let signed = ca.sign_node(&request::check(&der).unwrap(), &node(), HOUR, now).unwrap();
    assert!(said(&files::to_pem(&[signed]), &node_key).contains("not a CA's"));
    let late = now + Duration::from_secs(11 * 365 * 86_400);
    let error = ca.sign_node(&request::check(&der).unwrap(), &node(), HOUR, late).unwrap_err().to_string();
    assert!(error.contains("expired"), "{error}");
}

/// Scenario: requests that are too large, not signed by their key, or of another kind of key.
/// Guarantees: each is refused.
#[test]
fn a_bad_request_is_refused() {
    let (mut der, _) = request::make_request(&request::make_key().unwrap()).unwrap();
    let last = der.len() - 1;
    der[last] ^= 1;
    assert!(request::check(&der).is_err());
    assert!(request::check(&[0; request::MAX_REQUEST_BYTES + 1]).is_err());
    let ed = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let other = rcgen::CertificateParams::default().serialize_request(&ed).unwrap();
    assert!(matches!(request::check(other.der()), Err(TlsError::Request(why)) if why.contains("P-256")));
}

/// Scenario: names as Kubernetes and hosts have them, and names that would break out of the URI.
/// Guarantees: the former come back as they were, the latter are refused.
#[test]
fn names() {
    for name in ["a", "ip-10-0-0-1.ec2.internal", "Host_7"] {
        let id = NodeId::new(name, name, [255; 16]).unwrap();
        assert_eq!(NodeId::parse(&id.uri()), Some(id));
    }
    let long = "x".repeat(254);
    for name in ["", ".", "..", "a/b", "a b", "a%2f", "\u{e4}", &long] {
        assert!(
            NodeId::new("c", name, [0; 16]).is_err() && NodeId::new(name, "n", [0; 16]).is_err(),
            "{name}"
        );
    }
    for uri in
        ["", "spiffe://other/cluster/a/node/b/agent/0", "spiffe://ao-observability/cluster/a/node/b/agent/zz"]
    {
        assert_eq!(NodeId::parse(uri), None, "{uri}");
    }
}

/// Scenario: a secret is written over another one, in a folder of its own.
/// Guarantees: only the owner may read it, nothing is left beside it; a loose one is seen and tightened.
#[test]
fn private_files() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("identity");
    files::private_dir(&folder).unwrap();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let path = folder.join("key");
    for text in ["one", "two"] {
        files::write_private(&path, text.as_bytes()).unwrap();
        assert_eq!((files::read_text(&path).unwrap().as_str(), mode(&path)), (text, 0o600));
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!(files::loose(&path), None);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(files::loose(&path), Some(0o644));
    files::tighten(&path).unwrap();
    assert_eq!(files::loose(&path), None);
    let error = files::read_text(&folder.join("none")).unwrap_err().to_string();
    assert!(error.contains("none") && error.contains("No such file"), "{error}");
}

/// Scenario: the bootstrap file as we write it, with the token alone, and broken.
/// Guarantees: token and certificates come back; errors do not show the token.
#[test]
fn bootstrap_file() {
    let ca = authority();
    let token = random_token();
    let parsed = Bootstrap::parse(&Bootstrap::format(&token, ca.trusted()), "it").unwrap();
    assert_eq!((parsed.token.reveal().unwrap(), parsed.authorities), (token, ca.trusted().to_vec()));
    let alone = Bootstrap::parse("hunter2\n", "it").unwrap();
    assert_eq!((alone.token.reveal().unwrap().as_str(), alone.authorities.len()), ("hunter2", 0));
    for bad in ["", "# hunter2", "hunter2 x", "token hunter2\ntoken hunter2"] {
        let error = Bootstrap::parse(bad, "it").unwrap_err().to_string();
        assert!(error.contains("token") && !error.contains("hunter2"), "{error}");
    }
}

proptest! {
    /// Scenario: any bytes, and a real certificate and a real request with bytes changed.
    /// Guarantees: reading them never panics; what is read is within bounds; a changed certificate is not trusted.
    #[test]
    fn any_bytes(noise in prop::collection::vec(any::<u8>(), 0..600), flips in prop::collection::vec((any::<u16>(), 1..=255_u8), 1..6)) {
        let (ca, now) = (authority(), SystemTime::now());
        let trust = Trust::new(ca.trusted()).unwrap();
        let mut all = vec![noise];
        let (request, _) = request::make_request(&request::make_key().unwrap()).unwrap();
        let signed = ca.sign_node(&request::check(&request).unwrap(), &node(), HOUR, now).unwrap();
        let real = signed.to_vec();
        for base in [&request, &real] {
            let mut changed = base.clone();
            for (at, by) in &flips {
                let at = usize::from(*at) % changed.len();
                changed[at] ^= by;
            }
            all.push(changed);
        }
        for der in all {
            let _read = NodeCertificate::read(&der);
            let _checked = request::check(&der);
            let _text = Bootstrap::parse(&String::from_utf8_lossy(&der), "it");
            if der != real {
                prop_assert!(trust.check(&[CertificateDer::from(der)], now).is_err());
            }
        }
    }

    /// Scenario: any text in place of the URI.
    /// Guarantees: no panic; what is read writes itself the same.
    #[test]
    fn any_uri(text in "(spiffe://ao-observability/)?[ -~]{0,80}", name in "[a-zA-Z0-9_-]{1,60}", agent in any::<[u8; 16]>()) {
        if let Some(id) = NodeId::parse(&text) {
            prop_assert_eq!(id.uri(), text);
        }
        let id = NodeId::new(&name, &name, agent).unwrap();
        prop_assert_eq!(NodeId::parse(&id.uri()), Some(id));
    }
}
