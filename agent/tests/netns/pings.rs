//! Pings in the test network: what the command says beside fping, and an interface that goes and comes back.

use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use ao_agent::net::{self, Outcome, Prober};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::world::{BLACKHOLE, SERVER, SERVER6};

/// fping 5, as `make tools` brings it or as it is installed.
fn fping() -> std::path::PathBuf {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin/fping");
    if ours.is_file() { ours } else { "fping".into() }
}

/// Its outputs with each round trip as N, and its exit code.
fn said(output: &Output) -> (String, String, Option<i32>) {
    let shape = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let lines = text.lines().map(|line| {
            let words = line.split(' ').map(|word| word.split('/').map(figure).collect::<Vec<_>>().join("/"));
            words.collect::<Vec<_>>().join(" ")
        });
        let mut lines: Vec<String> = lines.collect();
        // Answers of one moment come in any order, and so do errors; the summaries come in the order of the hosts.
        if lines.iter().all(|line| !line.contains("xmt/rcv")) {
            lines.sort();
        }
        lines.join("\n")
    };
    (shape(&output.stdout), shape(&output.stderr), output.status.code())
}

fn figure(word: &str) -> String {
    let plain = word.trim_matches(['(', ')', ',']);
    if plain.matches('.').count() == 1 && plain.parse::<f64>().is_ok() {
        return word.replace(plain, "N");
    }
    word.to_owned()
}

/// Every way of printing, to hosts that answer, that do not, and whose name is none. Who answers has a second for it: the
/// default is the period of `-p`, and fping takes an answer for lost that it was not woken up to read in time.
pub(crate) fn beside_fping() {
    for arguments in [
        format!("-c 3 -p 50 -t 1000 -i 5 {SERVER} 10.77.1.1"),
        format!("-c 3 -p 50 -t 1000 -q {SERVER} {BLACKHOLE}"),
        format!("-c 2 -p 100 -t 1000 {SERVER} {BLACKHOLE}"),
        format!("-c 2 -p 100 -t 50 {BLACKHOLE}"),
        format!("-C 4 -p 50 -t 1000 -q {SERVER} {BLACKHOLE}"),
        format!("-C 2 -p 50 -t 1000 -b 1000 -O 0x20 {SERVER}"),
        format!("-t 100 -r 1 {SERVER} {BLACKHOLE}"),
        format!("-a -t 100 -r 1 {SERVER} {BLACKHOLE}"),
        format!("-u -t 100 -r 1 {SERVER} {BLACKHOLE}"),
        format!("-e {SERVER}"),
        format!("-q -t 100 -r 0 {BLACKHOLE}"),
        format!("-6 -c 2 -p 50 -t 1000 {SERVER6}"),
        format!("-S 10.77.1.2 -c 1 {SERVER}"),
        format!("-c 1 -H 2 -t 1000 {SERVER}"),
    ] {
        let words: Vec<&str> = arguments.split(' ').collect();
        let theirs = Command::new(fping()).args(&words).output().expect("run `make tools` for fping");
        let ours = Command::new(env!("CARGO_BIN_EXE_ao-agent")).arg("ping").args(&words).output().unwrap();
        assert_eq!(said(&ours), said(&theirs), "{arguments}");
    }
    // A name that is none: the C library's words for it depend on the machine.
    let none = ["-c", "1", SERVER, "no-such-host.invalid"];
    let theirs = Command::new(fping()).args(none).output().unwrap();
    let ours = Command::new(env!("CARGO_BIN_EXE_ao-agent")).arg("ping").args(none).output().unwrap();
    assert_eq!((ours.status.code(), theirs.status.code()), (Some(2), Some(2)));
    assert_eq!(said(&ours).0, said(&theirs).0);
}

fn link(words: &str) {
    let done = Command::new("ip").args(words.split(' ')).status().unwrap();
    assert!(done.success(), "ip {words}");
}

/// The way out is taken away and comes back, and so is an address to send from.
pub(crate) async fn interface_goes() {
    for mode in super::MODES {
        let config = net::Config { mode: Some(mode), ..net::Config::default() };
        let prober = Prober::start(&config, CancellationToken::new()).unwrap();
        let mut client = prober.client(4);
        let dest: IpAddr = SERVER.parse().unwrap();
        let source = Some("10.77.1.2".parse().unwrap());
        for (there, words) in [
            (true, None),
            (false, Some("link set n1l down")),
            (true, Some("link set n1l up")),
            (false, Some("addr del 10.77.1.2/24 dev n1l")),
            (true, Some("addr add 10.77.1.2/24 dev n1l")),
        ] {
            if let Some(words) = words {
                link(words);
            }
            if there {
                // Taking the link or its address away took the route along.
                link("route replace default via 10.77.1.1");
            }
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let timeout = Duration::from_millis(300);
                client.send(net::Probe { source, timeout, ..net::Probe::to(dest) }).await.unwrap();
                let outcome = client.recv().await.unwrap().outcome;
                match (&outcome, there) {
                    (Outcome::Reply { .. }, true) | (Outcome::NotSent(_), false) => break,
                    _ => assert!(Instant::now() < deadline, "{mode} {words:?}: {outcome:?}"),
                }
            }
        }
    }
}
