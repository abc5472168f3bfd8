//! What a round hands on: mtr-exporter's metrics, and the log event of a change of path.

use std::net::IpAddr;

use ao_common::clock;
use ao_proto::model::Labels;
use ao_proto::model::MetricType::{Counter, Gauge};

use super::config::Config;
use super::hop::{Figures, Hop};
use super::route::Change;
use super::trace::Trace;
use crate::context::Node;
use crate::event::{Line, LogChunk, MetricSet};

const SOURCE: &str = "path";
const JOB: &str = "mtr";

/// mtr's name for a hop that does not answer.
const UNKNOWN: &str = "???";

/// Kinds of change, in the order of [`Trace::changes`].
const KINDS: [&str; 2] = ["route", "length"];

/// One gauge of a hop: name, help, and where it is taken from.
type Column = (&'static str, &'static str, fn(&Figures) -> f64);

const COLUMNS: [Column; 8] = [
    ("mtr_report_snt", "Number of probes sent to the hop", |f| f.sent as f64),
    ("mtr_report_loss", "Probes to the hop without an answer, percent", |f| f.loss),
    ("mtr_report_best", "Shortest round trip to the hop, milliseconds", |f| f.best),
    ("mtr_report_wrst", "Longest round trip to the hop, milliseconds", |f| f.worst),
    ("mtr_report_avg", "Mean round trip to the hop, milliseconds", |f| f.avg),
    ("mtr_report_last", "Newest round trip to the hop, milliseconds", |f| f.last),
    ("mtr_report_stdev", "Standard deviation of the round trips to the hop, milliseconds", |f| f.stdev),
    ("mtr_report_javg", "Mean jitter of the round trips to the hop, milliseconds", |f| f.jitter),
];

/// All series of a target.
pub(super) fn metrics(trace: &Trace, config: &Config, node: &Node) -> MetricSet {
    let mut set = empty(&trace.spec.host);
    let headers = if trace.address.is_some_and(|address| address.is_ipv6()) { 48 } else { 28 };
    let size = (u32::from(config.size) + headers).to_string();
    let (tos, tests) = (config.tos.to_string(), config.queries.to_string());
    let mut labels: Vec<(&str, &str)> =
        trace.spec.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    labels.extend([
        ("mtr_exporter_job", trace.spec.host.as_str()),
        ("src", &node.name),
        ("dst", &trace.spec.host),
        ("tos", &tos),
        ("psize", &size),
        ("bitpattern", "0x00"),
        ("tests", &tests),
    ]);

    let runs = set.family("mtr_runs_total", Counter, "Number of rounds by error");
    for (error, count) in [("", trace.runs), ("failed", trace.failed)] {
        labels.push(("error", error));
        set.push(runs, &labels, count as f64);
        labels.pop();
    }
    let changes = set.family("netpath_path_changes_total", Counter, "Changes of the path by kind");
    for (kind, count) in KINDS.into_iter().zip(trace.changes) {
        labels.push(("kind", kind));
        set.push(changes, &labels, count as f64);
        labels.pop();
    }
    let hubs = hubs(trace);
    let took = set.family("mtr_report_duration_seconds", Gauge, "Duration of the newest round");
    set.push(took, &labels, trace.duration.as_secs_f64());
    let count = set.family("mtr_report_count_hubs", Gauge, "Number of hops to the target");
    set.push(count, &labels, hubs.len() as f64);
    let least = set.family("mtr_report_min_loss", Gauge, "Least loss of all hops, percent");
    set.push(least, &labels, hubs.iter().map(|(_, figures)| figures.loss).fold(100.0, f64::min));

    let hosts: Vec<String> = hubs
        .iter()
        .map(|(address, _)| address.map_or_else(|| UNKNOWN.to_owned(), |address| address.to_string()))
        .collect();
    let path_id = path_id(&hosts);
    for (name, help, column) in COLUMNS {
        let family = set.family(name, Gauge, help);
        for (at, ((_, figures), host)) in hubs.iter().zip(&hosts).enumerate() {
            let last = at + 1 == hubs.len();
            let hop = match (at, last) {
                (0, true) => "first_last",
                (0, false) => "first",
                (_, true) => "last",
                (_, false) => "intermediate",
            };
            let number = (at + 1).to_string();
            let mut labels = labels.clone();
            labels.extend([("host", host.as_str()), ("count", &number), ("hop", hop)]);
            if last {
                labels.extend([("last", "true"), ("path_id", path_id.as_str())]);
            }
            set.push(family, &labels, column(figures));
        }
    }
    set
}

/// The hops to show. Where the target has never answered, one silent hop behind the last that does stands for it, so
/// that loss at the last hop is always loss of the target.
fn hubs(trace: &Trace) -> Vec<(Option<IpAddr>, Figures)> {
    let show = |hop: &Hop| (hop.address, hop.figures());
    if let Some(length) = trace.length {
        return trace.hops.iter().take(length).map(show).collect();
    }
    let answering = trace.hops.iter().rposition(|hop| hop.address.is_some()).map_or(0, |at| at + 1);
    let mut hubs: Vec<_> = trace.hops.iter().take(answering).map(show).collect();
    let sent = trace.hops.iter().map(|hop| hop.figures().sent).max().unwrap_or(0);
    if sent > 0 {
        hubs.push((None, Figures { sent, loss: 100.0, ..Figures::default() }));
    }
    hubs
}

/// A number for a path that is another one for another path (FNV-1a, 64 bits).
fn path_id(hosts: &[String]) -> String {
    let bytes = hosts.iter().flat_map(|host| host.bytes().chain([b' ']));
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// A set without samples: the end of all series of a target.
pub(super) fn empty(host: &str) -> MetricSet {
    let mut set = MetricSet::new(SOURCE, JOB, clock::now_ms());
    set.group = host.to_owned();
    set.instance = Some(host.to_owned());
    set
}

/// A change of path as one line of JSON.
pub(super) fn log(trace: &Trace, change: &Change) -> LogChunk {
    let text = serde_json::json!({
        "event": "path_change",
        "kind": change.kind,
        "target": trace.spec.host,
        "address": trace.address,
        "before": change.before,
        "after": change.after,
    })
    .to_string();
    let at_ns = clock::now_ns();
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    LogChunk {
        source: SOURCE,
        labels: Labels::from_pairs([("job", "netpath"), ("target", &trace.spec.host)]),
        pod: None,
        file: None,
        bytes: text.len() as u64,
        lines: vec![Line { at_ns, len, ..Line::default() }],
        text,
        dropped: Vec::new(),
    }
}
