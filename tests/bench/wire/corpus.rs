//! Log lines as a node's containers write them, made from a seed: access logs, structured application logs with trace
//! ids, a Go component's lines, stack traces. The same at every run, and nobody's data.

use std::fmt::Write as _;

use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::model::Labels;

/// splitmix64 (Steele, Lea, Flood 2014): the same numbers on every machine and in every release.
pub(super) struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Few values often, many seldom: paths and users are so.
    fn skewed(&mut self, n: u64) -> u64 {
        let a = self.below(n);
        a * self.below(n) / n
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Appends a line.
type Writer = fn(&mut Dice, i64, &mut String);

const APPS: [(&str, Writer); 8] = [
    ("ingress-nginx", access),
    ("checkout", application),
    ("catalog", application),
    ("payments", application),
    ("search", stack_trace),
    ("coredns", component),
    ("scheduler", component),
    ("frontend", access),
];

/// Batches of `lines` lines each, a millisecond between two lines on average.
pub(super) fn batches(count: usize, lines: usize) -> Vec<LogFrame> {
    let mut dice = Dice(42);
    let mut at_ns = 1_700_000_000_000_000_000_i64;
    (0..count).map(|_| batch(&mut dice, &mut at_ns, lines)).collect()
}

fn batch(dice: &mut Dice, at_ns: &mut i64, lines: usize) -> LogFrame {
    let mut frame = LogFrame::default();
    for (i, (app, _)) in APPS.iter().enumerate() {
        frame.streams.push(stream(app, i));
    }
    while frame.entries.len() < lines {
        // A reader takes what a file has got since it last looked: some lines of one stream in a row.
        let number = dice.below(APPS.len() as u64) as usize;
        for _ in 0..=dice.skewed(20) {
            *at_ns += 1 + dice.below(2_000_000) as i64;
            let start = frame.text.len();
            APPS[number].1(dice, *at_ns, &mut frame.text);
            let len = (frame.text.len() - start) as u32;
            frame.entries.push(LogEntry { stream: number as u32, at_ns: *at_ns, len, metadata: 0 });
        }
    }
    frame
}

fn stream(app: &str, number: usize) -> Labels {
    let pod = format!("{app}-7d9c5b8f6{number}-x{number}k2p");
    Labels::from_pairs([
        ("app", app),
        ("cluster", "default"),
        ("container", app),
        ("job", &format!("shop/{app}")),
        ("namespace", "shop"),
        ("node", "worker-17"),
        ("pod", &pod),
        ("stream", if number.is_multiple_of(2) { "stdout" } else { "stderr" }),
    ])
}

const PATHS: [&str; 6] =
    ["/api/v1/products", "/api/v1/cart", "/static/app.js", "/healthz", "/api/v1/orders", "/"];

fn access(dice: &mut Dice, at_ns: i64, out: &mut String) {
    let (host, size, user) = (dice.skewed(60_000), 200 + dice.skewed(90_000), dice.skewed(9_000));
    let path = dice.of(&PATHS);
    let method = dice.of(&["GET", "GET", "GET", "GET", "POST", "PUT"]);
    let status = dice.of(&["200", "200", "200", "200", "304", "404", "500"]);
    let agent = dice.of(&[
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15",
        "kube-probe/1.30",
    ]);
    let (second, took) = (at_ns / 1_000_000_000 % 60, dice.skewed(900));
    let _infallible = write!(
        out,
        "10.{}.{}.{} - - [14/Nov/2023:22:13:{second:02} +0000] \"{method} {path}?id={user} HTTP/1.1\" {status} {size} \
         \"-\" \"{agent}\" 0.{took:03}",
        host >> 16,
        host >> 8 & 255,
        host & 255,
    );
}

fn application(dice: &mut Dice, at_ns: i64, out: &mut String) {
    let level = dice.of(&["info", "info", "info", "info", "warn", "error"]);
    let text = dice.of(&[
        "order accepted",
        "cache miss, asking the database",
        "payment provider answered late",
        "cart updated",
        "retrying after connection reset by peer",
    ]);
    let (trace, span, user) = (dice.next(), dice.next(), dice.skewed(9_000));
    let _infallible = write!(
        out,
        "{{\"ts\":{}.{:06},\"level\":\"{level}\",\"msg\":\"{text}\",\"trace_id\":\"{trace:016x}{:016x}\",\
         \"span_id\":\"{span:016x}\",\"user\":{user},\"took_ms\":{}}}",
        at_ns / 1_000_000_000,
        at_ns / 1_000 % 1_000_000,
        dice.next(),
        dice.skewed(400),
    );
}

fn component(dice: &mut Dice, at_ns: i64, out: &mut String) {
    let place = dice.of(&["reconciler.go:142", "server.go:88", "cache.go:391", "leader.go:260"]);
    let text =
        dice.of(&["Synced object", "Successfully bound pod", "Watch closed, listing again", "Lease renewed"]);
    let _infallible = write!(
        out,
        "I1114 22:13:{:02}.{:06}       1 {place}] \"{text}\" object=\"shop/{}-{}\" attempt={}",
        at_ns / 1_000_000_000 % 60,
        at_ns / 1_000 % 1_000_000,
        APPS[dice.below(APPS.len() as u64) as usize].0,
        dice.skewed(400),
        dice.skewed(6),
    );
}

fn stack_trace(dice: &mut Dice, _at_ns: i64, out: &mut String) {
    let class = dice.of(&["IndexReader", "QueryParser", "ShardClient", "HttpHandler"]);
    let method = dice.of(&["open", "parse", "call", "handle", "lambda$run$0"]);
    let _infallible =
        write!(out, "\tat shop.search.{class}.{method}({class}.java:{})", 20 + dice.skewed(400));
}
