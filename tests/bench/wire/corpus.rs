//! Log lines as a node's containers write them, made from a seed: access logs, structured application logs with trace
//! ids, a Go component's lines, stack traces. The same at every run, and nobody's data.

use std::fmt::Write as _;

use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::model::Labels;

/// splitmix64 (Steele, Lea, Flood 2014): the same numbers on every machine and in every release.
pub(crate) struct Dice(u64);

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
pub(crate) type Writer = fn(&mut Dice, i64, &mut String);

/// What writes lines, and how.
pub(crate) type App = (&'static str, Writer);

/// A node's mixture.
pub(crate) const APPS: [App; 8] = [
    ("ingress-nginx", access),
    ("checkout", application),
    ("catalog", application),
    ("payments", application),
    ("search", stack_trace),
    ("coredns", component),
    ("scheduler", component),
    ("frontend", access),
];

/// Structured lines of services, as JSON.
pub(crate) const JSON: [App; 6] = [
    ("checkout", application),
    ("catalog", application),
    ("payments", application),
    ("orders", application),
    ("accounts", application),
    ("shipping", application),
];

/// Access logs in the combined format, with what nginx's ingress adds to it.
pub(crate) const ACCESS: [App; 3] = [("ingress-nginx", access), ("frontend", access), ("static", access)];

/// Components written in Go, with klog's head.
pub(crate) const KLOG: [App; 4] = [
    ("kubelet", component),
    ("scheduler", component),
    ("controller-manager", component),
    ("csi-driver", component),
];

/// Batches of `lines` lines or `bytes` bytes each, a millisecond between two lines on average.
pub(crate) fn batches(apps: &[App], count: usize, lines: usize, bytes: usize) -> Vec<LogFrame> {
    let mut dice = Dice(42);
    let mut at_ns = 1_700_000_000_000_000_000_i64;
    (0..count).map(|_| batch(apps, &mut dice, &mut at_ns, (lines, bytes))).collect()
}

fn batch(apps: &[App], dice: &mut Dice, at_ns: &mut i64, (lines, bytes): (usize, usize)) -> LogFrame {
    let mut frame = LogFrame::default();
    for (i, (app, _)) in apps.iter().enumerate() {
        frame.streams.push(stream(app, i));
        frame.shared.push(Labels::from_pairs([("pod_uid", uid(i))]));
    }
    while frame.entries.len() < lines && frame.text.len() < bytes {
        // A reader takes what a file has got since it last looked: some lines of one stream in a row.
        let number = dice.below(apps.len() as u64) as usize;
        for _ in 0..=dice.skewed(20) {
            *at_ns += 1 + dice.below(2_000_000) as i64;
            let start = frame.text.len();
            apps[number].1(dice, *at_ns, &mut frame.text);
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

/// A pod's UID.
fn uid(number: usize) -> String {
    let mut dice = Dice(1 + number as u64);
    let mut part = |bits: u32| dice.below(1 << bits);
    format!("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", part(32), part(16), part(16), part(16), part(48))
}

const PATHS: [&str; 12] = [
    "/",
    "/healthz",
    "/api/v1/cart",
    "/api/v1/products",
    "/api/v1/products/search",
    "/api/v1/orders",
    "/api/v1/recommendations",
    "/static/app.js",
    "/static/fonts/inter.woff2",
    "/static/images/hero.webp",
    "/login",
    "/account/orders",
];

const BROWSERS: [&str; 10] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "kube-probe/1.30",
    "curl/8.5.0",
];

fn access(dice: &mut Dice, at_ns: i64, out: &mut String) {
    let (host, size) = (dice.skewed(60_000), 200 + dice.skewed(90_000));
    let path = PATHS[dice.skewed(PATHS.len() as u64) as usize];
    let item = match path {
        "/api/v1/products" | "/api/v1/orders" | "/account/orders" => format!("/{}", dice.skewed(40_000)),
        "/api/v1/products/search" => format!("?q={}&page={}", dice.of(&WORDS), dice.skewed(9)),
        "/login" => format!("?next=%2Faccount&sid={:08x}", dice.next() as u32),
        _ => String::new(),
    };
    let method = dice.of(&["GET", "GET", "GET", "GET", "GET", "POST", "PUT", "HEAD"]);
    let status =
        dice.of(&["200", "200", "200", "200", "200", "201", "204", "302", "304", "404", "499", "500"]);
    let from =
        dice.of(&["-", "-", "https://shop.example/", "https://shop.example/cart", "https://search.example/"]);
    let browser = BROWSERS[dice.skewed(BROWSERS.len() as u64) as usize];
    let (second, took) = (at_ns / 1_000_000_000, dice.skewed(900));
    let _infallible = write!(
        out,
        "10.{}.{}.{} - - [14/Nov/2023:22:{:02}:{:02} +0000] \"{method} {path}{item} HTTP/1.1\" {status} {size} \
         \"{from}\" \"{browser}\" {} 0.{took:03} [shop-{}-80] [] 10.42.{}.{}:8080 {size} 0.{took:03} {status} {:016x}{:016x}",
        host >> 16,
        host >> 8 & 255,
        host & 255,
        second / 60 % 60,
        second % 60,
        400 + dice.skewed(2_000),
        dice.of(&["frontend", "checkout", "catalog"]),
        dice.below(4),
        dice.below(40),
        dice.next(),
        dice.next(),
    );
}

const WORDS: [&str; 12] = [
    "lamp", "garden", "chair", "winter", "oak", "blue", "running", "coffee", "table", "espresso", "wool",
    "desk",
];

fn application(dice: &mut Dice, at_ns: i64, out: &mut String) {
    let level = dice.of(&["info", "info", "info", "info", "info", "debug", "warn", "error"]);
    let (trace, other, span, user) = (dice.next(), dice.next(), dice.next(), dice.skewed(90_000));
    let _infallible = write!(
        out,
        "{{\"time\":\"2023-11-14T22:{:02}:{:02}.{:06}Z\",\"level\":\"{level}\",\"logger\":\"shop.{}\",\
         \"trace_id\":\"{trace:016x}{other:016x}\",\"span_id\":\"{span:016x}\",",
        at_ns / 60_000_000_000 % 60,
        at_ns / 1_000_000_000 % 60,
        at_ns / 1_000 % 1_000_000,
        dice.of(&["orders", "payment.gateway", "cache", "http.server", "db.pool"]),
    );
    let path = PATHS[dice.skewed(6) as usize];
    let (took, item) = (dice.skewed(400_000), dice.skewed(40_000));
    let _infallible = match dice.below(8) {
        0 => write!(
            out,
            "\"msg\":\"order accepted\",\"order\":{},\"user\":\"u{user:06}\",\"total\":{}.{:02}}}",
            7_000_000 + item * 31,
            dice.skewed(900),
            dice.below(100)
        ),
        1 => write!(
            out,
            "\"msg\":\"cache miss, asking the database\",\"key\":\"product:{item}:v2\",\"took_ms\":{}.{:03}}}",
            took / 1_000,
            took % 1_000
        ),
        2 => write!(
            out,
            "\"msg\":\"payment provider answered late\",\"provider\":\"{}\",\"took_ms\":{},\"attempt\":{}}}",
            dice.of(&["visa", "paypal", "sepa"]),
            800 + took / 100,
            1 + dice.below(3)
        ),
        3 => write!(
            out,
            "\"msg\":\"retrying after connection reset by peer\",\"peer\":\"10.42.{}.{}:5432\",\"backoff_ms\":{}}}",
            dice.below(4),
            dice.below(40),
            100 << dice.below(5)
        ),
        4 => write!(
            out,
            "\"msg\":\"search for '{} {}' found {} products\",\"user\":\"u{user:06}\"}}",
            dice.of(&WORDS),
            dice.of(&WORDS),
            dice.skewed(300)
        ),
        _ => write!(
            out,
            "\"msg\":\"request served\",\"method\":\"{}\",\"path\":\"{path}/{item}\",\"status\":{},\"bytes\":{},\"user\":\"u{user:06}\",\"took_ms\":{}.{:03}}}",
            dice.of(&["GET", "GET", "GET", "POST"]),
            dice.of(&["200", "200", "200", "404", "500"]),
            dice.skewed(60_000),
            took / 1_000,
            took % 1_000
        ),
    };
}

/// A name as a ReplicaSet gives it: letters and digits without vowels.
fn pod(dice: &mut Dice) -> String {
    let mut letters = |n: u32| -> String {
        (0..n)
            .map(|_| {
                dice.of(&[
                    "b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "q", "r", "s", "t", "v", "w",
                    "x", "z", "2", "4", "5", "6", "7", "8", "9",
                ])
            })
            .collect()
    };
    let (set, own) = (letters(10), letters(5));
    format!("{}-{set}-{own}", APPS[dice.below(APPS.len() as u64) as usize].0)
}

fn component(dice: &mut Dice, at_ns: i64, out: &mut String) {
    let _infallible = write!(
        out,
        "{}1114 22:{:02}:{:02}.{:06} {:7} ",
        dice.of(&["I", "I", "I", "I", "I", "W", "E"]),
        at_ns / 60_000_000_000 % 60,
        at_ns / 1_000_000_000 % 60,
        at_ns / 1_000 % 1_000_000,
        1 + dice.below(3) * 811,
    );
    let took = dice.skewed(9_000_000);
    let _infallible = match dice.below(8) {
        0 => write!(
            out,
            "pod_startup_latency_tracker.go:104] \"Observed pod startup duration\" pod=\"shop/{}\" podStartSLOduration={}.{:06} podStartE2EDuration=\"{}.{:06}s\"",
            pod(dice),
            took / 1_000_000,
            took % 1_000_000,
            took / 1_000_000,
            took % 1_000_000
        ),
        1 => write!(
            out,
            "reconciler_common.go:258] \"operationExecutor.MountVolume started for volume \\\"kube-api-access-{:05x}\\\" pod=\\\"{}\\\"\" pod=\"shop/{}\"",
            dice.below(1 << 20),
            pod(dice),
            pod(dice)
        ),
        2 => write!(
            out,
            "schedule_one.go:286] \"Successfully bound pod to node\" pod=\"shop/{}\" node=\"worker-{}\" evaluatedNodes={} feasibleNodes={}",
            pod(dice),
            dice.below(40),
            40,
            1 + dice.below(39)
        ),
        3 => write!(
            out,
            "reflector.go:790] k8s.io/client-go/informers/factory.go:150: Watch close - *v1.{} total {} items received",
            dice.of(&["Pod", "Service", "ConfigMap", "Secret", "Node"]),
            dice.skewed(900)
        ),
        4 => write!(
            out,
            "replica_set.go:679] \"Finished syncing\" logger=\"replicaset-controller\" kind=\"ReplicaSet\" key=\"shop/{}\" duration=\"{}.{:03}ms\"",
            pod(dice),
            took / 100_000,
            took % 1_000
        ),
        5 => write!(
            out,
            "httplog.go:132] \"HTTP\" verb=\"{}\" URI=\"/metrics/resource\" latency=\"{}.{:03}ms\" userAgent=\"Prometheus/2.53.0\" srcIP=\"10.42.{}.{}:{}\" resp={}",
            dice.of(&["GET", "POST"]),
            took / 100_000,
            took % 1_000,
            dice.below(4),
            dice.below(40),
            32_768 + dice.below(28_000),
            dice.of(&["200", "200", "200", "401"])
        ),
        6 => write!(
            out,
            "leaderelection.go:281] successfully renewed lease kube-system/{}",
            dice.of(&["kube-scheduler", "kube-controller-manager", "csi-attacher"])
        ),
        _ => write!(
            out,
            "kubelet_getters.go:218] \"Pod status updated\" pod=\"kube-system/{}\" status=\"Running\" resourceVersion={}",
            pod(dice),
            48_000_000 + at_ns / 100_000_000 % 1_000_000
        ),
    };
}

fn stack_trace(dice: &mut Dice, _at_ns: i64, out: &mut String) {
    let class = dice.of(&["IndexReader", "QueryParser", "ShardClient", "HttpHandler"]);
    let method = dice.of(&["open", "parse", "call", "handle", "lambda$run$0"]);
    let _infallible =
        write!(out, "\tat shop.search.{class}.{method}({class}.java:{})", 20 + dice.skewed(400));
}
