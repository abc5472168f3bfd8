//! The command over a fixture machine, and its doors.

use std::io::Read as _;
use std::path::Path;

use clap::Parser as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

fn mixed() -> Roots {
    let machine = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mixed");
    Roots { proc: machine.join("proc"), sys: machine.join("sys"), root: machine.join("root") }
}

fn config() -> Config {
    serde_yaml_ng::from_str("collectors: { loadavg: false }").unwrap()
}

/// The head and the body.
async fn get(address: SocketAddr, head: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {head}\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    (String::from_utf8_lossy(&answer[..end]).into_owned(), answer[end + 4..].to_vec())
}

/// Scenario: `collect --once` for one collector that is switched off, and for one that is not there.
/// Guarantees: the first is read, by name; the second is refused with the names that there are.
#[tokio::test]
async fn one_by_name() {
    let print = async |name: &str| {
        let mut out = Vec::new();
        let args = Args { once: true, serve: None, collector: Some(name.to_owned()) };
        run(&args, &config(), &mixed(), &mut out, CancellationToken::new()).await?;
        Ok::<_, CollectError>(String::from_utf8(out).unwrap())
    };
    let text = print("loadavg").await.unwrap();
    assert!(text.contains("node_load5 0.37\n") && !text.contains("node_memory"), "{text}");
    let error = print("load").await.unwrap_err().to_string();
    assert!(error.starts_with("there is no collector \"load\"; there are "), "{error}");
}

/// Scenario: the command with one of the two ways, with a collector's name, with both, with none.
/// Guarantees: just one of them must stand there; the name may.
#[test]
fn ways() {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }
    for (line, expect) in [
        ("collect --once", Some((true, None))),
        ("collect --once --collector cpu", Some((true, Some("cpu")))),
        ("collect --serve 9100 --collector cpu", Some((false, Some("cpu")))),
        ("collect --once --serve 9100", None),
        ("collect --collector cpu", None),
        ("collect", None),
    ] {
        let args = Cli::try_parse_from(line.split(' ')).ok().map(|cli| cli.args);
        let found = args.as_ref().map(|args| (args.once, args.collector.as_deref()));
        assert_eq!(found, expect, "{line}");
    }
}

/// Scenario: ports, addresses, and neither.
/// Guarantees: a port alone is the loopback's; what is neither is refused with what may stand there.
#[test]
fn addresses() {
    for (text, expect) in [
        ("9100", "127.0.0.1:9100"),
        (":9100", "127.0.0.1:9100"),
        ("0.0.0.0:9100", "0.0.0.0:9100"),
        ("[::]:9100", "[::]:9100"),
    ] {
        assert_eq!(address(text).unwrap(), expect.parse::<SocketAddr>().unwrap());
    }
    for bad in ["", "localhost", "70000", "1.2.3.4"] {
        assert!(address(bad).unwrap_err().contains("nor a port"), "{bad}");
    }
}

/// Scenario: 20 scrapes at once, with and without gzip, a person at the root, a path that is not there, then the end.
/// Guarantees: every scrape gets a whole page in the encoding that it asked for; the content type names the format.
#[tokio::test]
async fn doors() {
    let listener = admin::bind("127.0.0.1:0".parse().unwrap(), "the test", "--serve").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let reader = Reader::new(&config(), &mixed(), None).unwrap();
    let server = tokio::spawn(serve::run(listener, reader, shutdown.clone()));
    let scrapes = (0..20).map(|n| {
        let head =
            if n % 2 == 0 { "/metrics HTTP/1.1" } else { "/metrics HTTP/1.1\r\naccept-encoding: gzip" };
        tokio::spawn(get(address, head))
    });
    for (n, scrape) in scrapes.collect::<Vec<_>>().into_iter().enumerate() {
        let (head, body) = scrape.await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("text/plain; version=0.0.4"), "{head}");
        assert_eq!(head.contains("content-encoding: gzip"), n % 2 == 1, "{head}");
        let mut text = String::new();
        match n % 2 {
            0 => text = String::from_utf8(body).unwrap(),
            _ => drop(flate2::read::GzDecoder::new(&*body).read_to_string(&mut text).unwrap()),
        }
        assert!(text.contains("\nnode_boot_time_seconds ") && text.ends_with('\n'), "{text}");
        assert!(!text.contains("node_load1"), "{text}");
    }
    let (head, body) = get(address, "/ HTTP/1.1").await;
    assert!(head.contains("text/html") && String::from_utf8(body).unwrap().contains("href=\"/metrics\""));
    assert!(get(address, "/nothing HTTP/1.1").await.0.starts_with("HTTP/1.1 404"));
    shutdown.cancel();
    server.await.unwrap().unwrap();
}
