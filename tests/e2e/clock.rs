//! Clocks that are set while data flows: the agent's and the aggregator's, by an hour, forward and back.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ao_tests::eventually::eventually;
use ao_tests::loki::Loki;
use ao_tests::process::Process;
use ao_tests::prometheus::Prometheus;
use ao_tests::stack::{NODE, Stack};
use ao_tests::tempo::Tempo;
use ao_tests::verdict;
use ao_tests::workspace::{binary, free_addresses};
use ao_tests::writer::{container, rfc3339};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tokio::task::JoinHandle;
use tokio::time::Instant;

type Client = TraceServiceClient<tonic::transport::Channel>;

const S: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * S;
const OTHER: &str = "another-node";
/// Between two lines, and two spans.
const EVERY: Duration = Duration::from_millis(50);
/// Lines that are written before the clock is set again: three seconds.
const LINES: usize = 60;
/// How far a time may be from when its record was written: scheduling, on a machine that runs everything at once.
const NEAR: i64 = 2 * S;

fn truth() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

/// The wall clock of one host, as its processes and its container runtime see it.
#[derive(Clone)]
struct Host {
    file: PathBuf,
    ahead_ns: Arc<AtomicI64>,
}

impl Host {
    fn new(folder: &Path, name: &str) -> Self {
        let host = Self { file: folder.join(format!("{name}-clock")), ahead_ns: Arc::default() };
        host.set(0);
        host
    }

    fn set(&self, ahead_ns: i64) {
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, ahead_ns.to_string()).unwrap();
        std::fs::rename(&fresh, &self.file).unwrap();
        self.ahead_ns.store(ahead_ns, Ordering::SeqCst);
    }

    fn now(&self) -> i64 {
        truth() + self.ahead_ns.load(Ordering::SeqCst)
    }

    /// What a process of this name on this host finds in its environment.
    fn environment(&self, whose: &'static str) -> Vec<(&'static str, &'static str, PathBuf)> {
        vec![(whose, "AO_TEST_CLOCK", self.file.clone())]
    }
}

/// Numbered lines of a pod, of a plain file, and spans, with the clock of a host; and when each was written in truth.
struct Flow {
    written: Arc<Mutex<Vec<i64>>>,
    ends: Arc<AtomicBool>,
    lines: JoinHandle<()>,
    spans: Option<JoinHandle<u64>>,
}

impl Flow {
    fn start(host: &Host, pods: &Path, pod: &str, client: Option<Client>) -> Self {
        let (written, ends) = (Arc::<Mutex<Vec<i64>>>::default(), Arc::<AtomicBool>::default());
        let folder = container(pods, "shop", pod, pod, "app");
        let mut file = std::fs::File::create(folder.join("0.log")).unwrap();
        let lines = tokio::spawn({
            let (host, written, ends) = (host.clone(), Arc::clone(&written), Arc::clone(&ends));
            async move {
                let mut ticks = tokio::time::interval(EVERY);
                while !ends.load(Ordering::SeqCst) {
                    ticks.tick().await;
                    let number = written.lock().unwrap().len();
                    written.lock().unwrap().push(truth());
                    let at = rfc3339(u128::try_from(host.now()).unwrap());
                    file.write_all(format!("{at} stdout F line {number}\n").as_bytes()).unwrap();
                }
            }
        });
        let spans = client.map(|client| tokio::spawn(export(host.clone(), client, Arc::clone(&ends))));
        Self { written, ends, lines, spans }
    }

    /// Waits until some more lines are written.
    async fn goes_on(&self) {
        let count = || self.written.lock().unwrap().len();
        let enough = count() + LINES;
        eventually("lines are written", Duration::from_secs(30), async || {
            if count() >= enough { Ok(()) } else { Err(format!("{} of {enough}", count())) }
        })
        .await;
    }

    /// When each line was written, and the number of spans acknowledged.
    async fn end(self) -> (Vec<i64>, u64) {
        self.ends.store(true, Ordering::SeqCst);
        self.lines.await.unwrap();
        let spans = match self.spans {
            Some(spans) => spans.await.unwrap(),
            None => 0,
        };
        let written = self.written.lock().unwrap().clone();
        (written, spans)
    }
}

/// Each span's name is when it ended in truth.
async fn export(host: Host, mut client: Client, ends: Arc<AtomicBool>) -> u64 {
    let mut ticks = tokio::time::interval(EVERY);
    let mut number = 0_u64;
    while !ends.load(Ordering::SeqCst) {
        ticks.tick().await;
        number += 1;
        let (name, end) = (truth().to_string(), host.now() as u64);
        let span = Span {
            trace_id: vec![7; 16],
            span_id: number.to_be_bytes().to_vec(),
            name,
            start_time_unix_nano: end - 5_000_000,
            end_time_unix_nano: end,
            ..Span::default()
        };
        let scope = ScopeSpans { spans: vec![span], ..ScopeSpans::default() };
        let resource = ResourceSpans { scope_spans: vec![scope], ..ResourceSpans::default() };
        client.export(ExportTraceServiceRequest { resource_spans: vec![resource] }).await.unwrap();
    }
    number
}

struct World {
    stack: Stack,
    loki: Loki,
    tempo: Tempo,
    prometheus: Prometheus,
}

impl World {
    /// All stores, and an aggregator whose host's clock is this one.
    async fn new(aggregator: impl FnOnce(&Path) -> Option<Host>) -> Self {
        let mut stack = Stack::new();
        let (loki, tempo) = (Loki::start().await, Tempo::start().await);
        let prometheus = Prometheus::start(&stack.folder().join("prometheus")).await;
        let sinks = format!(
            "{{loki: {{url: \"{}/loki/api/v1/push\"}}, prometheus: {{url: \"{}/api/v1/write\"}}, tempo: {{url: \"{}\"}}}}",
            loki.url, prometheus.url, tempo.url
        );
        if let Some(host) = aggregator(stack.folder()) {
            stack.environment = host.environment("ao-aggregator");
        }
        stack.start_aggregator(&sinks, "").await;
        Self { stack, loki, tempo, prometheus }
    }

    /// An agent on a host with this clock.
    async fn agent(&mut self, host: Option<&Host>) {
        self.stack.environment.extend(host.into_iter().flat_map(|host| host.environment("ao-agent")));
        self.stack.start_agent("collectors: {interval: 1s}").await;
        // The clock of a host is not set before its agent knows that it is right.
        self.measured(0.0).await;
    }

    async fn client(&self) -> Client {
        let url = format!("http://{}", self.stack.otlp);
        eventually("the OTLP receiver listens", Duration::from_secs(10), async || {
            TraceServiceClient::connect(url.clone()).await
        })
        .await
    }

    /// Waits until the agent has measured this offset to the aggregator.
    async fn measured(&self, seconds: f64) {
        eventually("the agent has measured its clock", Duration::from_secs(20), async || {
            let offset = self.stack.agent_metric("ao_clock_offset_seconds", "").await?;
            let trip = self.stack.agent_metric("ao_clock_round_trip_seconds", "").await?;
            let near = (offset - seconds).abs() < 0.2 && trip > 0.0 && trip < 1.0;
            if near { Ok(()) } else { Err(format!("offset {offset}, round trip {trip}")) }
        })
        .await;
    }

    /// A second agent, as the first but for its name, its folders, and its clock, which nobody sets; with its admin port.
    fn another(&self) -> (Process, SocketAddr, PathBuf) {
        let folder = self.stack.folder();
        let pods = folder.join("other-pods");
        std::fs::create_dir_all(&pods).unwrap();
        let mut yaml = std::fs::read_to_string(folder.join("ao-agent.yaml")).unwrap();
        let [admin, otlp] = free_addresses();
        for (from, to) in [
            (self.stack.admin.to_string(), admin.to_string()),
            (self.stack.otlp.to_string(), otlp.to_string()),
            (self.stack.pods().display().to_string(), pods.display().to_string()),
        ] {
            assert!(yaml.contains(&from), "{from} in {yaml}");
            yaml = yaml.replace(&from, &to);
        }
        let config = folder.join("other.yaml");
        std::fs::write(&config, yaml).unwrap();
        let mut command = Command::new(binary("ao-agent"));
        command.arg("--config").arg(config).args(["--node", OTHER]);
        command.arg("--data-dir").arg(folder.join("other-data"));
        (Process::start("ao-agent-other", folder, &mut command), admin, pods)
    }

    /// All lines of a pod are at Loki: once, in their order, with times at which they were written.
    async fn lines(&self, pod: &str, written: &[i64]) {
        let labels = format!("pod=\"{pod}\"");
        let lines = eventually(&format!("the lines of {pod}"), Duration::from_secs(60), async || {
            let lines = self.loki.lines(&labels);
            if lines.len() >= written.len() { Ok(lines) } else { Err(format!("{} lines", lines.len())) }
        })
        .await;
        let mut found: Vec<(usize, i64)> = lines
            .iter()
            .map(|line| (line.text.rsplit(' ').next().unwrap().parse().unwrap(), line.at_ns))
            .collect();
        found.sort_unstable();
        let numbers: Vec<usize> = found.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (0..written.len()).collect::<Vec<_>>(), "lines of {pod}");
        for ((number, at), written) in found.iter().zip(written) {
            assert!((at - written).abs() < NEAR, "line {number} of {pod}: {} s off", (at - written) / S);
        }
        assert!(found.windows(2).all(|w| w[0].1 < w[1].1), "times of {pod} ascend");
    }

    async fn spans(&self, sent: u64) {
        let spans = eventually("the spans", Duration::from_secs(60), async || {
            let spans = self.tempo.spans();
            if spans.len() as u64 >= sent { Ok(spans) } else { Err(format!("{} of {sent}", spans.len())) }
        })
        .await;
        assert_eq!(spans.len() as u64, sent);
        for span in spans {
            let off = span.end_time_unix_nano as i64 - span.name.parse::<i64>().unwrap();
            assert!(off.abs() < NEAR, "a span is {} s off", off / S);
            assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 5_000_000);
        }
    }

    /// In Prometheus no second of a node's counter is missing.
    async fn counter(&self, node: &str, admin: SocketAddr, seconds: f64) {
        let query = format!("node_context_switches_total{{node=\"{node}\"}}[10m]");
        let samples = eventually(&format!("the counter of {node}"), Duration::from_secs(60), async || {
            let found = self.prometheus.query(&query).await?;
            let points = found.into_iter().next().ok_or("nothing yet")?.points;
            let spanned =
                points.last().map_or(0.0, |last| last.0) - points.first().map_or(0.0, |first| first.0);
            if spanned >= seconds { Ok(points) } else { Err(format!("{spanned} s")) }
        })
        .await;
        verdict::every_second(&samples, admin).await.unwrap_or_else(|why| panic!("{node}: {why}"));
    }

    /// No sink has dropped or refused a record of anybody.
    async fn nothing_is_dropped(&self) {
        for (name, labels) in
            [("ao_ledger_records_total", "entry=\"dropped\""), ("ao_ledger_dropped_records_total", "")]
        {
            assert_eq!(self.stack.aggregator_metric(name, labels).await.unwrap(), 0.0, "{name}");
        }
        assert!(self.loki.recorded().violations.is_empty());
    }
}

/// Scenario: the clock of an agent's host is set an hour ahead, back, an hour behind, and back, while its container
/// runtime and an application stamp lines and spans with it; another agent is there.
/// Guarantees: every line and span is at its store once, with the time at which it was written, in order; no second of
/// the counter is missing; nothing of the other agent is refused; the agent says what happened.
#[tokio::test(flavor = "multi_thread")]
async fn an_agents_clock_is_set() {
    let mut world = World::new(|_| None).await;
    let host = Host::new(world.stack.folder(), "agent");
    world.agent(Some(&host)).await;
    let (_other, other_admin, other_pods) = world.another();
    let right = Host::new(world.stack.folder(), "right");
    let other = Flow::start(&right, &other_pods, "other-1", None);
    let flow = Flow::start(&host, &world.stack.pods(), "web-1", Some(world.client().await));
    let begin = Instant::now();
    for ahead in [0, HOUR, 0, -HOUR, 0] {
        host.set(ahead);
        let by = ahead as f64 / 1e9;
        eventually("the step is seen", Duration::from_secs(10), async || {
            let pending = world.stack.agent_metric("ao_clock_anchor_offset_seconds", "").await?;
            if (pending - by).abs() < 0.2 { Ok(()) } else { Err(format!("{pending} s")) }
        })
        .await;
        flow.goes_on().await;
        world.measured(0.0).await;
    }
    let seconds = begin.elapsed().as_secs_f64() - 2.0;
    let (written, sent) = flow.end().await;
    let (others, _) = other.end().await;
    world.lines("web-1", &written).await;
    world.lines("other-1", &others).await;
    world.spans(sent).await;
    world.counter(NODE, world.stack.admin, seconds).await;
    world.counter(OTHER, other_admin, seconds).await;
    world.nothing_is_dropped().await;
    assert_eq!(world.stack.agent_metric("ao_clock_steps_total", "").await.unwrap(), 4.0);
    for source in ["logs", "otlp"] {
        let label = format!("source=\"{source}\"");
        let shifted = world.stack.agent_metric("ao_shifted_records_total", &label).await.unwrap();
        assert!(shifted >= 20.0, "{shifted} records of {source} were shifted");
    }
    let node = format!("node=\"{NODE}\"");
    let offset = world.stack.aggregator_metric("ao_node_clock_offset_seconds", &node).await.unwrap();
    assert!(offset.abs() < 0.2, "{offset}");
}

/// Scenario: the clock of the aggregator's host is set an hour ahead, back, an hour behind, and back.
/// Guarantees: nothing is dropped, held back or shifted; no second of the counter is missing.
#[tokio::test(flavor = "multi_thread")]
async fn the_aggregators_clock_is_set() {
    let mut host = None;
    let mut world = World::new(|folder| {
        host = Some(Host::new(folder, "aggregator"));
        host.clone()
    })
    .await;
    let host = host.unwrap();
    world.agent(None).await;
    let right = Host::new(world.stack.folder(), "right");
    let flow = Flow::start(&right, &world.stack.pods(), "web-1", Some(world.client().await));
    let begin = Instant::now();
    for ahead in [0, HOUR, 0, -HOUR, 0] {
        host.set(ahead);
        flow.goes_on().await;
        world.measured(0.0).await;
    }
    let seconds = begin.elapsed().as_secs_f64() - 2.0;
    let (written, sent) = flow.end().await;
    world.lines("web-1", &written).await;
    world.spans(sent).await;
    world.counter(NODE, world.stack.admin, seconds).await;
    world.nothing_is_dropped().await;
    assert_eq!(world.stack.agent_metric("ao_shifted_records_total", "").await.unwrap(), 0.0);
}

/// Scenario: an agent starts again while its host's clock stands an hour behind; then a host's clock that was wrong
/// from the start is set right.
/// Guarantees: the time goes on across the restart; what sets a clock right is followed, since the aggregator's
/// confirms it.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_and_repairs() {
    let mut world = World::new(|_| None).await;
    let host = Host::new(world.stack.folder(), "agent");
    world.agent(Some(&host)).await;
    host.set(-HOUR);
    let kept = world.stack.folder().join("ao-agent-data/clock");
    eventually("the anchor is kept", Duration::from_secs(10), async || std::fs::metadata(&kept)).await;
    world.stack.agent().kill();
    world.stack.restart_agent().await;
    world.measured(0.0).await;
    let pending = world.stack.agent_metric("ao_clock_anchor_offset_seconds", "").await.unwrap();
    assert!((pending + 3_600.0).abs() < 0.2, "{pending}");

    // As after a boot with a wrong clock.
    world.stack.agent().kill();
    std::fs::remove_file(&kept).unwrap();
    host.set(HOUR);
    world.stack.restart_agent().await;
    world.measured(3_600.0).await;
    let flow = Flow::start(&host, &world.stack.pods(), "late-1", None);
    flow.goes_on().await;
    host.set(0);
    world.measured(0.0).await;
    flow.goes_on().await;
    let (written, _) = flow.end().await;
    world.lines("late-1", &written).await;
}
