//! Nodes that measure each other: two zones with a router each, and a way with a bad path in it.

use rand::rngs::StdRng;

use super::{Samples, noise, wave};

const ZONES: [&str; 2] = ["ham", "ber"];

/// Zone of a node, and its address there.
fn place(nth: usize) -> (usize, String) {
    let zone = nth % ZONES.len();
    (zone, format!("10.10.{zone}.{}", 10 + nth))
}

/// One round of a node's figures of all others.
pub(super) fn round(at_ms: i64, nth: usize, names: &[&'static str], out: &mut Samples, random: &mut StdRng) {
    let (zone, _) = place(nth);
    let node = names[nth];
    for (other, peer) in names.iter().enumerate().filter(|(other, _)| *other != nth) {
        let (there, address) = place(other);
        let labels = [
            ("node", node),
            ("peer", *peer),
            ("zone", ZONES[zone]),
            ("peer_zone", ZONES[there]),
            ("job", "netmesh"),
        ];
        let far = zone != there;
        let rtt = if far { 0.0041 } else { 0.000_21 } * noise(random, 0.1);
        // From the first node to the last one of the other zone, one path of several is bad.
        let grey = far && nth == 0 && other + 2 >= names.len();
        let late = if far { wave(at_ms, 11.0, node).powi(9) * 0.003 } else { 0.0 };
        let with = |label: &'static str, value: &'static str| [&labels[..], &[(label, value)]].concat();
        out.push("netmesh_echo_rtt_seconds", &with("stat", "median"), rtt + late);
        out.push("netmesh_delay_change_seconds", &with("direction", "forward"), late);
        out.push(
            "netmesh_delay_change_seconds",
            &with("direction", "backward"),
            0.000_02 * noise(random, 1.0),
        );
        let plain = [
            ("netmesh_echo_loss_ratio", 0.0),
            ("netmesh_clock_offset_seconds", (nth as f64 - other as f64) * 0.000_31),
            ("netmesh_clock_offset_bound_seconds", rtt / 2.0),
            ("netmesh_path_mtu_bytes", 1500.0),
            ("netmesh_ports", 16.0),
            ("netmesh_ports_dead", if grey { 2.0 } else { 0.0 }),
            ("netmesh_tcp_connections", 4.0),
            ("netmesh_tcp_segments_sent_total", at_ms as f64 / 100.0),
            ("netmesh_tcp_segments_retransmitted_total", if grey { at_ms as f64 / 4_000.0 } else { 0.0 }),
            ("ao_latency_round_loss_ratio", 0.0),
        ];
        for (name, value) in plain {
            out.push(name, &labels, value);
        }
        out.push("ao_latency_round_seconds", &with("stat", "median"), rtt + late);
        path((node, peer, &address), (zone, there), rtt * 1e3, out);
    }
}

fn path(
    (node, peer, address): (&str, &str, &str),
    (zone, there): (usize, usize),
    rtt: f64,
    out: &mut Samples,
) {
    let mut hops = vec![(format!("10.10.{zone}.1"), 0.12)];
    if zone != there {
        hops.push((format!("10.20.0.{}", 1 + there), rtt * 0.96));
    }
    hops.push((address.to_owned(), rtt));
    let labels = [("node", node), ("peer", peer), ("dst", address), ("job", "mtr")];
    out.push("mtr_report_count_hubs", &labels, hops.len() as f64);
    for (nth, (host, avg)) in hops.iter().enumerate() {
        let ttl = (nth + 1).to_string();
        let labels = [&labels[..], &[("host", host.as_str()), ("count", ttl.as_str())]].concat();
        for (name, value) in
            [("loss", 0.0), ("snt", 10.0), ("avg", *avg), ("best", avg * 0.9), ("wrst", avg * 1.3)]
        {
            out.push(&format!("mtr_report_{name}"), &labels, value);
        }
    }
}
