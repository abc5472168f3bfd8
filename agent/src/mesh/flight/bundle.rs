//! All that was recorded of a trouble: one trace and one event.

use std::net::IpAddr;

use ao_proto::model::Labels;
use serde_json::{Value, json};

use super::counters::Counters;
use super::subject::{Evidence, Flight};
use super::verdict::Blame;
use super::walk::Hop;
use crate::context::Node;
use crate::event::{Event, LogChunk};
use crate::mesh::export::{JOB, SOURCE};
use crate::spans::{OwnTrace, SpanId, number, text, whole};

/// Log lines of both nodes that are referred to, around the trouble.
const AROUND_NS: i64 = 30_000_000_000;

/// What was recorded.
pub(super) struct Record<'a> {
    pub(super) node: &'a Node,
    pub(super) flight: &'a Flight,
    pub(super) incident: u128,
    /// Wall time from the beginning to the end.
    pub(super) times_ns: (i64, i64),
    pub(super) here: &'a Counters,
    pub(super) seen: &'a Evidence,
    pub(super) blame: &'a Blame,
}

impl Record<'_> {
    /// The trace, and the event that names it.
    pub(super) fn events(&self) -> Vec<Event> {
        vec![self.trace(), self.line()]
    }

    /// The node at the other end, where there is one.
    fn peer(&self) -> Option<&str> {
        self.flight.peered.as_ref().map(|peered| peered.peer.node.as_str())
    }

    fn trace(&self) -> Event {
        let mut trace = OwnTrace::new(self.incident);
        let (echoes, trouble) = (&self.seen.echoes, self.flight.trouble.name());
        let attributes = vec![
            text("netmesh.peer", self.peer().unwrap_or_default()),
            text("netmesh.target", &self.flight.host),
            text("netmesh.trouble", trouble),
            text("netmesh.verdict", self.blame.verdict.name()),
            text("netmesh.evidence", &self.blame.evidence.join("; ")),
            whole("netmesh.echoes", echoes.asked.into()),
            whole("netmesh.echoes_answered", echoes.came.into()),
        ];
        let root = trace.add(None, format!("incident: {trouble}"), self.times_ns, attributes);
        for (name, hops) in [("path to the peer", &self.seen.forward), ("path back", &self.seen.there.hops)] {
            self.path(&mut trace, root, name, hops);
        }
        for (name, counters) in
            [("counters here", Some(self.here)), ("counters there", self.seen.there.counters.as_ref())]
        {
            if let Some(counters) = counters {
                trace.add(Some(root), name, self.times_ns, figures(counters));
            }
        }
        for server in self.seen.names.iter().flat_map(|names| &names.servers) {
            let attributes = vec![
                text("dns.question.name", &self.flight.host),
                text("server.address", &server.address.ip().to_string()),
                whole("netmesh.questions", server.asked.into()),
                whole("netmesh.questions_answered", server.answered.into()),
                whole("netmesh.pings", server.pings.sent.into()),
                whole("netmesh.pings_answered", server.pings.got.into()),
            ];
            let name = format!("name server {}", server.address);
            trace.add(Some(root), name, self.lasting(server.took_us), attributes);
        }
        Event::Spans(trace.finish(SOURCE, JOB, self.node))
    }

    fn path(&self, trace: &mut OwnTrace, root: SpanId, name: &str, hops: &[Hop]) {
        let took_us = hops.iter().map(|hop| hop.best_us).max().unwrap_or(0);
        let count = vec![whole("netmesh.hops", hops.len() as i64)];
        let path = trace.add(Some(root), name, self.lasting(took_us), count);
        for (nth, hop) in hops.iter().enumerate() {
            let attributes = vec![
                whole("path.ttl", nth as i64 + 1),
                text("network.peer.address", &shown(hop.address)),
                number("path.loss_percent", hop.loss() * 100.0),
            ];
            let name = format!("hop {} {}", nth + 1, shown(hop.address));
            trace.add(Some(path), name, self.lasting(hop.best_us), attributes);
        }
    }

    /// From the beginning on.
    fn lasting(&self, us: u64) -> (i64, i64) {
        let (start, _) = self.times_ns;
        (start, start.saturating_add(i64::try_from(us.saturating_mul(1000)).unwrap_or(i64::MAX)))
    }

    fn line(&self) -> Event {
        let (start, end) = self.times_ns;
        let Evidence { forward, echoes, there, names, course: _ } = self.seen;
        let nodes: Vec<&str> = [self.node.name.as_str()].into_iter().chain(self.peer()).collect();
        let logs = format!("{{node_name=~\"{}\"}}", nodes.join("|"));
        let event = json!({
            "event": "incident",
            "trouble": self.flight.trouble.name(),
            "peer": self.peer(),
            "target": self.flight.host,
            "address": self.flight.address,
            "verdict": self.blame.verdict,
            "hop": self.blame.hop,
            "evidence": self.blame.evidence,
            "echoes": echoes.asked,
            "echoes_lost": echoes.asked.saturating_sub(echoes.came),
            "echoes_heard_there": echoes.heard,
            "slower_ns": echoes.change.map(|change| json!({"there": change.forward_ns, "back": change.backward_ns})),
            "forward": path(forward),
            "backward": path(&there.hops),
            "names": names,
            "here": self.here,
            "there": there.counters,
            "trace_id": format!("{:032x}", self.incident),
            "logs": {"query": logs, "from_ns": start - AROUND_NS, "to_ns": end + AROUND_NS},
        });
        let labels = Labels::from_pairs([("job", JOB), ("event", "incident")]);
        Event::Logs(LogChunk::one(SOURCE, labels, event.to_string(), end))
    }
}

fn path(hops: &[Hop]) -> Vec<Value> {
    let hop = |hop: &Hop| {
        json!({
            "host": shown(hop.address), "sent": hop.sent, "loss": hop.loss(), "best_us": hop.best_us,
        })
    };
    hops.iter().map(hop).collect()
}

fn figures(counters: &Counters) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    let whole = |key: &str, value: u64| whole(key, i64::try_from(value).unwrap_or(i64::MAX));
    vec![
        whole("nic.errors", counters.nic_errors),
        whole("nic.drops", counters.nic_drops),
        whole("softnet.drops", counters.softnet_drops),
        whole("conntrack.drops", counters.conntrack_drops),
        whole("udp.overflows", counters.udp_overflows),
        whole("echo.overflows", counters.echo_overflows),
        whole("tcp.retransmitted", counters.tcp_again),
        whole("tcp.peer.connections", counters.peer_connections),
        whole("tcp.peer.sent", counters.peer_sent),
        whole("tcp.peer.retransmitted", counters.peer_again),
        whole("tcp.peer.rtt_us", counters.peer_rtt_us),
        number("cpu.pressure_percent", counters.cpu_pressure),
        number("memory.pressure_percent", counters.memory_pressure),
        number("io.pressure_percent", counters.io_pressure),
    ]
}

fn shown(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "???".to_owned(), |address| address.to_string())
}
