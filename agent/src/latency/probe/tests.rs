//! Each service against one of this process, and against ones that do not what they should.

use std::path::PathBuf;
use std::time::SystemTime;

use ao_common::tls::authority::Authority;
use ao_common::tls::server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

use super::*;

/// Long enough for any answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// All of it is waited for, where no answer is to come.
const SILENCE: Duration = Duration::from_millis(400);

/// What a server sends for a datagram.
type Answer = fn(Vec<u8>) -> Vec<Vec<u8>>;

fn about(kind: Kind) -> Ask {
    let dest = IpAddr::from([127, 0, 0, 1]);
    Ask { kind, dest, host: "localhost".into(), source: None, size: 56, timeout: PATIENCE, key: 7 }
}

/// There is an answer, or there is none, as `expected`.
async fn is_answered(kind: Kind, expected: bool) {
    let timeout = if expected { PATIENCE } else { SILENCE };
    assert_eq!(reason(Ask { timeout, ..about(kind) }).await.is_none(), expected);
}

/// Why there was no answer.
async fn reason(about: Ask) -> Option<&'static str> {
    let timeout = about.timeout;
    let (report, failure) = ask(about, Arc::default()).await;
    assert_eq!(report.key, 7);
    let reason = failure.map(|failure| failure.reason());
    match report.outcome {
        Outcome::Reply { rtt, .. } => assert!(rtt > Duration::ZERO && rtt < timeout && reason.is_none()),
        Outcome::Timeout => assert!(reason.is_some_and(|reason| REASONS.contains(&reason))),
        other => panic!("{other:?}"),
    }
    reason
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
        is_answered(Kind::Udp { port: udp_server(server).await }, works).await;
    }
    let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    is_answered(Kind::Udp { port: closed }, false).await;
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
            is_answered(Kind::Dns(dns), expected).await;
        }
    }
}

/// Scenario: web servers that answer with several statuses, with nonsense, with a head without end, and not at all.
/// Guarantees: a status below 400 is an answer; the request is one, to the target's name; a failure has its reason.
#[tokio::test]
async fn http() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", None),
        ("HTTP/1.0 301 Moved\r\n\r\n", None),
        ("HTTP/1.1 404 Not Found\r\n\r\n", Some("status")),
        ("HTTP/1.1 503 Unavailable\r\n\r\n", Some("status")),
        ("SSH-2.0-OpenSSH_9\r\n\r\n", Some("answer")),
        ("HTTP/1.1 200 OK\r\n", Some("answer")),
        ("", Some("answer")),
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
        let http = Http { port: Some(port), path: "/healthz?x=1".into(), ..Http::default() };
        assert_eq!(reason(about(Kind::Http(http))).await, expected, "{answer:?}");
        let request = server.await.unwrap();
        assert!(request.starts_with("GET /healthz?x=1 HTTP/1.1\r\nHost: localhost\r\n"), "{request}");
    }
}

/// A TLS server with a certificate of this CA for `names`, valid for a day from `from` on, that answers each request so;
/// its port.
async fn tls_server(ca: &Authority, names: &[&str], from: SystemTime, answer: &'static str) -> u16 {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let identity = ca.serve_as(&names, Duration::from_secs(86_400), from).unwrap();
    let acceptor = TlsAcceptor::from(server::config(identity).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not like the certificate hangs up.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.is_ok_and(|n| n > 0)
            {
            }
            let _gone = stream.write_all(answer.as_bytes()).await;
            let _gone = stream.shutdown().await;
        }
    });
    port
}

/// Scenario: TLS servers with a certificate of a CA that is trusted by file, or of another one; for the name that is asked
/// for, for another one, expired; one that speaks no TLS, one that says no, one that says nothing; a file that is not there.
/// Guarantees: only what is as it should be is an answer, unless certificates are not checked; each failure has its reason.
#[tokio::test]
async fn https() {
    const FINE: &str = "HTTP/1.1 200 OK\r\n\r\n";
    const NO: &str = "HTTP/1.1 500 No\r\n\r\n";
    let now = SystemTime::now();
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str| {
        let (certificate, key) = Authority::make(now - Duration::from_secs(864_000)).unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, &certificate).unwrap();
        (Authority::from_pem(&certificate, &key, "").unwrap(), Some(file))
    };
    let ((ours, file), (_, other)) = (made("ours.pem"), made("other.pem"));
    let good = tls_server(&ours, &["localhost", "127.0.0.1"], now, FINE).await;
    let elsewhere = tls_server(&ours, &["elsewhere.example"], now, FINE).await;
    let expired = tls_server(&ours, &["localhost"], now - Duration::from_secs(200_000), FINE).await;
    let refusing = tls_server(&ours, &["localhost"], now, NO).await;
    let plain = mail_server().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let checked = |ca_file: &Option<PathBuf>| Tls { ca_file: ca_file.clone(), ..Tls::default() };
    let named = Tls { server_name: Some("elsewhere.example".into()), ..checked(&file) };
    let any = Tls { verify: false, ..Tls::default() };
    let missing = Some(folder.path().join("missing.pem"));
    for (what, port, tls, expected) in [
        ("as it should be", good, checked(&file), None),
        ("of another CA", good, checked(&other), Some("certificate")),
        ("of another CA, unchecked", good, any.clone(), None),
        ("for another name", elsewhere, checked(&file), Some("certificate")),
        ("for that name", elsewhere, named, None),
        ("expired", expired, checked(&file), Some("certificate")),
        ("expired, unchecked", expired, any.clone(), None),
        ("a status", refusing, checked(&file), Some("status")),
        ("no TLS", plain, any.clone(), Some("tls")),
        ("silence", silent_port, any.clone(), Some("timeout")),
        ("nobody", closed, any, Some("connection")),
        ("no file", good, checked(&missing), Some("trust")),
    ] {
        let http = Http { port: Some(port), tls: Some(tls), ..Http::default() };
        let timeout = if what == "silence" { SILENCE } else { PATIENCE };
        assert_eq!(reason(Ask { timeout, ..about(Kind::Http(http)) }).await, expected, "{what}");
    }
}

/// A server that talks before it is asked, and not TLS.
async fn mail_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _gone = stream.write_all(b"220 mail.example ESMTP, and much more\r\n").await;
        }
    });
    port
}

/// Scenario: the file of a CA is replaced while the agent runs.
/// Guarantees: the next question is asked with the new one.
#[tokio::test]
async fn another_ca() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let now = SystemTime::now();
    let trust = Arc::<Trust>::default();
    for expected in [Some("certificate"), None] {
        let (certificate, key) = Authority::make(now).unwrap();
        let ca = Authority::from_pem(&certificate, &key, "").unwrap();
        let port = tls_server(&ca, &["localhost"], now, "HTTP/1.1 204 No\r\n\r\n").await;
        if expected.is_some() {
            std::fs::write(&file, Authority::make(now).unwrap().0).unwrap();
        } else {
            std::fs::write(&file, certificate).unwrap();
            let later = now + Duration::from_secs(2);
            std::fs::File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
        }
        let tls = Some(Tls { ca_file: Some(file.clone()), ..Tls::default() });
        let about = about(Kind::Http(Http { port: Some(port), tls, ..Http::default() }));
        let (_, failure) = ask(about, Arc::clone(&trust)).await;
        assert_eq!(failure.map(|failure| failure.reason()), expected);
    }
}

/// Scenario: targets written as URLs, as hosts, and wrongly.
/// Guarantees: host, port, path and whether TLS is wanted are as written; a certificate is checked unless the section says
/// otherwise.
#[test]
fn urls() {
    let any = Http { tls: Some(Tls { verify: false, ..Tls::default() }), ..Http::default() };
    for (url, expected) in [
        ("https://one.example", Some(("one.example", 443, "/", true))),
        ("https://one.example:8443/a/b?c=d", Some(("one.example", 8443, "/a/b?c=d", true))),
        ("http://192.0.2.1?x", Some(("192.0.2.1", 80, "/?x", false))),
        ("https://[2001:db8::1]:8443/", Some(("2001:db8::1", 8443, "/", true))),
    ] {
        for (like, verify) in [(None, true), (Some(&any), false)] {
            let (host, http) = Http::of_url(url, like).unwrap().unwrap();
            let tls = http.tls.as_ref();
            assert_eq!(
                Some((host.as_str(), http.port(), http.path.as_str(), tls.is_some())),
                expected,
                "{url}"
            );
            assert!(tls.is_none_or(|tls| tls.verify == verify), "{url}");
        }
    }
    for url in [
        "https://",
        "https://user@one.example/",
        "https://one.example:0/",
        "http://a:b",
        "https://[::1",
        "http://a/ b",
    ] {
        assert!(Http::of_url(url, None).unwrap().is_err(), "{url}");
    }
    for host in ["one.example", "192.0.2.1", "2001:db8::1", "gateway", "ftp://one.example"] {
        assert!(Http::of_url(host, None).is_none(), "{host}");
    }
}

/// Scenario: a TCP port where somebody listens, and the same one when nobody does any more.
/// Guarantees: both answer.
#[tokio::test]
async fn tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    is_answered(Kind::Tcp { port }, true).await;
    drop(listener);
    is_answered(Kind::Tcp { port }, true).await;
}

/// Scenario: a connection that the system itself refuses, since the address to send from is not ours.
/// Guarantees: it was not sent, and that is counted as a failure to connect.
#[tokio::test]
async fn tcp_refused_here() {
    let about = Ask { source: Some(IpAddr::from([192, 0, 2, 254])), ..about(Kind::Tcp { port: 9 }) };
    let (report, failure) = ask(about, Arc::default()).await;
    assert!(matches!(report.outcome, Outcome::NotSent(_)), "{report:?}");
    assert_eq!(failure.unwrap().reason(), "connection");
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
        net::dns_code(&question, &answer);
        http::status(&answer);
    }
}

/// Scenario: questions end because this process has no descriptors or no send buffer left, or since nobody listens.
/// Guarantees: the first are not sent and blame nobody, the last is a failure of the target.
#[test]
fn own_limits_blame_nobody() {
    let dest = IpAddr::from([127, 0, 0, 1]);
    let ended = |code| unless_own_limit(dest, io::Error::from_raw_os_error(code).into());
    for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
        let outcome = ended(code).unwrap();
        assert!(matches!(&outcome, Outcome::NotSent(error) if error.is_own_limit()), "{outcome:?}");
    }
    assert!(matches!(ended(libc::ECONNREFUSED), Err(Failure::Connection(_))));
    assert!(matches!(unless_own_limit(dest, Failure::Status(500)), Err(Failure::Status(500))));
}
