//! The metrics of one target: smokeping_prober's names, labels and buckets, and the newest round's figures; and the
//! log event of an alert.

use std::time::Duration;

use ao_common::clock;
use ao_proto::model::Labels;
use ao_proto::model::MetricType::{Counter, Gauge, Histogram};

use crate::event::{LogChunk, MetricSet};

use super::alert::{Alert, Told};
use super::config::{Config, Plan};
use super::doubt::Doubt;
use super::round::Round;
use super::target::{BOUNDS, Target};

/// The ledger's source.
pub(super) const SOURCE: &str = "latency";
const JOB: &str = "smokeping";

/// All series of a target, zeroes too: a series that appears only with its first event hides that event.
pub(super) fn metrics(target: &Target, config: &Config, at_ms: i64) -> MetricSet {
    let plan = &target.plan;
    let mut set = empty(plan, at_ms);
    let ip = target.address.map(|address| address.to_string()).unwrap_or_default();
    let tos = plan.tos.to_string();
    let source = plan.source.map(|address| address.to_string()).unwrap_or_default();
    let mut labels: Vec<(&str, &str)> =
        plan.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    labels.extend([("host", plan.host.as_str()), ("ip", &ip), ("source", &source), ("tos", &tos)]);
    let counts = &target.counts;

    let one = |set: &mut MetricSet, name, kind, help, value| {
        let family = set.family(name, kind, help);
        set.push(family, &labels, value);
    };
    one(
        &mut set,
        "smokeping_requests_total",
        Counter,
        "Number of ping requests that were answered or timed out",
        counts.requests as f64,
    );
    one(
        &mut set,
        "smokeping_response_duplicates_total",
        Counter,
        "Number of duplicated response packets",
        counts.duplicates as f64,
    );
    one(
        &mut set,
        "smokeping_send_errors_total",
        Counter,
        "Number of pings that could not be sent",
        counts.send_errors as f64,
    );
    one(
        &mut set,
        "smokeping_response_ttl",
        Gauge,
        "TTL of the newest response packet, 0 while unknown",
        counts.ttl.map_or(0.0, f64::from),
    );

    one(
        &mut set,
        "ao_latency_starved_rounds_total",
        Counter,
        "Rounds in which the prober had not the time or the room that it needs",
        counts.starved as f64,
    );

    let durations =
        set.family("smokeping_response_duration_seconds", Histogram, "Ping round trip times in seconds");
    let mut total = 0;
    for (count, bound) in counts.buckets.iter().zip(BOUNDS.into_iter().chain(["+Inf"])) {
        total += count;
        labels.push(("le", bound));
        set.push_suffixed(durations, "_bucket", &labels, total as f64);
        labels.pop();
    }
    set.push_suffixed(durations, "_sum", &labels, counts.sum.as_secs_f64());
    set.push_suffixed(durations, "_count", &labels, total as f64);

    if let Some(round) = &target.round {
        doubt(&mut set, &labels, &round.doubt);
        if config.distribution {
            pings(&mut set, &mut labels, plan, round);
        }
        let loss = set.family(
            "ao_latency_round_loss_ratio",
            Gauge,
            "Share of the newest round's pings that were lost",
        );
        set.push(loss, &labels, round.loss());
        let rtts = set.family("ao_latency_round_seconds", Gauge, "Round trip times of the newest round");
        let stats = [
            ("min", round.rtts.first().copied()),
            ("median", round.median()),
            ("max", round.rtts.last().copied()),
        ];
        for (stat, rtt) in stats {
            labels.push(("stat", stat));
            // All lost: the series go on, and say so.
            set.push(rtts, &labels, rtt.map_or(f64::NAN, |rtt| rtt.as_secs_f64()));
            labels.pop();
        }
    }
    for (name, state) in &target.alerts {
        labels.push(("alert", name));
        let family = set.family("ao_latency_alert", Gauge, "Whether an alert holds");
        set.push(family, &labels, f64::from(u8::from(state.raised)));
        let family = set.family("ao_latency_alerts_total", Counter, "How often an alert began to hold");
        set.push(family, &labels, state.raises as f64);
        labels.pop();
    }
    set
}

/// What there is to say against the newest round.
fn doubt(set: &mut MetricSet, labels: &[(&str, &str)], doubt: &Doubt) {
    let mut put = |name, help, value| {
        let family = set.family(name, Gauge, help);
        set.push(family, labels, value);
    };
    put(
        "ao_latency_round_gap_seconds",
        "Longest time that the prober was behind the kernel or its schedule in the newest round",
        doubt.gap.as_secs_f64(),
    );
    put(
        "ao_latency_round_dropped",
        "Answers that were dropped for want of room in the newest round, to whichever target",
        doubt.dropped as f64,
    );
    put(
        "ao_latency_round_starved",
        "Whether the prober was starved in the newest round, so that it raises no alert",
        f64::from(u8::from(doubt.starved)),
    );
    if let Some(pressure) = doubt.pressure {
        let help = "Share of the newest round in which some task waited for a processor";
        put("ao_latency_round_pressure_ratio", help, pressure);
    }
}

/// Every round trip of the newest round by rank, the shortest first; those that were lost are no numbers.
fn pings<'a>(set: &mut MetricSet, labels: &mut Vec<(&'a str, &'a str)>, plan: &Plan, round: &Round) {
    let help = "Round trip times of the newest round, each, by rank from the shortest on";
    let family = set.family("ao_latency_round_ping_seconds", Gauge, help);
    let shared = set.share(labels);
    for rank in 0..(plan.pings as usize).max(round.rtts.len()) {
        let value = round.rtts.get(rank).map_or(f64::NAN, Duration::as_secs_f64);
        set.push_shared(family, &shared, &[("ping", &(rank + 1).to_string())], value);
    }
}

/// An alert's beginning or end as one line of JSON.
pub(super) fn event(target: &Target, name: &str, alert: &Alert, told: Told) -> LogChunk {
    let plan = &target.plan;
    let round = target.round.as_ref();
    let text = serde_json::json!({
        "event": "latency_alert",
        "alert": name,
        "state": if told == Told::Raised { "raised" } else { "cleared" },
        "type": alert.kind,
        "pattern": alert.pattern,
        "comment": alert.comment,
        "priority": alert.priority,
        "target": plan.host,
        "group": plan.labels.get("group"),
        "probe": plan.probe.label().unwrap_or_else(|| "icmp".to_owned()),
        "address": target.address,
        "loss_percent": round.map(|round| round.loss() * 100.0),
        "median_ms": round.and_then(Round::median).map(|rtt| rtt.as_secs_f64() * 1_000.0),
    })
    .to_string();
    let labels = Labels::from_pairs([("job", JOB), ("target", &plan.host)]);
    LogChunk::one(SOURCE, labels, text, clock::now_ns())
}

/// What belongs to no target.
pub(super) fn prober(receive_errors: u64, at_ms: i64) -> MetricSet {
    let mut set = MetricSet::new(SOURCE, JOB, at_ms);
    set.one(
        "smokeping_receive_errors_total",
        Counter,
        "Number of failures to receive answers, whichever target they are of",
        receive_errors as f64,
    );
    set
}

/// A set without samples: the end of all series of a target.
pub(super) fn empty(plan: &Plan, at_ms: i64) -> MetricSet {
    let mut set = MetricSet::new(SOURCE, JOB, at_ms);
    set.group.clone_from(&plan.id);
    set.instance = Some(plan.host.clone());
    set
}
