//! The command as a whole against this machine's loopback, and its schedule and lines by themselves.

use clap::Parser as _;

use super::*;
use crate::ping::printer::milliseconds;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn args(line: &str) -> Result<Args, String> {
    let words = std::iter::once("ping").chain(line.split_whitespace());
    let args = Line::try_parse_from(words).map_err(|error| error.to_string())?.args;
    args.check().map(|()| args)
}

/// Runs it; gives the exit code and both outputs.
async fn ping(line: &str) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = args(line).unwrap();
    let code =
        run(args, &net::Config::default(), &mut out, &mut err, CancellationToken::new()).await.unwrap();
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// With each number that has a point as N.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    let mut words = text.split_inclusive(|c: char| !(c.is_ascii_digit() || c == '.'));
    words.by_ref().for_each(|word| {
        let end = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, rest) = if end == 0 { (word, "") } else { word.split_at(word.len() - 1) };
        let figure = number.matches('.').count() == 1 && number.parse::<f64>().is_ok();
        shape.push_str(if figure { "N" } else { number });
        shape.push_str(rest);
    });
    shape
}

/// Scenario: two addresses of loopback, in each way of printing.
/// Guarantees: the lines that fping 5 writes, and 0 at the end.
#[tokio::test]
async fn loopback() {
    let line = |n| format!("127.0.0.1 : [{n}], 64 bytes, N ms (N avg, 0% loss)\n");
    let summary = "127.0.0.1 : xmt/rcv/%loss = 2/2/0%, min/avg/max = N/N/N\n";
    let cases = [
        ("-c2 -p20 127.0.0.1", line(0) + &line(1), format!("\n{summary}")),
        ("-c2 -p20 -q 127.0.0.1", String::new(), summary.to_owned()),
        ("-C3 -p20 -q 127.0.0.1", String::new(), "127.0.0.1 : N N N\n".to_owned()),
        ("127.0.0.1 127.0.0.2", "127.0.0.1 is alive\n127.0.0.2 is alive\n".to_owned(), String::new()),
        ("-a 127.0.0.1", "127.0.0.1\n".to_owned(), String::new()),
        ("-u 127.0.0.1", String::new(), String::new()),
        ("-e 127.0.0.1", "127.0.0.1 is alive (N ms)\n".to_owned(), String::new()),
        (
            "-c1 -J 127.0.0.1",
            "{\"resp\": {\"host\": \"127.0.0.1\", \"seq\": 0, \"size\": 64, \"rtt\": N}}\n\
             {\"summary\": {\"host\": \"127.0.0.1\", \"xmt\": 1, \"rcv\": 1, \"loss\": 0, \"rttMin\": N, \"rttAvg\": N, \"rttMax\": N}}\n"
                .to_owned(),
            String::new(),
        ),
        (
            "-C2 -p20 -q -J 127.0.0.1",
            "{\"vSum\": {\"host\": \"127.0.0.1\", \"values\": [N, N]}}\n".to_owned(),
            String::new(),
        ),
    ];
    for (line, out, err) in cases {
        let (code, said, complained) = ping(line).await;
        assert_eq!((shape(&said), shape(&complained), code), (out, err, exit::ALL), "{line}");
    }
}

/// Scenario: a name that has no address, beside one that answers, and alone in JSON.
/// Guarantees: it is told, the other one is pinged, and the exit code says that a name was not found.
#[tokio::test]
async fn unresolvable() {
    let (code, out, err) = ping("127.0.0.1 no-such-host.invalid").await;
    assert_eq!((code, out.as_str()), (exit::NO_ADDRESS, "127.0.0.1 is alive\n"));
    assert_eq!(err, "no-such-host.invalid: Name or service not known\n");
    let (code, out, _) = ping("-c1 -J -q no-such-host.invalid").await;
    let warning =
        "{\"warning\": {\"host\": \"no-such-host.invalid\", \"message\": \"Name or service not known\"}}\n";
    assert_eq!((code, out.as_str()), (exit::NO_ADDRESS, warning));
    let (code, _, err) = ping("-6 127.0.0.1").await;
    assert_eq!(
        (code, err.as_str()),
        (exit::NO_ADDRESS, "127.0.0.1: Address family for hostname not supported\n")
    );
}

/// Scenario: options out of range, and ones that exclude each other.
/// Guarantees: each is refused before anything is sent, with the option in the words.
#[test]
fn refused() {
    for (line, word) in [
        ("", "HOST"),
        ("-c0 a", "above 0"),
        ("-J a", "-J"),
        ("-a -u a", "-u"),
        ("-i=-1 a", "-i"),
        ("-p 0 a", "-p"),
        ("-t 0 a", "-t"),
        ("-t NaN a", "-t"),
        ("-b 65508 a", "-b"),
        ("-B 9 a", "-B"),
        ("-r 21 a", "-r"),
        ("-O 256 a", "256"),
        ("-H 0 a", "0"),
        ("-c1 -C1 a", "cannot be used"),
        ("-f hosts a", "cannot be used"),
        ("-S nowhere a", "nowhere"),
        ("--mode icmp a", "icmp"),
    ] {
        let why = args(line).unwrap_err();
        assert!(why.contains(word), "{line:?}: {why}");
    }
    assert_eq!(args("-O 0xb8 a").unwrap().tos, 0xb8);
    assert_eq!(
        (args("-c1 -p 9000 a").unwrap().timeout(), args("a").unwrap().timeout()),
        (Duration::from_secs(2), Duration::from_millis(500))
    );
}

/// Scenario: hosts in a file, with remarks and empty lines; no such file.
/// Guarantees: the first words are the hosts; a file that cannot be read is named.
#[test]
fn from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hosts");
    std::fs::write(&file, "# remark\n127.0.0.1 first\n\n  ::1\n").unwrap();
    let read = args(&format!("-f {}", file.display())).unwrap();
    assert_eq!(read.hosts().unwrap(), ["127.0.0.1", "::1"]);
    let why = args("-f /no/such/file").unwrap().hosts().unwrap_err();
    assert!(why.to_string().contains("/no/such/file") && why.code() == exit::SYSTEM);
}

/// Scenario: three hosts, two pings each, an interval of 10 ms and a period of 50 ms, by paused time.
/// Guarantees: the hosts in turn, the interval apart; the second pings a period behind the first.
#[tokio::test(start_paused = true)]
async fn schedule() {
    let start = Instant::now();
    let mut plan = Plan::new(&args("-c2 -i10 -p50 a b c").unwrap(), 3);
    let mut sent = Vec::new();
    while let Some(next) = plan.next() {
        sleep_until(next).await;
        while let Some(ping) = plan.due(Instant::now()) {
            sent.push(((Instant::now() - start).as_millis(), ping.host, ping.number));
            assert_eq!(plan::Ping::of(ping.key()), ping);
        }
    }
    assert_eq!(sent, [(0, 0, 0), (10, 1, 0), (20, 2, 0), (50, 0, 1), (60, 1, 1), (70, 2, 1)]);
    assert_eq!(plan.under_way(), 6);
}

/// Scenario: the prober's queue is full at each second attempt.
/// Guarantees: each ping is sent once, none is left out and none doubled.
#[tokio::test(start_paused = true)]
async fn put_off() {
    let mut plan = Plan::new(&args("-c3 -i1 -p20 a b c d").unwrap(), 4);
    let (mut sent, mut full) = (Vec::new(), false);
    while let Some(next) = plan.next() {
        sleep_until(next).await;
        while let Some(ping) = plan.due(Instant::now()) {
            full = !full;
            if full {
                plan.again(ping, Instant::now());
            } else {
                sent.push((ping.host, ping.number));
            }
        }
    }
    sent.sort_unstable();
    let expected: Vec<(usize, u32)> =
        (0..4).flat_map(|host| (0..3).map(move |number| (host, number))).collect();
    assert_eq!((sent, plan.under_way()), (expected, 12));
}

/// Scenario: a host that never answers is asked whether it is there, with two retries.
/// Guarantees: each timeout is longer by the factor; the verdict comes with the last.
#[tokio::test(start_paused = true)]
async fn retries() {
    let mut plan = Plan::new(&args("-r2 -t100 -B2 a").unwrap(), 1);
    for (number, timeout, verdict) in [(0, 100, false), (1, 200, false), (2, 400, true)] {
        sleep_until(plan.next().unwrap()).await;
        let ping = plan.due(Instant::now()).unwrap();
        assert_eq!((ping.number, plan.timeout(number)), (number, Duration::from_millis(timeout)));
        assert_eq!(plan.ended(ping, false, Instant::now()), verdict);
    }
    assert_eq!((plan.next(), plan.under_way()), (None, 0));
}

/// Scenario: round trips of all magnitudes.
/// Guarantees: fping's number of digits.
#[test]
fn digits() {
    for (us, text) in [(33, "0.033"), (999, "0.999"), (1_234, "1.23"), (12_345, "12.3"), (123_456, "123")] {
        assert_eq!(milliseconds(Duration::from_micros(us)), text);
    }
}
