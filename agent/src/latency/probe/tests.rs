//! Each service against one of this process, and against ones that do not what they should.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

/// What a server sends for a datagram.
type Answer = fn(Vec<u8>) -> Vec<Vec<u8>>;

fn about(kind: Kind) -> Ask {
    let dest = IpAddr::from([127, 0, 0, 1]);
    Ask {
        kind,
        dest,
        host: "localhost".into(),
        source: None,
        size: 56,
        timeout: Duration::from_millis(400),
        key: 7,
    }
}

async fn answered(kind: Kind) -> bool {
    let report = ask(about(kind)).await;
    assert_eq!(report.key, 7);
    match report.outcome {
        Outcome::Reply { rtt, .. } => {
            assert!(rtt > Duration::ZERO && rtt < Duration::from_millis(400));
            true
        }
        Outcome::Timeout => false,
        other => panic!("{other:?}"),
    }
}

/// A UDP server that answers each datagram with what `answer` makes of it.
async fn udp_server(answer: Answer) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut packet = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut packet).await {
            for answer in answer(packet[..len].to_vec()) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    port
}

/// Scenario: an echo service, one that changes a byte, one that sends something else first, one that is silent, and a port
/// where nobody listens.
/// Guarantees: only what was sent is an answer, whatever comes before it.
#[tokio::test]
async fn udp_echo() {
    let cases: [(Answer, bool); 4] = [
        (|sent| vec![sent], true),
        (
            |mut sent| {
                sent[0] ^= 1;
                vec![sent]
            },
            false,
        ),
        (|sent| vec![b"other".to_vec(), sent[1..].to_vec(), sent], true),
        (|_| Vec::new(), false),
    ];
    for (server, works) in cases {
        assert_eq!(answered(Kind::Udp { port: udp_server(server).await }).await, works);
    }
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert!(!answered(Kind::Udp { port: closed }).await);
}

/// Scenario: name servers that answer, with an error, with another id, with another question, with three bytes.
/// Guarantees: an answer is one to this question; an error counts as loss only where that is wanted.
#[tokio::test]
async fn dns() {
    let cases: [(Answer, bool, bool); 5] = [
        (
            |mut sent| {
                sent[2] |= 0x80;
                vec![sent]
            },
            true,
            true,
        ),
        (
            |mut sent| {
                sent[2] |= 0x80;
                sent[3] = 3;
                vec![sent]
            },
            true,
            false,
        ),
        (
            |mut sent| {
                sent[2] |= 0x80;
                sent[0] ^= 1;
                vec![sent]
            },
            false,
            false,
        ),
        (
            |mut sent| {
                sent[2] |= 0x80;
                sent[13] ^= 1;
                vec![sent]
            },
            false,
            false,
        ),
        (|sent| vec![sent[..3].to_vec()], false, false),
    ];
    for (server, works, strictly) in cases {
        let port = udp_server(server).await;
        for (require_noerror, expected) in [(false, works), (true, strictly)] {
            let dns = Dns { query: "example.org".into(), record: "aaaa".into(), port, require_noerror };
            assert_eq!(answered(Kind::Dns(dns)).await, expected);
        }
    }
}

/// Scenario: web servers that answer with several statuses, with nonsense, with a head without end, and not at all.
/// Guarantees: a status below 400 is an answer; the request is one, to the target's name.
#[tokio::test]
async fn http() {
    for (answer, works) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        ("HTTP/1.0 301 Moved\r\n\r\n", true),
        ("HTTP/1.1 404 Not Found\r\n\r\n", false),
        ("HTTP/1.1 503 Unavailable\r\n\r\n", false),
        ("SSH-2.0-OpenSSH_9\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\n", false),
        ("", false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        let http = Http { port, path: "/healthz?x=1".into(), ..Http::default() };
        assert_eq!(answered(Kind::Http(http)).await, works, "{answer:?}");
        let request = server.await.unwrap();
        assert!(request.starts_with("GET /healthz?x=1 HTTP/1.1\r\nHost: localhost\r\n"), "{request}");
    }
}

/// Scenario: a TCP port where somebody listens, and the same one when nobody does any more.
/// Guarantees: both answer.
#[tokio::test]
async fn tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(answered(Kind::Tcp { port }).await);
    drop(listener);
    assert!(answered(Kind::Tcp { port }).await);
}

/// Scenario: names too long to be asked for.
/// Guarantees: the configuration is refused.
#[test]
fn names() {
    for (query, fine) in [
        ("example.org.", true),
        ("", true),
        (&*"a".repeat(64), false),
        (&*format!("{}org", "abcdefg.".repeat(32)), false),
    ] {
        let dns = Dns { query: query.into(), record: "A".into(), port: 53, require_noerror: false };
        assert_eq!(dns.check().is_ok(), fine, "{query}");
    }
}

proptest::proptest! {
    /// Scenario: any bytes as answer of a name server and of a web server.
    /// Guarantees: no panic.
    #[test]
    fn never_panics(question: Vec<u8>, answer: Vec<u8>) {
        dns::code(&question, &answer);
        http::status(&answer);
    }
}
