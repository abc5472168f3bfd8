//! Round trips and paths: a near gateway, a far service over a link that congests and fails now and then.

use rand::Rng;
use rand::rngs::StdRng;

use super::{Samples, noise, wave};

/// host, address, least round trip in seconds, hops.
const TARGETS: [(&str, &str, f64, &[&str]); 3] = [
    ("192.0.2.1", "192.0.2.1", 0.000_31, &["192.0.2.1"]),
    (
        "registry.example",
        "203.0.113.40",
        0.018_4,
        &["192.0.2.1", "198.51.100.9", "???", "198.51.100.77", "203.0.113.1", "203.0.113.40"],
    ),
    ("dns.example", "198.51.100.53", 0.0042, &["192.0.2.1", "198.51.100.9", "198.51.100.53"]),
];
/// Upper bounds of smokeping_prober's buckets.
const BUCKETS: usize = 20;
const PINGS: usize = 5;

#[derive(Default, Clone)]
struct Target {
    sent: f64,
    answered: f64,
    buckets: [f64; BUCKETS],
    round: Vec<f64>,
    shown: Option<[f64; 3]>,
}

/// Counters.
#[derive(Default)]
pub(super) struct Network {
    targets: [Target; 3],
}

impl Network {
    /// One round of smokeping's and mtr's series.
    pub(super) fn round(&mut self, at_ms: i64, node: &str, out: &mut Samples, random: &mut StdRng) {
        for (i, (state, (host, ip, least, hops))) in self.targets.iter_mut().zip(TARGETS).enumerate() {
            let congested = if i == 1 { wave(at_ms, 9.0, node).powi(5) } else { 0.0 };
            let down = i == 1 && wave(at_ms, 17.0, node) > 0.985;
            for _ in 0..PINGS {
                state.sent += 1.0;
                let lost = down || random.random_bool((0.3 * congested * congested).min(0.9) + 0.002);
                if lost {
                    continue;
                }
                let rtt = least * (1.0 + 1.8 * congested * random.random::<f64>()) * noise(random, 0.16)
                    + least * 0.8 * random.random::<f64>().powi(14);
                state.answered += 1.0;
                state.round.push(rtt);
                let bucket = (0..BUCKETS).find(|b| rtt <= bound(*b)).unwrap_or(BUCKETS - 1);
                state.buckets[bucket] += 1.0;
            }
            if at_ms % 60_000 == 0 && !state.round.is_empty() {
                state.round.sort_by(f64::total_cmp);
                let round = &state.round;
                state.shown = Some([round[0], round[round.len() / 2], round[round.len() - 1]]);
                state.round.clear();
            }
            state.tell(node, host, ip, out);
            path(node, host, least, hops, congested, down, out, random);
        }
    }
}

fn bound(bucket: usize) -> f64 {
    5e-5 * 2f64.powi(bucket as i32)
}

impl Target {
    fn tell(&self, node: &str, host: &str, ip: &str, out: &mut Samples) {
        let labels = [("node", node), ("host", host), ("ip", ip), ("job", "smokeping"), ("tos", "0")];
        out.push("smokeping_requests_total", &labels, self.sent);
        let mut total = 0.0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            total += count;
            let le = bound(bucket).to_string();
            let labels = [&labels[..], &[("le", le.as_str())]].concat();
            out.push("smokeping_response_duration_seconds_bucket", &labels, total);
        }
        let all = [&labels[..], &[("le", "+Inf")]].concat();
        out.push("smokeping_response_duration_seconds_bucket", &all, total);
        for (stat, value) in ["min", "median", "max"].into_iter().zip(self.shown.into_iter().flatten()) {
            let labels = [&labels[..], &[("stat", stat)]].concat();
            out.push("ao_latency_round_seconds", &labels, value);
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn path(
    node: &str,
    target: &str,
    least: f64,
    hops: &[&str],
    congested: f64,
    down: bool,
    out: &mut Samples,
    random: &mut StdRng,
) {
    for (at, host) in hops.iter().enumerate() {
        let share = (at as f64 + 1.0) / hops.len() as f64;
        let silent = *host == "???" || down && at > 3;
        let slow = if at > 3 { congested } else { 0.0 };
        let avg = least * 1e3 * share.powi(2) * (1.0 + slow) * noise(random, 0.1);
        let loss = if silent { 100.0 } else { (slow * 24.0).floor() };
        let ttl = (at + 1).to_string();
        let labels = [("node", node), ("dst", target), ("host", host), ("count", &ttl), ("job", "mtr")];
        let figures = [
            ("snt", 10.0),
            ("loss", loss),
            ("last", avg * noise(random, 0.3)),
            ("avg", avg),
            ("best", avg * 0.86),
            ("wrst", avg * (1.2 + slow)),
            ("stdev", avg * 0.07 * (1.0 + 4.0 * slow)),
        ];
        for (name, value) in figures {
            let value = if silent && name != "snt" && name != "loss" { 0.0 } else { value };
            out.push(&format!("mtr_report_{name}"), &labels, value);
        }
    }
}
