//! All that was recorded of a trouble: one trace and one event.

use std::net::IpAddr;

use ao_proto::model::Labels;
use serde_json::{Value, json};

use super::blame::Blame;
use super::counters::Counters;
use super::walk::Hop;
use crate::context::Node;
use crate::event::{Event, LogChunk};
use crate::mesh::cell::{Peer, Trouble};
use crate::mesh::export::{JOB, SOURCE};
use crate::spans::{OwnTrace, number, text, whole};

/// Log lines of both nodes that are referred to, around the trouble.
const AROUND_NS: i64 = 30_000_000_000;

/// What was recorded.
pub(super) struct Record<'a> {
    pub(super) node: &'a Node,
    pub(super) peer: &'a Peer,
    pub(super) trouble: Trouble,
    pub(super) incident: u128,
    /// Wall time from the beginning to the end.
    pub(super) times_ns: (i64, i64),
    pub(super) here: &'a Counters,
    pub(super) there: Option<&'a Counters>,
    pub(super) forward: &'a [Hop],
    pub(super) backward: &'a [Hop],
    /// Asked, answered.
    pub(super) echoes: (u32, u32),
    pub(super) blame: &'a Blame,
}

impl Record<'_> {
    /// The trace, and the event that names it.
    pub(super) fn events(&self) -> [Event; 2] {
        [self.trace(), self.line()]
    }

    fn trace(&self) -> Event {
        let mut trace = OwnTrace::new(self.incident);
        let verdict = self.blame.verdict.name();
        let attributes = vec![
            text("netmesh.peer", &self.peer.node),
            text("netmesh.trouble", self.trouble.name()),
            text("netmesh.verdict", verdict),
            text("netmesh.evidence", &self.blame.evidence.join("; ")),
            whole("netmesh.echoes", self.echoes.0.into()),
            whole("netmesh.echoes_answered", self.echoes.1.into()),
        ];
        let root = trace.add(None, format!("incident: {}", self.trouble.name()), self.times_ns, attributes);
        for (name, hops) in [("path to the peer", self.forward), ("path back", self.backward)] {
            let took_us = hops.iter().map(|hop| hop.best_us).max().unwrap_or(0);
            let path = trace.add(
                Some(root),
                name,
                self.lasting(took_us),
                vec![whole("netmesh.hops", hops.len() as i64)],
            );
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
        for (name, counters) in [("counters here", Some(self.here)), ("counters there", self.there)] {
            if let Some(counters) = counters {
                trace.add(Some(root), name, self.times_ns, figures(counters));
            }
        }
        Event::Spans(trace.finish(SOURCE, JOB, self.node))
    }

    /// From the beginning on.
    fn lasting(&self, us: u64) -> (i64, i64) {
        let (start, _) = self.times_ns;
        (start, start.saturating_add(i64::try_from(us.saturating_mul(1000)).unwrap_or(i64::MAX)))
    }

    fn line(&self) -> Event {
        let (start, end) = self.times_ns;
        let logs = format!("{{node_name=~\"{}|{}\"}}", self.node.name, self.peer.node);
        let event = json!({
            "event": "incident",
            "trouble": self.trouble.name(),
            "peer": self.peer.node,
            "address": self.peer.ip(),
            "verdict": self.blame.verdict,
            "hop": self.blame.hop,
            "evidence": self.blame.evidence,
            "echoes": self.echoes.0,
            "echoes_lost": self.echoes.0.saturating_sub(self.echoes.1),
            "forward": path(self.forward),
            "backward": path(self.backward),
            "here": self.here,
            "there": self.there,
            "trace_id": format!("{:032x}", self.incident),
            "logs": {"query": logs, "from_ns": start - AROUND_NS, "to_ns": end + AROUND_NS},
        });
        let labels = Labels::from_pairs([("job", JOB), ("event", "incident")]);
        Event::Logs(LogChunk::one(SOURCE, labels, event.to_string(), end))
    }
}

fn path(hops: &[Hop]) -> Vec<Value> {
    let hop = |hop: &Hop| json!({"host": shown(hop.address), "loss": hop.loss(), "best_us": hop.best_us});
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
        whole("tcp.retransmitted", counters.tcp_again),
        number("cpu.pressure_percent", counters.cpu_pressure),
    ]
}

fn shown(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "???".to_owned(), |address| address.to_string())
}
