//! The client against a server on this machine that answers by a script.

use tokio::net::TcpListener;

use super::double::{Deed, answer, server};
use super::*;

fn options(url: String) -> Options {
    Options { url, tenant: None, headers: BTreeMap::new(), timeout: Duration::from_secs(20) }
}

async fn post(deed: Deed) -> Answer {
    let (address, _requests) = server(vec![deed]).await;
    let client = Client::new(&options(format!("http://{address}/push")), &[]).expect("a client");
    client.post(Bytes::from_static(b"body")).await
}

/// Scenario: a server gives each kind of answer.
/// Guarantees: status, Retry-After and the body's words reach the verdict.
#[tokio::test]
async fn answers() {
    assert!(post(answer("204 No Content", "", "")).await.is_ok());
    let throttled = post(answer("429 Too Many Requests", "Retry-After: 7\r\n", "slow down")).await;
    let after = Some(Duration::from_secs(7));
    let why = "HTTP 429: slow down".to_owned();
    assert_eq!(throttled, Err(Refusal::Retry { kind: RetryKind::Throttled, after, why }));
    let refused = post(answer("400 Bad Request", "", "out of order sample\n")).await;
    assert_eq!(refused, Err(Refusal::Data { why: "HTTP 400: out of order sample".to_owned() }));
    let failed = post(answer("500 Internal Server Error", "", "")).await;
    assert_eq!(failed.expect_err("500").kind(), "server_error");
}

/// Scenario: a server that reads and closes, one that is not there, one that answers without end.
/// Guarantees: the first is unclear, the second is not; the third is judged by what came first, with little memory.
#[tokio::test]
async fn broken_servers() {
    assert_eq!(post(Deed::Close).await.expect_err("closed").kind(), "connection");
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    let client = Client::new(&options(format!("http://{address}/push")), &[]).expect("a client");
    let refusal = client.post(Bytes::new()).await.expect_err("nobody listens");
    assert_eq!(refusal.kind(), "unavailable");
    assert!(refusal.why().contains(&address.to_string()) && refusal.why().contains("refused"), "{refusal:?}");
    assert_eq!(post(Deed::Huge(8 << 20)).await.expect_err("400").kind(), "refused");
}

/// Scenario: a server that never answers.
/// Guarantees: the timeout ends it; nobody knows whether the request was taken.
#[tokio::test]
async fn a_server_that_hangs() {
    let (address, _requests) = server(vec![Deed::Hang]).await;
    let options = Options { timeout: Duration::from_millis(50), ..options(format!("http://{address}/")) };
    let client = Client::new(&options, &[]).expect("a client");
    assert_eq!(client.post(Bytes::new()).await.expect_err("no answer").kind(), "timeout");
}

/// Scenario: a tenant, headers, and what the body is.
/// Guarantees: all are sent, the body as it is.
#[tokio::test]
async fn what_is_sent() {
    let (address, mut requests) = server(vec![answer("200 OK", "", "")]).await;
    let options = Options {
        tenant: Some("team-a".to_owned()),
        headers: BTreeMap::from([("Authorization".to_owned(), "Bearer x".to_owned())]),
        ..options(format!("http://{address}/api/v1/push?a=b"))
    };
    let client = Client::new(&options, &[("content-type", "application/x-protobuf")]).expect("a client");
    client.post(Bytes::from_static(b"body")).await.expect("accepted");
    let request = requests.recv().await.expect("a request");
    let head = &request.head;
    assert!(head.starts_with("POST /api/v1/push?a=b HTTP/1.1\r\n"), "{head}");
    for line in [
        "x-scope-orgid: team-a",
        "authorization: Bearer x",
        "content-type: application/x-protobuf",
        "user-agent: ao-aggregator/",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    assert_eq!(request.body, b"body");
}

/// Scenario: addresses and headers with mistakes.
/// Guarantees: each is an error that names it; a password is not printed.
#[test]
fn mistakes() {
    for url in ["prometheus:9090", "ftp://x/", "http://", "", "/push", "http:///push"] {
        let error = Client::new(&options(url.to_owned()), &[]).err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains(&format!("{url:?}"))), "{url}");
    }
    let error = Client::new(&options("https://me:secret@host/".to_owned()), &[]).err();
    assert!(
        error.is_some_and(|e| !e.to_string().contains("secret") && e.to_string().contains("Authorization"))
    );
    for (name, value) in [("a b", "x"), ("x", "a\nb"), ("content-type", "text/plain")] {
        let headers = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let error = Client::new(&Options { headers, ..options("http://a/".to_owned()) }, &[]).err();
        assert!(error.is_some_and(|e| e.to_string().contains(name)), "{name}");
    }
}
