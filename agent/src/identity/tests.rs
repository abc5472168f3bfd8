//! Names in addresses, and what the state folder gives back.

use std::time::SystemTime;

use ao_common::tls::authority::Authority;
use ao_common::tls::request;

use super::store::Answer;
use super::*;

fn id(node: &str) -> NodeId {
    NodeId::new("lab", node, [7; 16]).unwrap()
}

fn answer(ca: &Authority, key: &str, node: &str, lifetime: Duration) -> Answer {
    let (der, _) = request::make_request(key).unwrap();
    let signed =
        ca.sign_node(&request::check(&der).unwrap(), &id(node), lifetime, SystemTime::now()).unwrap();
    Answer { address: "https://a:1".to_owned(), chain: vec![signed], authorities: ca.trusted().to_vec() }
}

fn authority() -> Authority {
    let (certificate, key) = Authority::make(SystemTime::now()).unwrap();
    Authority::from_pem(&certificate, &key, "").unwrap()
}

/// Scenario: addresses as people write them.
/// Guarantees: the name that the certificate is checked for.
#[test]
fn hosts() {
    for (address, expected) in [
        ("https://aggregator.ao-os.svc:4417", "aggregator.ao-os.svc"),
        ("https://127.0.0.1:4417/", "127.0.0.1"),
        ("https://[::1]:4417", "::1"),
    ] {
        assert_eq!(host(address), expected);
    }
}

/// Scenario: an answer is kept and read again after a restart; by a node that was renamed; after its end; with another
/// key.
/// Guarantees: it comes back for the same node and key alone, and never with more life than it has; it is renewed at
/// about two thirds.
#[test]
fn what_is_kept_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ca, hour) = (Store::new(folder.path()), authority(), Duration::from_secs(3600));
    store.prepare().unwrap();
    assert!(store.load(&id("host-1")).is_none());
    let key = store.key().unwrap();
    assert_eq!(store.key().unwrap(), key);
    let asked = Instant::now();
    let keep = |answer: &Answer| store.keep(&id("host-1"), key.clone(), answer, asked);
    let kept = keep(&answer(&ca, &key, "host-1", hour)).unwrap();
    assert_eq!(kept.until, asked + hour, "however long it took to store");
    let held = store.load(&id("host-1")).unwrap();
    let left = held.until.duration_since(Instant::now());
    assert!(left <= hour && left > hour - Duration::from_secs(10), "{left:?}");
    let due = held.renew_at.duration_since(Instant::now()).as_secs_f64() / 3600.0;
    assert!((0.55..0.67).contains(&due), "{due}");
    assert_eq!(held.authorities, ca.trusted());
    assert!(store.load(&id("host-2")).is_none());

    let other = request::make_key().unwrap();
    for bad in [
        answer(&ca, &other, "host-1", hour),
        answer(&ca, &key, "host-2", hour),
        Answer { authorities: Vec::new(), ..answer(&ca, &key, "host-1", hour) },
        Answer { chain: vec![vec![0; 9].into()], ..answer(&ca, &key, "host-1", hour) },
        Answer { chain: Vec::new(), ..answer(&ca, &key, "host-1", hour) },
    ] {
        assert!(matches!(keep(&bad), Err(IdentityError::Answer { .. })));
    }
    keep(&answer(&ca, &key, "host-1", Duration::ZERO)).unwrap();
    assert!(store.load(&id("host-1")).is_none_or(|held| held.until <= Instant::now()));
    store.forget_key().unwrap();
    assert!(store.load(&id("host-1")).is_none());
    assert_ne!(store.key().unwrap(), key);
}

/// Scenario: the files that an operator may give: both in one, the token alone with the CA beside it, a service
/// account's token, none, a missing one.
/// Guarantees: the service account's token goes first; what is missing is named.
#[test]
fn what_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, path) = (authority(), |name: &str| Some(folder.path().join(name)));
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("bootstrap", &ao_common::tls::bootstrap::Bootstrap::format("one", ca.trusted()));
    write("token", "two\n");
    write("ca.crt", &files::to_pem(ca.trusted()));
    let one = Config { bootstrap_file: path("bootstrap"), ..Config::default() };
    let given = proof::gather(&one).unwrap();
    assert!(matches!(&given.proof, Some(proof::Proof::Bootstrap(token)) if token.reveal().unwrap() == "one"));
    assert_eq!(given.authorities, ca.trusted());
    let two = Config { bootstrap_file: path("token"), ca_file: path("ca.crt"), ..Config::default() };
    assert_eq!(proof::gather(&two).unwrap().authorities, proof::authorities(&two));
    let pod = Config { token_file: path("token"), ca_file: path("ca.crt"), ..one };
    let given = proof::gather(&pod).unwrap();
    assert!(
        matches!(&given.proof, Some(proof::Proof::ServiceAccount(token)) if token.reveal().unwrap() == "two")
    );
    let missing = Config { bootstrap_file: path("nowhere"), ..Config::default() };
    assert!(proof::gather(&missing).err().unwrap().to_string().contains("nowhere"));
    assert!(proof::gather(&Config::default()).err().unwrap().to_string().contains("identity bootstrap"));
}
