//! Enrolment and admission without a network: who gets a certificate, and whose stream may go on.

use std::time::SystemTime;

use ao_common::tls::request;
use ao_proto::v1::EnrollRequest;
use ao_proto::v1::enroll_request::Proof;
use tonic::Code;

use super::*;

struct World {
    folder: tempfile::TempDir,
    identity: Identity,
}

/// One agent's state.
struct Agent {
    key: String,
    id: [u8; 16],
}

impl Agent {
    fn new(id: u8) -> Self {
        Self { key: request::make_key().unwrap(), id: [id; 16] }
    }
}

fn open(folder: &Path, config: &Config) -> Result<Identity, IdentityError> {
    Identity::open(folder, config, vec!["localhost".to_owned()], &mut Prometheus::default())
}

fn world(config: &Config) -> World {
    let folder = tempfile::tempdir().unwrap();
    let identity = open(folder.path(), config).unwrap();
    World { folder, identity }
}

impl World {
    fn token(&self) -> String {
        let text = bootstrap::file(&self.folder.path().join(FOLDER)).unwrap();
        ao_common::tls::bootstrap::Bootstrap::parse(&text, "it").unwrap().token.reveal().unwrap()
    }

    async fn enroll(
        &self,
        agent: &Agent,
        node: &str,
        proof: Option<Proof>,
        peer: &Peer,
    ) -> Result<Peer, tonic::Status> {
        let (certificate_request, _) = request::make_request(&agent.key).unwrap();
        let asked = EnrollRequest {
            node: node.to_owned(),
            cluster: "lab".to_owned(),
            agent: agent.id.to_vec(),
            certificate_request,
            proof,
        };
        let answer = self.identity.enroll(peer, asked).await?;
        let certificates = answer.certificates.iter().map(|der| der.to_vec().into()).collect();
        Ok(Peer { address: None, certificates })
    }

    async fn by_token(&self, agent: &Agent, node: &str) -> Result<Peer, tonic::Status> {
        self.enroll(agent, node, Some(Proof::BootstrapToken(self.token())), &Peer::default()).await
    }

    fn enter(&self, peer: &Peer, agent: &Agent, node: &str) -> Result<Presence, Refusal> {
        let caller = self.identity.caller(peer)?;
        let hello = Hello {
            agent: agent.id.to_vec(),
            node: node.to_owned(),
            cluster: "lab".to_owned(),
            ..Hello::default()
        };
        self.identity.admit(&caller, &hello)
    }
}

fn reason<T>(result: Result<T, Refusal>) -> &'static str {
    result.err().map_or("taken", |refusal| refusal.reason)
}

/// Scenario: a host enrols by the bootstrap token, and opens a stream.
/// Guarantees: it is taken under its own name alone; without a certificate nothing is.
#[tokio::test]
async fn a_host_enrols() {
    let world = world(&Config::default());
    let agent = Agent::new(1);
    let peer = world.by_token(&agent, "host-1").await.unwrap();
    assert_eq!(reason(world.enter(&peer, &agent, "host-1")), "taken");
    assert_eq!(reason(world.enter(&peer, &agent, "host-2")), "another");
    assert_eq!(reason(world.enter(&peer, &Agent::new(2), "host-1")), "another");
    assert_eq!(reason(world.enter(&Peer::default(), &agent, "host-1")), "missing");
}

/// Scenario: wrong tokens, no proof, a token where none is taken, names that cannot be, a broken request.
/// Guarantees: each is refused with its reason, and the reason shows no token.
#[tokio::test]
async fn a_bad_proof_is_refused() {
    let world = world(&Config::default());
    let agent = Agent::new(1);
    for (node, proof, code, word) in [
        (
            "host-1",
            Some(Proof::BootstrapToken("hunter2".to_owned())),
            Code::PermissionDenied,
            "bootstrap token",
        ),
        ("host-1", Some(Proof::BootstrapToken(String::new())), Code::PermissionDenied, "bootstrap token"),
        ("host-1", Some(Proof::BootstrapToken("x".repeat(20_000))), Code::Unauthenticated, "too long"),
        (
            "host-1",
            Some(Proof::ServiceAccountToken("hunter2".to_owned())),
            Code::PermissionDenied,
            "identity.kubernetes",
        ),
        ("host-1", None, Code::Unauthenticated, "no certificate"),
        ("../host", Some(Proof::BootstrapToken(world.token())), Code::Unauthenticated, "cannot be certified"),
    ] {
        let refused = world.enroll(&agent, node, proof, &Peer::default()).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(word) && !refused.message().contains("hunter2"), "{refused}");
        assert!(refused.metadata().get("ao-reason").is_some());
    }
    let off = BootstrapOff::world();
    let token = Some(Proof::BootstrapToken("x".to_owned()));
    let refused = off.enroll(&agent, "host-1", token, &Peer::default()).await.unwrap_err();
    assert!(refused.message().contains("identity.bootstrap.enabled"), "{refused}");
}

struct BootstrapOff;

impl BootstrapOff {
    fn world() -> World {
        let mut config = Config::default();
        config.bootstrap.enabled = false;
        world(&config)
    }
}

/// Scenario: a second host takes the name of one that is here; the first goes away; its time passes; a person forgets
/// the node.
/// Guarantees: refused while the first is here and until it was away long enough, then taken; the forgotten key is out.
#[tokio::test]
async fn one_live_key_for_a_name() {
    let config = Config { takeover_after: ao_common::units::Span::secs(3600), ..Config::default() };
    let world = world(&config);
    let (first, second) = (Agent::new(1), Agent::new(2));
    let peer = world.by_token(&first, "host-1").await.unwrap();
    let stream = world.enter(&peer, &first, "host-1").unwrap();
    let refused = world.by_token(&second, "host-1").await.unwrap_err();
    assert!(refused.message().contains("two agents have one name"), "{refused}");
    drop(stream);
    let refused = world.by_token(&second, "host-1").await.unwrap_err();
    assert!(refused.message().contains("identity forget host-1"), "{refused}");
    // The same agent may always come back, and renew by its certificate.
    world.by_token(&first, "host-1").await.unwrap();
    let renewed = world.enroll(&first, "host-1", None, &peer).await.unwrap();
    let mut stream = world.enter(&renewed, &first, "host-1").unwrap();
    let other_key = Agent { key: request::make_key().unwrap(), ..first };
    assert!(world.enroll(&other_key, "host-1", None, &peer).await.is_err());

    world.identity.keep().unwrap();
    let mut said = Vec::new();
    let forget = Command::Forget { node: "lab/host-1".to_owned() };
    run_command(&forget, world.folder.path(), &mut said).unwrap();
    assert!(
        run_command(&Command::Forget { node: "host-9".to_owned() }, world.folder.path(), &mut said).is_err()
    );
    world.identity.keep().unwrap();
    assert_eq!(stream.ended().await.reason, "forgotten");
    assert_eq!(reason(world.enter(&renewed, &first, "host-1")), "forgotten");
    world.by_token(&second, "host-1").await.unwrap();
}

/// Scenario: a certificate that lasts five seconds, with its stream open.
/// Guarantees: the stream is told to end then; afterwards the certificate is refused as expired, and another host may
/// have the name at once.
#[tokio::test]
async fn certificates_end() {
    let config = Config { lifetime: ao_common::units::Span::secs(5), ..Config::default() };
    let world = world(&config);
    let agent = Agent::new(1);
    let peer = world.by_token(&agent, "host-1").await.unwrap();
    let mut stream = world.enter(&peer, &agent, "host-1").unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(30), stream.ended()).await.unwrap();
    assert_eq!(ended.reason, "expired");
    drop(stream);
    // A certificate's end is a whole second; the last one counts.
    let mut look = tokio::time::interval(std::time::Duration::from_millis(50));
    let over = async {
        while reason(world.enter(&peer, &agent, "host-1")) != "expired" {
            look.tick().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), over).await.unwrap();
    world.by_token(&Agent::new(2), "host-1").await.unwrap();
}

/// Scenario: the aggregator starts again; its CA's files are replaced while it runs, the old CA trusted meanwhile.
/// Guarantees: the list of nodes and the token stay; a node of the old CA is taken until that is trusted no more.
#[tokio::test]
async fn restarts_and_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    let make = || ao_common::tls::authority::Authority::make(SystemTime::now()).unwrap();
    let ((old, old_key), (new, new_key)) = (make(), make());
    for (name, text) in [("tls.crt", old.as_str()), ("tls.key", &old_key), ("trust.crt", "")] {
        write(name, text);
    }
    let ca = api::AuthorityFiles {
        cert_file: path("tls.crt"),
        key_file: path("tls.key"),
        trust_file: Some(path("trust.crt")),
    };
    let config = Config { ca: Some(ca), ..Config::default() };
    let mut world = world(&config);
    let agent = Agent::new(1);
    let (token, peer) = (world.token(), world.by_token(&agent, "host-1").await.unwrap());
    world.identity.keep().unwrap();
    world.identity = open(world.folder.path(), &config).unwrap();
    assert_eq!(world.token(), token);
    assert!(world.by_token(&Agent::new(2), "host-1").await.is_err(), "the name is taken");
    assert_eq!(reason(world.enter(&peer, &agent, "host-1")), "taken");

    write("tls.key", &new_key);
    assert!(world.identity.keep().unwrap_err().to_string().contains("replace both files together"));
    assert_eq!(reason(world.enter(&peer, &agent, "host-1")), "taken");
    write("tls.crt", &new);
    write("trust.crt", &old);
    world.identity.keep().unwrap();
    assert_eq!(reason(world.enter(&peer, &agent, "host-1")), "taken");
    let of_new = world.by_token(&agent, "host-1").await.unwrap();
    write("trust.crt", "");
    world.identity.keep().unwrap();
    assert_eq!(reason(world.enter(&peer, &agent, "host-1")), "foreign");
    assert_eq!(reason(world.enter(&of_new, &agent, "host-1")), "taken");
    let text = bootstrap::file(&world.folder.path().join(FOLDER)).unwrap();
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 1);
}
