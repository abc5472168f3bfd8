//! What a round hands on: mtr-exporter's metrics of the canonical flow, and `netpath_*` of what it cannot show: the sets
//! of routers, flows, labels, and who the routers are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ao_common::clock;
use ao_proto::model::MetricType::{Counter, Gauge};

use super::asn::Table;
use super::config::Config;
use super::hop::{Figures, Hop};
use super::names::Names;
use super::route::{Hops, KINDS};
use super::trace::Trace;
use crate::context::Node;
use crate::event::MetricSet;

pub(super) const SOURCE: &str = "path";
const JOB: &str = "mtr";

/// mtr's name for a hop that does not answer.
const UNKNOWN: &str = "???";

/// One gauge of a hop: name, help, and where it is taken from.
type Column = (&'static str, &'static str, fn(&Figures) -> f64);

const COLUMNS: [Column; 12] = [
    ("mtr_report_snt", "Number of probes sent to the hop", |f| f.sent as f64),
    ("mtr_report_loss", "Probes to the hop without an answer, percent", |f| f.loss),
    ("mtr_report_best", "Shortest round trip to the hop, milliseconds", |f| f.best),
    ("mtr_report_wrst", "Longest round trip to the hop, milliseconds", |f| f.worst),
    ("mtr_report_avg", "Mean round trip to the hop, milliseconds", |f| f.avg),
    ("mtr_report_last", "Newest round trip to the hop, milliseconds", |f| f.last),
    ("mtr_report_stdev", "Standard deviation of the round trips to the hop, milliseconds", |f| f.stdev),
    ("mtr_report_gmean", "Geometric mean of the round trips to the hop, milliseconds", |f| f.gmean),
    ("mtr_report_jttr", "Difference of the newest two round trips to the hop, milliseconds", |f| f.jitter),
    ("mtr_report_javg", "Mean jitter of the round trips to the hop, milliseconds", |f| f.jitter_avg),
    ("mtr_report_jmax", "Greatest jitter of the round trips to the hop, milliseconds", |f| f.jitter_worst),
    (
        "mtr_report_jint",
        "Interarrival jitter as mtr shows it, milliseconds (16 times that of RFC 1889)",
        |f| f.jitter_inter,
    ),
];

/// Who routers are, as far as known.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// `None` where names are not wanted.
    pub(super) names: Option<Names>,
    pub(super) asn: Table,
}

/// The configured table of autonomous systems; an empty one where there is none, or where it has gone since the
/// configuration was checked.
pub(super) fn table(config: &Config) -> Table {
    let Some(path) = &config.asn_file else { return Table::default() };
    Table::read(path).unwrap_or_else(|error| {
        tracing::warn!(%error, "paths are shown without autonomous systems");
        Table::default()
    })
}

/// All series of a target.
pub(super) fn metrics(trace: &Trace, config: &Config, node: &Node, known: &Known) -> MetricSet {
    let mut set = empty(&trace.spec.host);
    let v6 = trace.address.is_some_and(|address| address.is_ipv6());
    let size = config.packet_size(v6).to_string();
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
    netpath(&mut set, trace, node, known);
    let hubs = hubs(trace);
    let took = set.family("mtr_report_duration_seconds", Gauge, "Duration of the newest round");
    set.push(took, &labels, trace.duration.as_secs_f64());
    let count = set.family("mtr_report_count_hubs", Gauge, "Number of hops to the target");
    set.push(count, &labels, hubs.len() as f64);
    let least = set.family("mtr_report_min_loss", Gauge, "Least loss of all hops, percent");
    set.push(
        least,
        &labels,
        hubs.iter()
            .filter(|(_, figures)| figures.sent > 0)
            .map(|(_, figures)| figures.loss)
            .fold(100.0, f64::min),
    );

    let hosts: Vec<String> = hubs
        .iter()
        .map(|(address, _)| address.map_or_else(|| UNKNOWN.to_owned(), |address| address.to_string()))
        .collect();
    let path_id = format!("{:016x}", hash(&hosts));
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

/// What is known of the path as a set of ways.
fn netpath(set: &mut MetricSet, trace: &Trace, node: &Node, known: &Known) {
    let target = ("target", trace.spec.host.as_str());
    let ways: BTreeSet<&Hops> = trace.flows.values().collect();
    set_one(set, "netpath_flows", "Flows looked at in the newest round", target, trace.flows.len() as f64);
    set_one(set, "netpath_paths", "Different paths that those flows took", target, ways.len() as f64);
    let id = set_id(trace);
    set_one(set, "netpath_path_set_id", "A number that is another one for another set of paths", target, id);
    let family =
        set.family("netpath_balancing", Gauge, "1 for the way in which routers spread packets over paths");
    for kind in ["none", "flow", "packet"] {
        set.push(family, &[target, ("kind", kind)], f64::from(u8::from(kind == trace.balancing())));
    }
    let info =
        set.family("netpath_hop_info", Gauge, "1 for each router that answers at a distance, with who it is");
    let flows =
        set.family("netpath_hop_flows", Gauge, "Flows of the newest look at several that met the router");
    for (at, members) in trace.route.sets().enumerate() {
        let ttl = (at + 1).to_string();
        for member in members {
            let ip = member.to_string();
            let name = known.names.as_ref().and_then(|names| names.of(*member));
            let asn = known.asn.of(*member).map(|number| number.to_string()).unwrap_or_default();
            let labels = [target, ("ttl", &ttl), ("ip", &ip)];
            let more = [("asn", asn.as_str()), ("name", name.as_deref().unwrap_or_default())];
            set.push(info, &[labels.as_slice(), &more].concat(), 1.0);
            let met = trace.flows.values().filter(|hops| hops.get(at) == Some(&Some(*member))).count();
            set.push(flows, &labels, met as f64);
        }
    }
    let family = set.family(
        "netpath_link_flows",
        Gauge,
        "Flows of the newest look at several that went from one router to the next that answers",
    );
    for (link, flows) in links(trace.flows.values()) {
        // As in mtr-exporter's `src`, the first link begins at the node.
        let from = link.from.map_or_else(|| node.name.clone(), |from| from.to_string());
        let (ttl, to, silent) = (link.ttl.to_string(), link.to.to_string(), link.silent.to_string());
        let labels = [target, ("ttl", &ttl), ("from", &from), ("to", &to), ("silent", &silent)];
        set.push(family, &labels, f64::from(flows));
    }
    let family = set.family(
        "netpath_mpls_label",
        Gauge,
        "MPLS labels with which probes came to a hop, outermost first",
    );
    for (at, hop) in trace.hops.iter().enumerate() {
        for (position, label) in hop.labels.iter().enumerate() {
            let (ttl, position) = ((at + 1).to_string(), position.to_string());
            set.push(family, &[target, ("ttl", &ttl), ("position", &position)], label.label.into());
        }
    }
}

/// From one router to the next that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Link {
    /// Of `to`.
    ttl: usize,
    /// `None` for this node.
    from: Option<IpAddr>,
    to: IpAddr,
    /// Hops between them that did not answer.
    silent: usize,
}

/// The links of all flows, each with how many took it.
fn links<'a>(flows: impl Iterator<Item = &'a Hops>) -> BTreeMap<Link, u32> {
    let mut links = BTreeMap::new();
    for hops in flows {
        let (mut from, mut before) = (None, 0);
        for (ttl, to) in (1..).zip(hops).filter_map(|(ttl, hop)| Some((ttl, (*hop)?))) {
            *links.entry(Link { ttl, from, to, silent: ttl - before - 1 }).or_default() += 1;
            (from, before) = (Some(to), ttl);
        }
    }
    links
}

fn set_one(set: &mut MetricSet, name: &str, help: &str, label: (&str, &str), value: f64) {
    let family = set.family(name, Gauge, help);
    set.push(family, &[label], value);
}

/// Whole numbers up to 2^48 are exact in a float.
fn set_id(trace: &Trace) -> f64 {
    let hosts: Vec<String> = trace
        .route
        .sets()
        .map(|members| members.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(","))
        .collect();
    (hash(&hosts) >> 16) as f64
}

/// The hops to show. Where the target has never answered, one silent hop behind the last that does stands for it, so
/// that loss at the last hop is always loss of the target.
pub(super) fn hubs(trace: &Trace) -> Vec<(Option<IpAddr>, Figures)> {
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
fn hash(hosts: &[String]) -> u64 {
    let bytes = hosts.iter().flat_map(|host| host.bytes().chain([b' ']));
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// A set without samples: the end of all series of a target.
pub(super) fn empty(host: &str) -> MetricSet {
    let mut set = MetricSet::new(SOURCE, JOB, clock::now_ms());
    set.group = host.to_owned();
    set.instance = Some(host.to_owned());
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: three flows over two routers, one of which is met with a hop before it that is silent; a flow that ends
    /// in silence; one that met nobody.
    /// Guarantees: each link once, with the flows that took it and what is silent within; none where nobody answers.
    #[test]
    fn links_of_flows() {
        let [a, b, end] = ["10.0.0.1", "10.0.1.1", "192.0.2.1"].map(|ip| Some(ip.parse::<IpAddr>().unwrap()));
        let flows = [
            vec![a, None, end],
            vec![a, None, end],
            vec![b, None, end],
            vec![None, a, None],
            vec![None, None],
        ];
        let told: Vec<_> =
            links(flows.iter()).into_iter().map(|(l, n)| (l.ttl, l.from, Some(l.to), l.silent, n)).collect();
        let all = [
            (1, None, a, 0, 2),
            (1, None, b, 0, 1),
            (2, None, a, 1, 1),
            (3, a, end, 1, 2),
            (3, b, end, 1, 1),
        ];
        assert_eq!(told, all);
    }
}
