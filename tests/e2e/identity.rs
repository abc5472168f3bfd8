//! Who may speak: enrolment, renewal, and everybody who is refused, with the real binaries.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant, SystemTime};

use ao_common::tls::authority::Authority;
use ao_common::tls::bootstrap::Bootstrap;
use ao_common::tls::name::NodeId;
use ao_common::tls::{files, request};
use ao_proto::v1::ingest_client::IngestClient;
use ao_tests::eventually::eventually;
use ao_tests::loki::Loki;
use ao_tests::prometheus::get;
use ao_tests::stack::{NODE, Stack};
use ao_tests::workspace::binary;
use axum::Json;
use axum::routing::post;
use serde_json::{Value, json};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::writer::{CriFile, container, numbers};

const LONG: Duration = Duration::from_secs(30);

fn of_aggregator(stack: &Stack, name: &str) -> PathBuf {
    stack.folder().join("ao-aggregator-data/identity").join(name)
}

fn of_agent(stack: &Stack, name: &str) -> PathBuf {
    stack.folder().join("ao-agent-data/identity").join(name)
}

async fn connected(stack: &Stack) {
    eventually("the agent is connected", LONG, async || {
        match stack.agent_metric("ao_uplink_connected", "").await? {
            1.0 => Ok(()),
            _ => Err(get(&format!("http://{}/readyz", stack.admin)).await?.1),
        }
    })
    .await;
}

/// What the agent's /readyz says.
async fn says(stack: &Stack, words: &[&str]) {
    let url = format!("http://{}/readyz", stack.admin);
    eventually(&format!("/readyz says {words:?}"), LONG, async || {
        let (status, text) = get(&url).await?;
        if status == 503 && words.iter().all(|word| text.contains(word)) { Ok(()) } else { Err(text) }
    })
    .await;
}

async fn counted(stack: &Stack, name: &str, labels: &str, at_least: f64) {
    eventually(&format!("{name} {labels}"), LONG, async || {
        let now = stack.aggregator_metric(name, labels).await?;
        if now >= at_least { Ok(()) } else { Err(format!("{now}")) }
    })
    .await;
}

fn command(stack: &Stack, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(binary("ao-aggregator"));
    command.arg("--data-dir").arg(stack.folder().join("ao-aggregator-data")).arg("identity").args(args);
    let output = command.output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode() & 0o777
}

/// Scenario: both start with nothing but the bootstrap file between them; the agent starts again, its key readable by
/// others; a person asks who has enrolled.
/// Guarantees: one enrolment in all; secrets are readable by their owner alone, again after the restart, and stand in
/// no log; the commands show the node and print the file for a new host.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_enrols_by_the_bootstrap_file() {
    let mut stack = Stack::new();
    stack.start_aggregator("{}", "").await;
    stack.start_agent("").await;
    connected(&stack).await;
    for secret in
        [of_aggregator(&stack, "ca.key"), of_aggregator(&stack, "bootstrap"), of_agent(&stack, "node.key")]
    {
        assert_eq!(mode(&secret), 0o600, "{}", secret.display());
    }
    let key = of_agent(&stack, "node.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(stack.agent().stop().await.success());
    stack.restart_agent().await;
    connected(&stack).await;
    assert_eq!(mode(&key), 0o600);
    assert!(stack.agent().log().contains("others could read this node's key"));
    counted(&stack, "ao_identity_enrolments_total", "proof=\"bootstrap\"", 1.0).await;
    let all = stack.aggregator_metric("ao_identity_enrolments_total", "").await.unwrap();
    assert_eq!(all, 1.0, "the stored certificate serves");

    let (_, text) = command(&stack, &["bootstrap"]);
    let token = Bootstrap::parse(&text, "it").unwrap().token.reveal().unwrap();
    let secret_key = std::fs::read_to_string(&key).unwrap();
    let line_of_key = secret_key.lines().nth(1).unwrap().to_owned();
    for log in [stack.agent().log(), stack.aggregator().log()] {
        assert!(!log.contains(&token) && !log.contains(&line_of_key));
    }
    eventually("the list", LONG, async || {
        let (fine, text) = command(&stack, &["list"]);
        if fine && text.contains(&format!("test/{NODE}")) && text.contains("bootstrap") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    let (fine, text) = command(&stack, &["forget", "nobody"]);
    assert!(!fine && text.contains("identity list"), "{text}");
}

/// Scenario: an agent with another token, then with another CA, then with the right file.
/// Guarantees: both ends say why, the aggregator counts it, nothing is enrolled; the right file is picked up without a
/// restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_bootstrap_file_is_refused() {
    let mut stack = Stack::new();
    stack.start_aggregator("{}", "").await;
    let right = std::fs::read_to_string(of_aggregator(&stack, "bootstrap")).unwrap();
    let parsed = Bootstrap::parse(&right, "it").unwrap();
    let file = stack.folder().join("bootstrap");
    files::write_private(&file, Bootstrap::format("not-the-token", &parsed.authorities).as_bytes()).unwrap();
    stack.tls = Some(format!("{{bootstrap_file: {file:?}}}"));
    stack.start_agent("").await;
    says(&stack, &["refused to enrol this node", "bootstrap token"]).await;
    counted(&stack, "ao_identity_refused_enrolments_total", "reason=\"proof\"", 1.0).await;
    assert!(stack.aggregator().log().contains("an enrolment is refused"));

    let (foreign, _) = Authority::make(SystemTime::now()).unwrap();
    let foreign = files::certificates(&foreign, "it").unwrap();
    let token = parsed.token.reveal().unwrap();
    files::write_private(&file, Bootstrap::format(&token, &foreign).as_bytes()).unwrap();
    says(&stack, &["not signed by the CA that this agent was given"]).await;
    assert_eq!(stack.aggregator_metric("ao_identity_enrolments_total", "").await.unwrap(), 0.0);

    files::write_private(&file, right.as_bytes()).unwrap();
    connected(&stack).await;
}

/// An API server that knows two tokens.
async fn api_server() -> String {
    let review = |Json(asked): Json<Value>| async move {
        let node = match asked["spec"]["token"].as_str() {
            Some("token-of-the-node") => NODE,
            Some("token-of-another-node") => "another-node",
            _ => "",
        };
        let status = if node.is_empty() {
            json!({"authenticated": false, "error": "[invalid bearer token, token lookup failed]", "user": {}})
        } else {
            json!({
                "authenticated": true,
                "audiences": asked["spec"]["audiences"],
                "user": {
                    "username": "system:serviceaccount:ao-os:ao-agent",
                    "uid": "d3f0e6c1-3f0b-4d0e-9d57-1d7f0d9a6f0e",
                    "groups": ["system:serviceaccounts", "system:serviceaccounts:ao-os", "system:authenticated"],
                    "extra": {
                        "authentication.kubernetes.io/node-name": [node],
                        "authentication.kubernetes.io/pod-name": ["ao-agent-x7k2p"],
                    },
                },
            })
        };
        let answer = json!({
            "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"creationTimestamp": null}, "spec": asked["spec"], "status": status,
        });
        (axum::http::StatusCode::CREATED, Json(answer))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/apis/authentication.k8s.io/v1/tokenreviews", post(review));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Scenario: a pod with a projected token: one that Kubernetes does not know, one of another node, its own.
/// Guarantees: only its own enrols it, and the reasons of the others are told.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_enrols_by_its_token() {
    let mut stack = Stack::new();
    let server = api_server().await;
    let kubeconfig = stack.folder().join("kubeconfig");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "it", "user": {"token": "of-the-aggregator"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    });
    std::fs::write(&kubeconfig, text.to_string()).unwrap();
    let more = format!(
        "identity: {{bootstrap: {{enabled: false}}, kubernetes: {{cluster: test, kubeconfig: {kubeconfig:?}}}}}"
    );
    stack.start_aggregator("{}", &more).await;
    let token = stack.folder().join("token");
    let give = |text: &str| files::write_private(&token, text.as_bytes()).unwrap();
    give("token-of-nobody");
    stack.tls = Some(format!("{{token_file: {token:?}, ca_file: {:?}}}", of_aggregator(&stack, "ca.crt")));
    stack.start_agent("").await;
    says(&stack, &["refused to enrol this node", "invalid bearer token"]).await;
    give("token-of-another-node");
    says(&stack, &["the token is that of node test/another-node"]).await;
    give("token-of-the-node");
    connected(&stack).await;
    counted(&stack, "ao_identity_enrolments_total", "proof=\"kubernetes\"", 1.0).await;
    assert!(!of_aggregator(&stack, "bootstrap").exists(), "no token where none is taken");
}

/// Opens a stream with a certificate, or with none, and says why it is refused.
async fn refusal(stack: &Stack, identity: Option<Identity>) -> String {
    let authority = std::fs::read_to_string(of_aggregator(stack, "ca.crt")).unwrap();
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
    if let Some(identity) = identity {
        tls = tls.identity(identity);
    }
    let endpoint =
        Endpoint::from_shared(format!("https://{}", stack.ingest)).unwrap().tls_config(tls).unwrap();
    let mut client = IngestClient::new(endpoint.connect().await.unwrap());
    let status = client.stream(tokio_stream::empty()).await.unwrap_err();
    let reason = status.metadata().get("ao-reason").map(|reason| reason.to_str().unwrap().to_owned());
    format!("{}: {}", reason.unwrap_or_default(), status.message())
}

fn certificate(authority: &Authority, lifetime: Duration, made: SystemTime) -> Identity {
    let key = request::make_key().unwrap();
    let (der, _) = request::make_request(&key).unwrap();
    let id = NodeId::new("test", "host-1", [1; 16]).unwrap();
    let signed = authority.sign_node(&request::check(&der).unwrap(), &id, lifetime, made).unwrap();
    Identity::from_pem(files::to_pem(&[signed]), key)
}

/// Scenario: peers that show no certificate, one of a foreign CA, one that has expired, or speak plaintext.
/// Guarantees: each is told its reason, and counted under it.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let mut stack = Stack::new();
    stack.start_aggregator("{}", "").await;
    let text = |name: &str| std::fs::read_to_string(of_aggregator(&stack, name)).unwrap();
    let own = Authority::from_pem(&text("ca.crt"), &text("ca.key"), "").unwrap();
    let now = SystemTime::now();
    let (foreign, key) = Authority::make(now).unwrap();
    let foreign = Authority::from_pem(&foreign, &key, "").unwrap();
    let hour = Duration::from_secs(3600);
    for (identity, reason) in [
        (None, "missing"),
        (Some(certificate(&foreign, hour, now)), "foreign"),
        (Some(certificate(&own, hour, now - hour * 2)), "expired"),
    ] {
        let said = refusal(&stack, identity).await;
        assert!(said.starts_with(reason), "{said}");
        counted(&stack, "ao_ingest_refused_streams_total", &format!("reason={reason:?}"), 1.0).await;
    }
    assert!(stack.aggregator().log().contains("it was not signed by a CA that this aggregator trusts"));
    let plain = Endpoint::from_shared(format!("http://{}", stack.ingest)).unwrap().connect().await;
    if let Ok(channel) = plain {
        assert!(IngestClient::new(channel).stream(tokio_stream::empty()).await.is_err());
    }
    counted(&stack, "ao_ingest_refused_total", "reason=\"handshake\"", 1.0).await;
}

/// Scenario: the aggregator's state is lost, and it makes a new CA; the agent's bootstrap file follows.
/// Guarantees: the agent's certificate is refused as foreign, it enrols anew by itself, and data flows again.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_authority_is_met_by_a_new_enrolment() {
    let mut stack = Stack::new();
    stack.start_aggregator("{}", "").await;
    stack.start_agent("").await;
    connected(&stack).await;
    assert!(stack.aggregator().stop().await.success());
    std::fs::remove_dir_all(of_aggregator(&stack, "")).unwrap();
    stack.restart_aggregator().await;
    counted(&stack, "ao_identity_enrolments_total", "proof=\"bootstrap\"", 1.0).await;
    connected(&stack).await;
    counted(&stack, "ao_ingest_frames_total", "", 1.0).await;
}

/// Scenario: certificates last twelve seconds while numbered lines flow, until three were renewed.
/// Guarantees: every line arrives once; connections change only when a certificate does; none ever expires.
#[tokio::test(flavor = "multi_thread")]
async fn renewal_without_a_break() {
    /// Enrolments, of which the first was by the bootstrap file; and the least time between two.
    const ENROLMENTS: f64 = 4.0;
    const APART_S: f64 = 0.6 * 12.0;
    let mut stack = Stack::new();
    let loki = Loki::start().await;
    let sinks = format!("{{loki: {{url: \"{}/loki/api/v1/push\"}}}}", loki.url);
    stack.start_aggregator(&sinks, "identity: {lifetime: 12s, server_lifetime: 12s, reload: 1s}").await;
    let begin = Instant::now();
    stack.start_agent("").await;
    connected(&stack).await;
    let folder = container(&stack.pods(), "shop", "web-1", "uid-1", "app");
    let (ends, ended) = std::sync::mpsc::sync_channel::<()>(0);
    let writing = tokio::task::spawn_blocking(move || {
        let mut file = CriFile::create(&folder.join("0.log"));
        let mut written = 0;
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(Duration::from_millis(100)) {
            file.number("line", written..written + 20);
            written += 20;
        }
        written
    });
    let enrolments = eventually("three renewals", LONG, async || {
        let enrolments = stack.aggregator_metric("ao_identity_enrolments_total", "").await?;
        if enrolments >= ENROLMENTS { Ok(enrolments) } else { Err(format!("{enrolments} enrolments")) }
    })
    .await;
    assert!(enrolments <= begin.elapsed().as_secs_f64() / APART_S + 2.0, "{enrolments} enrolments");
    drop(ends);
    let written = writing.await.unwrap();
    let lines = eventually("every line", LONG, async || {
        let lines = loki.lines(r#"pod="web-1""#);
        if lines.len() as u64 >= written { Ok(lines) } else { Err(format!("{} lines", lines.len())) }
    })
    .await;
    let mut found = numbers(lines.iter().map(|line| line.text.as_str()));
    found.sort_unstable();
    assert_eq!(found, (0..written).collect::<Vec<_>>());
    // In this order: each connection but a lost one comes with an enrolment that was counted before.
    let connections = stack.agent_metric("ao_uplink_connections_total", "").await.unwrap();
    let enrolments = stack.aggregator_metric("ao_identity_enrolments_total", "").await.unwrap();
    assert!(connections <= enrolments, "{connections} connections, {enrolments} enrolments");
    for (proof, wanted) in [("bootstrap", 1.0), ("token", 0.0)] {
        let label = format!("proof={proof:?}");
        let count = stack.aggregator_metric("ao_identity_enrolments_total", &label).await.unwrap();
        assert_eq!(count, wanted, "{proof}: the certificate renews itself");
    }
    assert_eq!(stack.aggregator_metric("ao_ingest_refused_streams_total", "").await.unwrap(), 0.0);
}

/// Scenario: a second host has the first one's name; the first is stopped; a person forgets it.
/// Guarantees: the second is refused with the reason at both ends while the first one works on undisturbed; once the
/// name is forgotten it is taken.
#[tokio::test(flavor = "multi_thread")]
async fn one_name_is_one_host() {
    let mut first = Stack::new();
    first.start_aggregator("{}", "identity: {reload: 500ms}").await;
    first.start_agent("").await;
    connected(&first).await;
    let mut second = Stack::new();
    second.ingest = first.ingest;
    second.tls = Some(format!("{{bootstrap_file: {:?}}}", of_aggregator(&first, "bootstrap")));
    second.start_agent("").await;
    says(&second, &["two agents have one name"]).await;
    counted(&first, "ao_identity_refused_enrolments_total", "reason=\"doubled\"", 1.0).await;
    assert!(first.aggregator().log().contains("two agents have one name"));
    assert_eq!(first.agent_metric("ao_uplink_connections_total", "").await.unwrap(), 1.0);
    connected(&first).await;

    assert!(first.agent().stop().await.success());
    says(&second, &["identity forget"]).await;
    eventually("the name is known", LONG, async || {
        let (fine, text) = command(&first, &["forget", NODE]);
        if fine { Ok(()) } else { Err(text) }
    })
    .await;
    connected(&second).await;
}
