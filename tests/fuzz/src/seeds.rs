//! The corpus' first files: what our own encoders make, the fixtures and examples of the repository, and things that
//! are wrong on purpose. Written by `cargo run -p ao-fuzz -- --seeds`; what fuzzing found stands beside them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ao_common::journal::{Append, Class, Fold, Journal, Options};
use ao_common::tls;
use ao_proto::frame::{compress, seal};
use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::metrics::{Keyframe, MetricsFrame};
use ao_proto::model::{Exemplar, Family, Labels, MetricType, Series};
use ao_proto::v1::{
    Ack, AgentMessage, AggregatorMessage, Directives, EpochRanges, FileRange, FrameHeader, Hello, Peer, Pod,
    Range, Refused, Target, Throttle, Welcome, agent_message, aggregator_message,
};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

/// A keyframe of some families and `n` series.
pub fn keyframe(n: usize) -> Keyframe {
    let family = |name: &str, kind| Family {
        name: name.into(),
        kind,
        help: "What it counts".into(),
        unit: "seconds".into(),
    };
    let families = vec![
        family("node_cpu_seconds_total", MetricType::Counter),
        family("node_memory_MemFree_bytes", MetricType::Gauge),
    ];
    let series = |i: usize| {
        let cpu = (i / 4).to_string();
        let pairs = [
            ("__name__", "node_cpu_seconds_total"),
            ("cpu", &cpu),
            ("mode", ["idle", "user", "system", "nice"][i % 4]),
        ];
        Series { labels: Labels::from_pairs(pairs), family: u32::from(i % 7 == 6) }
    };
    let value = |i: usize| match i % 5 {
        4 => std::f64::consts::PI * i as f64,
        3 => f64::from_bits(0x7ff0_0000_0000_0002),
        _ => i as f64 * 47.11,
    };
    Keyframe {
        id: 42,
        at_ms: 1_700_000_000_000,
        families,
        series: (0..n).map(series).collect(),
        values: (0..n).map(value).collect(),
    }
}

fn samples(keyframe: &Keyframe, change: impl Fn(usize, f64) -> f64) -> Vec<u8> {
    let values = keyframe.values.iter().enumerate().map(|(i, value)| change(i, *value)).collect();
    let labels = Labels::from_pairs([("trace_id", "0af7651916cd43dd8448eb211c80319c")]);
    let exemplar = Exemplar { series: 3, labels, value: 0.25, at_ms: keyframe.at_ms + 14_000 };
    let frame = MetricsFrame {
        at_ms: keyframe.at_ms + 15_000,
        values,
        absent: vec![5, 9],
        exemplars: vec![exemplar],
    };
    let mut out = Vec::new();
    frame.encode(keyframe, &mut out);
    out
}

fn log_frame(lines: usize) -> LogFrame {
    let stream = |n: usize| {
        Labels::from_pairs([
            ("namespace", "shop".to_owned()),
            ("pod", format!("web-{n}")),
            ("stream", "stdout".into()),
        ])
    };
    let mut frame = LogFrame { streams: (0..3).map(stream).collect(), ..LogFrame::default() };
    for n in 0..lines {
        let line = format!("level=info n={n} path=/ \u{e9}\u{20ac}");
        let metadata = u32::from(n % 3 == 0);
        let at_ns = 1_700_000_000_000_000_000 + n as i64 * 1_000;
        frame.entries.push(LogEntry { stream: (n % 3) as u32, at_ns, len: line.len() as u32, metadata });
        frame.text.push_str(&line);
        if metadata > 0 {
            frame.metadata.push(("trace_id".into(), format!("{n:032x}").into()));
        }
    }
    frame
}

fn header(raw: &[u8], class: i32) -> FrameHeader {
    FrameHeader {
        agent: vec![7; 16],
        epoch: 3,
        sequence: 9,
        class,
        keyframe: 42,
        source: "logs".into(),
        records: 10,
        bytes: 160,
        first_ms: 1_700_000_000_000,
        span_ms: 1_000,
        raw_bytes: raw.len() as u64,
        files: vec![FileRange { file: vec![1; 16], start: 5, end: 500 }],
        ..FrameHeader::default()
    }
}

fn spans() -> Vec<u8> {
    let span = |n: u8| Span {
        trace_id: vec![n; 16],
        span_id: vec![n; 8],
        name: "GET /".repeat(usize::from(n)),
        start_time_unix_nano: 1_700_000_000_000_000_000,
        ..Span::default()
    };
    let attribute = KeyValue { key: "service.name".into(), ..KeyValue::default() };
    let scope = ScopeSpans { spans: (0..20).map(span).collect(), ..ScopeSpans::default() };
    let resource = ResourceSpans {
        resource: Some(Resource { attributes: vec![attribute], ..Resource::default() }),
        scope_spans: vec![scope.clone(), scope],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![resource.clone(), resource] }.encode_to_vec()
}

fn directives() -> Directives {
    let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
    let pod = Pod {
        uid: "u1".into(),
        namespace: "shop".into(),
        name: "web-1".into(),
        labels: labels.clone(),
        ..Pod::default()
    };
    let target = Target { host: "192.0.2.1".into(), labels };
    let peer = Peer {
        node: "n2".into(),
        zone: "z".into(),
        address: "10.0.0.2".into(),
        port: 4418,
        ..Peer::default()
    };
    Directives {
        version: 5,
        pods: vec![pod],
        latency: vec![target.clone()],
        paths: vec![target],
        peers: vec![peer],
        askers: vec!["10.0.0.2".into()],
        address: "10.0.0.1".into(),
    }
}

struct Nothing;

impl Fold for Nothing {
    fn restore(&mut self, _snapshot: &[u8]) {}
    fn apply(&mut self, _frame: &[u8]) {}
    fn shed(&mut self, _frame: &[u8], _unread_by: &[&str]) {}
    fn snapshot(&self) -> Vec<u8> {
        vec![1, 2, 3]
    }
}

/// A segment with frames and keyframes, and the file of a cursor in it.
fn journal() -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let options =
        Options { segment_bytes: 1 << 20, segment_age: Duration::from_secs(60), budget_bytes: 8 << 20 };
    let classes = vec![Class { name: "logs", fold: Box::new(Nothing) }];
    let journal = Journal::open(folder.path(), classes, options).expect("opens");
    let mut cursor = journal.cursor(0, "sink").expect("a cursor");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for n in 0..6_u8 {
        let keyframe = (n % 2 == 0).then(|| (u128::from(n / 4), Bytes::from(vec![n; 40])));
        let append = Append { frame: Bytes::from(vec![n; 30 * usize::from(n)]), keyframe };
        let end =
            runtime.block_on(async { journal.append(0, vec![append]).await.expect("open").durable().await });
        if n == 2 {
            cursor.advance(end.expect("durable")).expect("advances");
        }
    }
    runtime.block_on(journal.close());
    let read = |name: &str| fs::read(folder.path().join("logs").join(name)).expect("a file");
    (read("0000000000000001.seg"), read("sink.cursor"))
}

fn repository(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path))
        .expect("a file of the repository")
}

fn message(message: agent_message::Message) -> Vec<u8> {
    AgentMessage { message: Some(message) }.encode_to_vec()
}

fn answer(message: aggregator_message::Message) -> Vec<u8> {
    AggregatorMessage { message: Some(message) }.encode_to_vec()
}

fn wire(put: &mut dyn FnMut(&str, &str, Vec<u8>)) {
    let logs = log_frame(12).encode();
    put("envelope", "logs", seal(&header(&logs, 3), &compress(&logs)).to_vec());
    put("envelope", "raw", seal(&header(b"raw", 1), b"raw").to_vec());
    let zeros = vec![0; 16 << 20];
    put("envelope", "bomb", seal(&header(&zeros, 3), &compress(&zeros)).to_vec());
    put("envelope", "bomb-that-lies", seal(&header(b"x", 3), &compress(&zeros)).to_vec());
    let mut many = header(&logs, 3);
    many.files = vec![FileRange::default(); 5_000];
    put("envelope", "many-files", seal(&many, &compress(&logs)).to_vec());
    let frames = [keyframe(0), keyframe(1), keyframe(40)];
    for (n, keyframe) in frames.iter().enumerate() {
        put("keyframe", &format!("good-{n}"), keyframe.encode());
    }
    // Many symbols of no length, and one shape of many labels for many series.
    let symbols = [&42_u64.to_le_bytes()[..], &[0, 0, 0x90, 0x4e], &vec![0; 10_000], &[0; 5]].concat();
    put("keyframe", "symbols", symbols);
    let pairs = (0..60).map(|n| (format!("l{n:02}"), "v"));
    let labels = Labels::from_pairs(pairs.collect::<Vec<_>>());
    let series = vec![Series { labels, family: 0 }; 200];
    let bomb =
        Keyframe { id: 42, families: vec![Family::default()], values: vec![0.0; 200], series, ..keyframe(0) };
    put("keyframe", "labels", bomb.encode());
    let good = keyframe(40);
    put("samples", "same", samples(&good, |_, value| value));
    put("samples", "steps", samples(&good, |i, value| value + (i % 3) as f64));
    put("samples", "floats", samples(&good, |i, value| value * 1.000_1 + i as f64 / 3.0));
    put("log_frame", "lines", logs.clone());
    put("log_frame", "none", LogFrame::default().encode());
    put("log_frame", "one", log_frame(1).encode());
    let hello =
        Hello { agent: vec![7; 16], node: "n".into(), version: 1, epochs: vec![1, 2], ..Hello::default() };
    put("messages", "hello", message(agent_message::Message::Hello(hello)));
    put("messages", "frame", message(agent_message::Message::Frame(seal(&header(b"raw", 1), b"raw"))));
    let have = vec![EpochRanges { epoch: 3, ranges: vec![Range { first: 1, last: 9 }] }];
    put(
        "messages",
        "welcome",
        answer(aggregator_message::Message::Welcome(Welcome { version: 1, have, ..Welcome::default() })),
    );
    put("messages", "ack", answer(aggregator_message::Message::Ack(Ack { epoch: 3, sequence: 9 })));
    let refused = Refused { epoch: 3, sequence: 9, reason: "why".into() };
    put("messages", "refused", answer(aggregator_message::Message::Refused(refused)));
    let throttle = Throttle { bytes_per_second: u64::MAX, for_ms: u64::MAX };
    put("messages", "throttle", answer(aggregator_message::Message::Throttle(throttle)));
    put("messages", "directives", directives().encode_to_vec());
    put("kept_directives", "directives", directives().encode_to_vec());
    put("content", "keyframe", [vec![0, 0], good.encode()].concat());
    put("content", "samples", [vec![1, 40], samples(&good, |i, value| value + i as f64)].concat());
    put("content", "spans", [vec![2, 0], spans()].concat());
    put("content", "logs", [vec![3, 0], logs].concat());
    put("otlp_spans", "spans", spans());
}

fn disk(put: &mut dyn FnMut(&str, &str, Vec<u8>)) {
    let (segment, cursor) = journal();
    put("journal_segment", "good", segment.clone());
    put("journal_segment", "torn", segment[..segment.len() - 30].to_vec());
    put("journal_cursor", "good", cursor);
    put("journal_cursor", "empty", Vec::new());
    // Count, position, nothing pending, end, the cursor that left it; in both slots.
    let numbers = [7_u64, 1, 0, 0, 0, 1, 400].map(u64::to_le_bytes).concat();
    let slot = [&numbers[..], &[4], b"sink"].concat();
    let slot = [&slot[..], &crc32c::crc32c(&slot).to_le_bytes()].concat();
    put("journal_range", "good", [&slot[..], &vec![0; 4096 - slot.len()], &slot].concat());
    put("journal_range", "cut", slot[..40].to_vec());
    let place = [1_u64, segment.len() as u64].map(u64::to_le_bytes).concat();
    let durable = [&place[..], &crc32c::crc32c(&place).to_le_bytes(), &segment].concat();
    put("journal_durable", "good", durable.clone());
    put("journal_durable", "missing", durable[..durable.len() - 30].to_vec());
    put("node_names", "one", br#"{"07070707070707070707070707070707":"node-a"}"#.to_vec());
    let received = br#"{"known":[["07070707070707070707070707070707","logs",10,100]],"lost":[["0","x",1,2]]}
{"known":[["07070707070707070707070707070707","logs",18446744073709551615,1]]}"#;
    put("received_note", "sum", received.to_vec());
    put("node_registry", "two", br#"{"nodes":[{"cluster":"lab","node":"n1","agent":"07070707070707070707070707070707",
"key":"aa","proof":"bootstrap","expires":1700000000,"seen":18446744073709551615}],"forgotten":[{"key":"bb","until":1}]}"#.to_vec());
    put("node_registry", "names", b"n1\nlab/n2\n".to_vec());
    let note = |n: u64| [n.to_le_bytes(), (n << 40).to_le_bytes()].concat();
    let noted = |n: u64| [&note(n)[..], &crc32c::crc32c(&note(n)).to_le_bytes()].concat();
    put("loki_newest", "two", [noted(1), noted(u64::MAX)].concat());
    put("loki_newest", "torn", noted(2)[..9].to_vec());
    // Stored {count, segment, offset, {source, counts}}.
    let source = [&[0x0a, 4][..], b"logs", &[0x12, 4, 9, 90, 1, 10]].concat();
    let stored = [&[0x08, 7, 0x10, 3, 0x18, 60, 0x22, source.len() as u8][..], &source].concat();
    put("spool_counts", "one", stored);
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let source = [&[0x0a, 1, b'x', 0x12, 20][..], &most, &most].concat();
    put("spool_counts", "most", [&[0x08, 1, 0x22, source.len() as u8][..], &source].concat());
    put("kept_clock", "both", b"1700000000000000000 1700000000000000001 500".to_vec());
    put("kept_clock", "alone", b"-9223372036854775808 - -".to_vec());
    put("kept_clock", "far", b"9223372036854775807 -9223372036854775808 9223372036854775807".to_vec());
    // StoredStream {agent, epoch, lane, ranges}; StoredCount {agent, source, records, bytes}.
    let agent = [&[0x0a, 16][..], &[7; 16]].concat();
    let stream = [&agent[..], &[0x11, 3, 0, 0, 0, 0, 0, 0, 0, 0x18, 0, 0x22, 4, 1, 5, 9, 12]].concat();
    let count = [&agent[..], &[0x12, 4], b"logs", &[0x18, 10, 0x20, 100]].concat();
    let state = [&[0x0a, stream.len() as u8][..], &stream, &[0x12, count.len() as u8], &count].concat();
    put("journal_state", "state", state.clone());
    put("spool_state", "state", state);
    put("spool_state", "file", [&[0x0a, 20, 0x0a, 16][..], &[1; 16], &[0x10, 99]].concat());
    let intent = br#"{"end":[3,70],"done":5,"left_out":[[],[[1,"too_old"],[9,"invalid"]]]}"#;
    let counts = br#"{"end":[3,60],"counts":[["07070707070707070707070707070707","logs",3,"delivered","",10,100]]}
{"end":[3,70],"counts":[["07070707070707070707070707070707","logs",3,"dropped","too_old",18446744073709551615,1]]}"#;
    put("fanout_notes", "both", [&intent[..], b"\n", counts].concat());
    for name in ["stat", "meminfo", "loadavg", "diskstats", "net/dev", "1/mountinfo"] {
        put(
            "procfs",
            &name.replace('/', "-"),
            repository(&format!("agent/tests/fixtures/mixed/proc/{name}")),
        );
    }
    for name in ["mdstat", "spl/kstat/zfs/arcstats", "spl/kstat/zfs/tank/io"] {
        put(
            "procfs",
            &name.replace('/', "-"),
            repository(&format!("agent/tests/fixtures/ubuntu-big/proc/{name}")),
        );
    }
    containers(put);
    let metrics = b"# HELP a_total What \\\\ it\\nis.\n# TYPE a_total counter\na_total{x=\"y\\\"\",} +Inf\n\
        # TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 4.5e-3\nh_count 3\n\
        # TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 1\nplain 7 1790000000000\n";
    put("exposition", "families", metrics.to_vec());
    put("exposition", "broken", b"a{b=\"\\x\",b=\"c\"} 1\na 1".to_vec());
    put("procfs", "cpus", b"0-3,5,7-9999999\n".to_vec());
    let lines =
        b"\x402026-11-22T14:00:00.000000001Z stdout F a line\n2026-11-22T14:00:00Z stderr P a piece\n\
        2026-11-22T14:00:00+23:59 stdout F:x tag\nno time\n2026-02-30T25:61:61.9999999999Z stdout F x\r\n";
    put("log_lines", "cri", lines.to_vec());
    put("log_lines", "binary", (0..=255).chain(0..=255).collect());
    put("log_lines", "long", [&[9][..], &b"x".repeat(3_000)].concat());
    put("glob", "pods", b"/var/log/pods/*/*/*.log\n/var/log/pods/shop_web_u1/app/0.log".to_vec());
    put("glob", "classes", b"/a/[!0-9]**/[a-z]?.log\n/a/x/y/bc.log.1".to_vec());
    put(
        "glob",
        "stars",
        b"/**/**/**/**/a*a*a*a*a*a*a*b\n/a/a/a/a/a/a/a/a/a/a/a/a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac".to_vec(),
    );
    let echo = [&[0, 0, 0x12, 0x34, 0, 7, 0, 9][..], &[0xab; 10]].concat();
    let ip = |kind: u8, body: &[u8]| {
        [&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, kind, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2][..], body].concat()
    };
    let question = [&b"AOE1\x01\0\0\0"[..], &[7; 32]].concat();
    put("mesh_packet", "question", question.clone());
    put("mesh_packet", "answer", [&b"AOE1\x02\0\0\0"[..], &[7; 32]].concat());
    put("mesh_packet", "short", question[..20].to_vec());
    let look = [&b"AOE1\x03\0\0\0"[..], &[7; 25], &[0; 1167]].concat();
    put("mesh_look", "question", look);
    let told = br#"{"counters":{"nic_errors":1,"cpu_pressure":2.5},"hops":[["10.0.0.1",5,5,123],[null,5,0,0],["fd00::1",5,9,1]]}"#;
    put("mesh_look", "answer", [&b"AOE1\x04\0\0\0"[..], &[7; 8], told].concat());
    put("mesh_look", "not-json", b"AOE1\x04\0\0\0\x07\x07\x07\x07\x07\x07\x07\x07{".to_vec());
    // struct inet_diag_msg of an IPv4 socket, and behind it an attribute of 4 bytes and one of struct tcp_info.
    let socket =
        [&[2, 1, 0, 0][..], &[9; 68], &[8, 0, 1, 0, 1, 2, 3, 4], &[244, 0, 2, 0], &[3; 240]].concat();
    put("mesh_connection", "cut", socket[..90].to_vec());
    put("mesh_connection", "whole", socket);
    put("packet", "reply", ip(1, &echo));
    let request = [&[8][..], &echo[1..]].concat();
    put("packet", "expired", ip(1, &[&[11, 0, 0, 0, 0, 0, 0, 0][..], &ip(1, &request)].concat()));
    let recording = "F\t0\tnode_load1\tLoad\nS\t0\t\tcpu=0\tmode=a\\tb\nT\t1000\n0\t1.5\nT\t2000\n0\t#7ff8000000000000\n-\t0\n";
    put("recording", "short", recording.into());
}

/// Files of cgroups, and paths of every shape.
fn containers(put: &mut dyn FnMut(&str, &str, Vec<u8>)) {
    let fixtures = "agent/tests/fixtures";
    for file in ["cpu.stat", "memory.stat", "memory.events", "io.stat", "io.pressure"] {
        let slice = format!("{fixtures}/k8s-containerd-v2/sys/fs/cgroup/kubepods.slice");
        put("cgroups", &format!("v2-{file}"), repository(&format!("{slice}/{file}")));
    }
    for (tree, file) in [
        ("blkio", "blkio.throttle.io_service_bytes_recursive"),
        ("memory", "memory.stat"),
        ("cpu", "cpu.stat"),
    ] {
        let slice = format!("{fixtures}/k8s-crio-v1/sys/fs/cgroup/{tree}/kubepods.slice");
        put("cgroups", &format!("v1-{file}"), repository(&format!("{slice}/{file}")));
    }
    put("cgroups", "number", b"18446744073709551615\n".to_vec());
    put("cgroups", "max", b"max 100000\n".to_vec());
    put("cgroups", "net-dev", repository(&format!("{fixtures}/mixed/proc/net/dev")));
    let written = br#"{"annotations":{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.container-name":"app",
"io.kubernetes.cri.sandbox-name":"web","io.kubernetes.cri.sandbox-namespace":"shop"},"Name":"/x","Config":{"Labels":null}}"#;
    put("cgroups", "config-json", written.to_vec());
    let id = "0123456789abcdef".repeat(4);
    for (name, path) in [
        ("systemd", format!("/kubepods.slice/kubepods-pod5d0a_4a53.slice/cri-containerd-{id}.scope/init")),
        ("cgroupfs", format!("/kubepods/burstable/pod5d0a-4a53/{id}")),
        ("mixture", format!("/system.slice/kubepods-burstable-podu1.slice:cri-containerd:{id}")),
        ("docker", format!("0::/../docker-{id}.scope/system.slice/ssh.service")),
        ("podman", format!("/machine.slice/libpod-conmon-{id}.scope")),
    ] {
        put("cgroup_path", name, path.into_bytes());
    }
}

fn text(put: &mut dyn FnMut(&str, &str, Vec<u8>)) {
    for (target, file) in [("agent_config", "agent"), ("aggregator_config", "aggregator")] {
        put(target, "example", repository(&format!("deploy/{file}.example.yaml")));
        put(target, "variables", b"name: ${NAME:-x}\nlog: {level: ${LEVEL}}\n".to_vec());
        put(target, "anchors", b"a: &a [x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n<<: *b\n".to_vec());
    }
    put("plan", "example", repository("deploy/directives.example.yaml"));
    for (n, text) in
        ["15s", "1.5h", "64MiB", "0", "18446744073709551615ns", "1e30GiB", "-1s"].iter().enumerate()
    {
        put("units", &n.to_string(), (*text).into());
    }
    let (pem, key) = tls::authority::Authority::make(SystemTime::now()).expect("a CA");
    let authority = tls::files::certificates(&pem, "seed").expect("a certificate");
    put("certificates", "ca.pem", pem.clone().into());
    put("kept_identity", "authority", pem.clone().into());
    put("certificates", "ca.der", authority[0].to_vec());
    drop(key);
    let key = tls::request::make_key().expect("a key");
    put("certificates", "request.der", tls::request::make_request(&key).expect("a request").0);
    put("certificates", "bootstrap", tls::bootstrap::Bootstrap::format("token", &authority).into());
    let name = tls::name::NodeId::new("c", "node-1", [7; 16]).expect("a name");
    put("certificates", "name", name.uri().into());
    put("api_request", "logs", b"node=n1&q=a%20%22b%22&level=warn&limit=10&after=7".to_vec());
    put("api_request", "poll", b"view=path&node=n1&minutes=30&id=0af7651916cd43dd&name=up".to_vec());
    put(
        "api_request",
        "verify",
        b"token=%00%ff\n{\"node\":\"n1\",\"timeout_ms\":18446744073709551615}".to_vec(),
    );
    let samples =
        br#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"2"]}]}}"#;
    put("verify_answer", "prometheus", samples.to_vec());
    let lines = br#"{"data":{"resultType":"streams","result":[{"stream":{"job":"ao-canary"},"values":[["1","a"]]}]}}"#;
    put("verify_answer", "loki", lines.to_vec());
    let spans = br#"{"trace":{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"AA=="}]}]}]}}"#;
    put("verify_answer", "tempo", spans.to_vec());
    put("verify_answer", "deep", [b"[".repeat(120), b"]".repeat(120)].concat());
    put("answers", "date", b"\x01\xf7Sun, 06 Nov 1994 08:49:37 GMT\nbusy".to_vec());
    put("answers", "date-overflow", b"\x01\xf7Sun, 06 Nov 1994 9223372036854775807:49:37 GMT\nbusy".to_vec());
    put("answers", "seconds", b"\x01\xad120\n{\"error\": \"too many\"}".to_vec());
    // google.rpc.Status with a RetryInfo of 7 s.
    let info =
        [&[0x0a, 40][..], b"type.googleapis.com/google.rpc.RetryInfo", &[0x12, 4, 0x0a, 2, 0x08, 7]].concat();
    let status = [&[8, 8, 0x1a, info.len() as u8][..], &info].concat();
    put("answers", "grpc", [&[0, 8][..], &status].concat());
    for (name, body) in [
        (
            "old",
            "entry for stream '{app=\"a\"}' has timestamp too old: 2020-01-01T00:00:00Z, oldest acceptable timestamp is: 2023-11-14T22:13:20Z",
        ),
        (
            "behind",
            "entry with timestamp 1970-01-01 00:00:00.000000001 +0000 UTC ignored, reason: 'entry too far behind, oldest acceptable timestamp is: 2023-11-14T22:13:20Z', for stream: {app=\"b\"}",
        ),
        (
            "size",
            "Max entry size '5' bytes exceeded for stream '{app=\"a\"}' while adding an entry with length '6' bytes",
        ),
        ("new", "entry for stream '{app=\"a\"}' has timestamp too new: 2099-01-01T00:00:00Z"),
        ("labels", "entry for stream '{app=\"a\"}' has 31 label names; limit 0"),
    ] {
        put("loki_refused", name, body.into());
    }
}

/// Writes them.
///
/// # Panics
/// Where the folder cannot be written.
pub fn write() {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut put = |target: &str, name: &str, data: Vec<u8>| {
        let folder = folder.join(target);
        fs::create_dir_all(&folder).expect("a folder can be made");
        fs::write(folder.join(name), data).expect("a file can be written");
    };
    wire(&mut put);
    disk(&mut put);
    text(&mut put);
}
