//! The metrics and events of one peer.

use std::time::Duration;

use ao_proto::model::Labels;
use ao_proto::model::MetricType::{Counter, Gauge};
use serde_json::json;

use super::cell::{Cell, Peer};
use super::config::Config;
use super::tcp::Towards;
use crate::event::{LogChunk, MetricSet};

/// The ledger's source, and the job.
pub(super) const SOURCE: &str = "mesh";
pub(super) const JOB: &str = "netmesh";

/// All series of a peer.
pub(super) fn metrics(cell: &Cell, config: &Config, tcp: Option<Towards>, at_ms: i64) -> MetricSet {
    let mut set = ended(&cell.peer, at_ms);
    let mut one = Pen {
        set: &mut set,
        labels: [("peer", &cell.peer.node), ("peer_zone", &cell.peer.zone), ("zone", &config.zone)],
    };
    one.write(
        "netmesh_echo_requests_total",
        Counter,
        "UDP echoes to the peer that were answered or timed out",
        &[],
        cell.asked as f64,
    );
    one.write(
        "netmesh_echo_replies_total",
        Counter,
        "UDP echoes that the peer answered",
        &[],
        cell.came as f64,
    );
    let help = "UDP echoes to the peer that this node could not send: no room, no socket";
    one.write("netmesh_echo_send_errors_total", Counter, help, &[], cell.unsent as f64);
    if let Some(told) = &cell.told {
        let help = "Round trips of the newest round's UDP echoes, without the time that the peer took";
        let rtts = &told.rtts;
        let stats = [("min", rtts.first()), ("median", rtts.get(rtts.len() / 2)), ("max", rtts.last())];
        for (stat, rtt) in stats {
            // All lost: the series go on, and say so.
            let value = rtt.map_or(f64::NAN, Duration::as_secs_f64);
            one.write("netmesh_echo_rtt_seconds", Gauge, help, &[("stat", stat)], value);
        }
        one.write(
            "netmesh_echo_loss_ratio",
            Gauge,
            "Share of the newest round's UDP echoes that were lost",
            &[],
            told.loss(),
        );
        if let Some(offset) = told.offset {
            let help = "The peer's system clock less this node's";
            one.write("netmesh_clock_offset_seconds", Gauge, help, &[], seconds(offset.ns));
            let help = "How far the clock offset may be wrong: half of the quickest round trip";
            one.write("netmesh_clock_offset_bound_seconds", Gauge, help, &[], seconds(offset.bound_ns));
        }
        if let Some(change) = told.change {
            let help = "How much longer a direction takes than in the last hour; forward is towards the peer";
            for (direction, ns) in [("forward", change.forward_ns), ("backward", change.backward_ns)] {
                one.write(
                    "netmesh_delay_change_seconds",
                    Gauge,
                    help,
                    &[("direction", direction)],
                    seconds(ns),
                );
            }
        }
        if let Some((forward_ns, backward_ns)) = told.one_way_ns {
            let help = "Delay of each direction, by clocks that both sites declare synchronised";
            for (direction, ns) in [("forward", forward_ns), ("backward", backward_ns)] {
                one.write(
                    "netmesh_one_way_delay_seconds",
                    Gauge,
                    help,
                    &[("direction", direction)],
                    seconds(ns),
                );
            }
        }
    }
    if let Some(mtu) = cell.mtu.found() {
        let help = "The largest packet that gets through to the peer";
        one.write("netmesh_path_mtu_bytes", Gauge, help, &[], mtu.into());
    }
    one.write(
        "netmesh_ports",
        Gauge,
        "Source ports that are tried towards the peer",
        &[],
        config.ports.into(),
    );
    let help = "Source ports of which no packet gets through while others do: one of several paths is bad";
    one.write("netmesh_ports_dead", Gauge, help, &[], cell.sweep.dead().count() as f64);
    let help = "Times that a source saw the way get worse, by who was to blame; not_recorded where that began no \
                recording of its own";
    for (verdict, count) in &cell.incidents {
        one.write("netmesh_incidents_total", Counter, help, &[("verdict", verdict)], *count as f64);
    }
    if let Some(tcp) = tcp {
        let help = "Established TCP connections to the peer's address";
        one.write("netmesh_tcp_connections", Gauge, help, &[], tcp.connections as f64);
        let help = "TCP segments sent to the peer's address";
        one.write("netmesh_tcp_segments_sent_total", Counter, help, &[], tcp.sent as f64);
        let help = "TCP segments sent again to the peer's address";
        one.write("netmesh_tcp_segments_retransmitted_total", Counter, help, &[], tcp.again as f64);
        if let Some(rtt) = tcp.rtt {
            let help = "Least smoothed round trip of the TCP connections to the peer";
            one.write("netmesh_tcp_rtt_seconds", Gauge, help, &[], rtt.as_secs_f64());
        }
    }
    set
}

/// A set without samples: the end of all series of a peer.
pub(super) fn ended(peer: &Peer, at_ms: i64) -> MetricSet {
    let mut set = MetricSet::new(SOURCE, JOB, at_ms);
    (set.group, set.instance) = (peer.node.clone(), Some(peer.node.clone()));
    set
}

/// The path takes packets of another size.
pub(super) fn mtu_changed(peer: &Peer, before: u16, after: u16) -> LogChunk {
    let text = json!({
        "event": "path_mtu", "peer": peer.node, "address": peer.ip(), "before": before, "after": after,
    });
    event("path_mtu", text.to_string())
}

/// Other source ports are dead than before.
pub(super) fn ports_changed(peer: &Peer, dead: &[u16], ports: usize) -> LogChunk {
    let text = json!({
        "event": "dead_ports", "peer": peer.node, "address": peer.ip(), "port": peer.address.port(),
        "dead_source_ports": dead, "source_ports": ports,
    });
    event("dead_ports", text.to_string())
}

fn event(kind: &str, text: String) -> LogChunk {
    let labels = Labels::from_pairs([("job", JOB), ("event", kind)]);
    LogChunk::one(SOURCE, labels, text, ao_common::clock::now_ns())
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

/// Writes samples with the peer's labels.
struct Pen<'a> {
    set: &'a mut MetricSet,
    labels: [(&'a str, &'a str); 3],
}

impl Pen<'_> {
    fn write(
        &mut self,
        name: &str,
        kind: ao_proto::model::MetricType,
        help: &str,
        more: &[(&str, &str)],
        value: f64,
    ) {
        let family = self.set.family(name, kind, help);
        let labels = [&self.labels[..], more].concat();
        self.set.push(family, &labels, value);
    }
}
