//! The doors, through a real socket.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::*;

/// One request on a connection of its own; the whole answer, head and body.
async fn ask(addr: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

type Started = (SocketAddr, CancellationToken, tokio::task::JoinHandle<io::Result<()>>);

async fn started(health: &Health, log: Option<LogHandle>) -> Started {
    started_as(health, log, |router| router).await
}

/// The same, with something more on its way.
async fn started_as(health: &Health, log: Option<LogHandle>, with: impl FnOnce(Router) -> Router) -> Started {
    let mut registry = Registry::default();
    crate::process::register(&mut registry, "ao-test", "0");
    let admin = Admin { registry: Arc::new(Mutex::new(registry)), health: health.clone(), log };
    let listener = bind("127.0.0.1:0".parse().unwrap(), "the test", "test.listen").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    (addr, shutdown.clone(), tokio::spawn(serve(listener, with(router(admin)), shutdown)))
}

/// Doors, and a connection of which nothing comes, one of which half a head has come, and one of which half a body has:
/// the last of them is known to be under way, and only then the clock stands still. (Where it does while bytes are on
/// their way it leaps to the next deadline before they come.)
async fn half_said() -> (Started, [TcpStream; 3]) {
    let came = Arc::new(Notify::new());
    let note = Arc::clone(&came);
    let noting = from_fn(move |request: Request, next: Next| {
        note.notify_one();
        next.run(request)
    });
    let started = started_as(&Health::new(), None, |router| router.layer(noting)).await;
    let said: [&[u8]; 3] = [
        b"",
        b"GET /metrics HTTP/1.1\r\n",
        b"PUT /log-level HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\ntra",
    ];
    let mut peers = Vec::new();
    for said in said {
        let mut peer = TcpStream::connect(started.0).await.unwrap();
        peer.write_all(said).await.unwrap();
        peers.push(peer);
    }
    tokio::time::timeout(Duration::from_secs(20), came.notified()).await.unwrap();
    tokio::time::pause();
    (started, peers.try_into().unwrap())
}

/// Scenario: a process with a part that is not ready, then is.
/// Guarantees: /readyz says 503 with the reason, then 200; /healthz is 200 throughout; /metrics is OpenMetrics.
#[tokio::test]
async fn doors() {
    let health = Health::new();
    let (addr, shutdown, server) = started(&health, None).await;
    health.part("uplink").not_ready("no aggregator answers");
    let answer = ask(addr, "GET", "/readyz", "").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("uplink: not ready: no aggregator answers\n"), "{answer}");
    health.part("uplink").ready();
    assert!(ask(addr, "GET", "/readyz", "").await.starts_with("HTTP/1.1 200"));
    assert!(ask(addr, "GET", "/healthz", "").await.ends_with("ok\n"));
    let metrics = ask(addr, "GET", "/metrics", "").await;
    assert!(metrics.contains("application/openmetrics-text") && metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(ask(addr, "PUT", "/log-level", "debug").await.starts_with("HTTP/1.1 404"));
    shutdown.cancel();
    server.await.unwrap().unwrap();
}

/// Scenario: the log level is asked for, changed, and changed to nonsense.
/// Guarantees: the change is in force; nonsense is refused with a sentence and changes nothing.
#[tokio::test]
async fn changes_the_log_level() {
    let (_layer, log) = crate::telemetry::detached();
    let (addr, _shutdown, _server) = started(&Health::new(), Some(log.clone())).await;
    assert!(ask(addr, "GET", "/log-level", "").await.ends_with("\r\n\r\ninfo\n"));
    assert!(ask(addr, "PUT", "/log-level", "debug\n").await.starts_with("HTTP/1.1 200"));
    assert_eq!(log.get(), "debug");
    let answer = ask(addr, "PUT", "/log-level", "inof").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("\"inof\" is no log level"), "{answer}");
    assert!(ask(addr, "PUT", "/log-level", &"x".repeat(5000)).await.starts_with("HTTP/1.1 413"));
    assert_eq!(log.get(), "debug");
}

/// Scenario: a request whose origin is not known to be this machine.
/// Guarantees: the level stays.
#[tokio::test]
async fn log_level_is_local() {
    let (_layer, log) = crate::telemetry::detached();
    let registry = Arc::new(Mutex::new(Registry::default()));
    let admin = Admin { registry, health: Health::new(), log: Some(log.clone()) };
    for peer in [None, Some("192.0.2.1:1000"), Some("[2001:db8::1]:1000")] {
        let peer = peer.map(|peer| Extension(ConnectInfo(Peer(peer.parse().unwrap()))));
        let answer = set_log_level(State(admin.clone()), peer, "trace".to_owned()).await;
        assert_eq!((answer.status(), log.get().as_str()), (StatusCode::FORBIDDEN, "info"));
    }
}

/// Scenario: a task stops ticking.
/// Guarantees: /healthz answers 503 and names it.
#[tokio::test]
async fn stalled() {
    let health = Health::new();
    let (addr, _shutdown, _server) = started(&health, None).await;
    let _beat = health.beat("writer", Duration::ZERO);
    let answer = ask(addr, "GET", "/healthz", "").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("writer: no sign of life"), "{answer}");
}

/// Scenario: clients hold their connections open while the process stops: silent, in a head, in a body.
/// Guarantees: serving ends in bounded time all the same.
#[tokio::test]
async fn a_slow_client_does_not_hold_the_shutdown() {
    let ((_, shutdown, server), _peers) = half_said().await;
    shutdown.cancel();
    tokio::time::timeout(2 * DRAIN, server).await.unwrap().unwrap().unwrap();
}

/// Scenario: the port is taken.
/// Guarantees: one sentence with the address, what for, and the key to change.
#[tokio::test]
async fn port_in_use() {
    let taken = bind("127.0.0.1:0".parse().unwrap(), "the test", "test.listen").await.unwrap();
    let addr = taken.local_addr().unwrap();
    let err = bind(addr, "the console", "http.listen").await.unwrap_err().to_string();
    assert_eq!(
        err,
        format!(
            "cannot listen on {addr} for the console: another process uses it; stop that process or set http.listen to a free port"
        )
    );
}

/// Scenario: peers that say nothing, half a head, half a body, heads without end, huge bodies and paths that lead out;
/// 1,000 connections at once.
/// Guarantees: each is refused or closed, no more than the bound are open, and an honest request is answered meanwhile.
#[tokio::test]
async fn hostile_peers() {
    let (_layer, log) = crate::telemetry::detached();
    let (addr, _shutdown, _server) = started(&Health::new(), Some(log.clone())).await;
    let mut held = Vec::new();
    for n in 0..1_000 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let said: &[u8] = match n % 4 {
            0 => b"",
            1 => b"GET /met",
            2 => b"GET /metrics HTTP/1.1\r\nhost: x\r\nx-slow: ",
            _ => b"PUT /log-level HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\ntra",
        };
        // It may have been closed by now.
        let _gone = stream.write_all(said).await;
        held.push(stream);
    }
    assert!(ask(addr, "GET", "/healthz", "").await.ends_with("ok\n"));
    for mut early in held.drain(..1_000 - MAX_CONNECTIONS - 1) {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), early.read_to_end(&mut rest)).await;
        assert!(ended.is_ok() && rest.is_empty(), "it made room: {ended:?} {rest:?}");
    }
    for (many, size) in [(10_000, 10), (1, 10 << 20)] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let mut head = b"GET /metrics HTTP/1.1\r\nhost: x\r\n".to_vec();
        for n in 0..many {
            head.extend(format!("x-{n}: {}\r\n", "a".repeat(size)).into_bytes());
        }
        head.extend(b"\r\n");
        let _cut_off = stream.write_all(&head).await;
        let mut answer = Vec::new();
        let _reset =
            tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    for path in
        ["/../../etc/passwd", "/console/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd"]
    {
        let answer = ask(addr, "GET", path, "").await;
        assert!(answer.starts_with("HTTP/1.1 404") && !answer.contains("root:"), "{path}: {answer}");
    }
    assert_eq!(log.get(), "info");
}

/// Scenario: the head of a request comes, its body does not; other connections say nothing at all, or half a head.
/// Guarantees: 408 after the patience; the others are closed.
#[tokio::test]
async fn a_body_that_does_not_come() {
    let (_started, [silent, half, mut slow]) = half_said().await;
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    for mut other in [silent, half] {
        let mut nothing = Vec::new();
        assert!(matches!(other.read_to_end(&mut nothing).await, Ok(0) | Err(_)));
    }
}
