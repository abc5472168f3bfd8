//! The metrics of one target: smokeping_prober's names, labels and buckets, and the newest round's figures; and the
//! log event of an alert.

use std::time::Duration;

use ao_common::clock;
use ao_proto::model::Labels;
use ao_proto::model::MetricType::{Counter, Gauge, Histogram};

use crate::event::{LogChunk, MetricSet, SharedLabels};

use super::alert::{Alert, Told};
use super::config::{Config, Plan};
use super::doubt::Doubt;
use super::probe::{Kind, REASONS};
use super::round::Round;
use super::target::{BOUNDS, Counts, Target};

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
    let labels = set.share(&labels);
    counts(&mut set, &labels, &target.counts);
    if plan.probe != Kind::Icmp {
        let help = "Times that a service had no good answer, by reason";
        let failures = set.family("ao_latency_failures_total", Counter, help);
        for (reason, count) in REASONS.into_iter().zip(target.counts.failures) {
            set.push_shared(failures, &labels, &[("reason", reason)], count as f64);
        }
    }
    if let Some(round) = &target.round {
        doubt(&mut set, &labels, &round.doubt);
        if config.distribution {
            pings(&mut set, &labels, plan, round);
        }
        let loss = set.family(
            "ao_latency_round_loss_ratio",
            Gauge,
            "Share of the newest round's pings that were lost",
        );
        set.push_shared(loss, &labels, &[], round.loss());
        let rtts = set.family("ao_latency_round_seconds", Gauge, "Round trip times of the newest round");
        let stats = [
            ("min", round.rtts.first().copied()),
            ("median", round.median()),
            ("max", round.rtts.last().copied()),
        ];
        for (stat, rtt) in stats {
            // All lost: the series go on, and say so.
            let value = rtt.map_or(f64::NAN, |rtt| rtt.as_secs_f64());
            set.push_shared(rtts, &labels, &[("stat", stat)], value);
        }
    }
    for (name, state) in &target.alerts {
        let alert = [("alert", name.as_str())];
        let family = set.family("ao_latency_alert", Gauge, "Whether an alert holds");
        set.push_shared(family, &labels, &alert, f64::from(u8::from(state.raised)));
        let family = set.family("ao_latency_alerts_total", Counter, "How often an alert began to hold");
        set.push_shared(family, &labels, &alert, state.raises as f64);
    }
    set
}

/// smokeping_prober's metrics, but for what belongs to no target.
fn counts(set: &mut MetricSet, labels: &SharedLabels, counts: &Counts) {
    let requests = "Number of ping requests that were answered or timed out";
    let ttl = "TTL of the newest response packet, 0 while unknown";
    let starved = "Rounds in which the prober had not the time or the room that it needs";
    for (name, kind, help, value) in [
        ("smokeping_requests_total", Counter, requests, counts.requests as f64),
        (
            "smokeping_response_duplicates_total",
            Counter,
            "Number of duplicated response packets",
            counts.duplicates as f64,
        ),
        (
            "smokeping_send_errors_total",
            Counter,
            "Number of pings that could not be sent",
            counts.send_errors as f64,
        ),
        ("smokeping_response_ttl", Gauge, ttl, counts.ttl.map_or(0.0, f64::from)),
        ("ao_latency_starved_rounds_total", Counter, starved, counts.starved as f64),
    ] {
        let family = set.family(name, kind, help);
        set.push_shared(family, labels, &[], value);
    }
    let durations =
        set.family("smokeping_response_duration_seconds", Histogram, "Ping round trip times in seconds");
    let mut total = 0;
    for (count, bound) in counts.buckets.iter().zip(BOUNDS.into_iter().chain(["+Inf"])) {
        total += count;
        set.push_shared_suffixed(durations, "_bucket", labels, &[("le", bound)], total as f64);
    }
    set.push_shared_suffixed(durations, "_sum", labels, &[], counts.sum.as_secs_f64());
    set.push_shared_suffixed(durations, "_count", labels, &[], total as f64);
}

/// What there is to say against the newest round.
fn doubt(set: &mut MetricSet, labels: &SharedLabels, doubt: &Doubt) {
    let mut put = |name, help, value| {
        let family = set.family(name, Gauge, help);
        set.push_shared(family, labels, &[], value);
    };
    put(
        "ao_latency_round_gap_seconds",
        "Longest time that the prober was behind the kernel or its schedule in the newest round",
        doubt.gap.as_secs_f64(),
    );
    put(
        "ao_latency_round_dropped",
        "Packets that the prober's sockets dropped in the newest round, for want of room or as damaged, to whichever target",
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
fn pings(set: &mut MetricSet, labels: &SharedLabels, plan: &Plan, round: &Round) {
    let help = "Round trip times of the newest round, each, by rank from the shortest on";
    let family = set.family("ao_latency_round_ping_seconds", Gauge, help);
    for rank in 0..(plan.pings as usize).max(round.rtts.len()) {
        let value = round.rtts.get(rank).map_or(f64::NAN, Duration::as_secs_f64);
        set.push_shared(family, labels, &[("ping", &(rank + 1).to_string())], value);
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
        "loss_percent": round.map(Round::loss_percent),
        "median_ms": round.and_then(Round::median).map(|rtt| rtt.as_secs_f64() * 1_000.0),
    })
    .to_string();
    let labels = Labels::from_pairs([("job", JOB), ("target", &plan.host)]);
    LogChunk::one(SOURCE, labels, text, clock::now_ns())
}

/// What belongs to no target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prober {
    /// Receive calls that failed.
    pub(super) receive_errors: u64,
    /// Names that could not be looked up.
    pub(super) errors: u64,
    /// When targets were last taken over, milliseconds since 1970.
    pub(super) loaded_ms: i64,
}

/// The same as smokeping_prober has it; `None` ends the series.
pub(super) fn prober(prober: Option<Prober>, at_ms: i64) -> MetricSet {
    let mut set = MetricSet::new(SOURCE, JOB, at_ms);
    let Some(prober) = prober else { return set };
    set.one(
        "smokeping_receive_errors_total",
        Counter,
        "Number of failures to receive answers, whichever target they are of",
        prober.receive_errors as f64,
    );
    set.one(
        "smokeping_prober_errors_total",
        Counter,
        "Number of failures that are no ping's: names of targets that could not be looked up",
        prober.errors as f64,
    );
    // One that is refused ends the agent before it pings.
    set.one(
        "smokeping_prober_config_last_reload_successful",
        Gauge,
        "Whether the newest targets were taken over",
        1.0,
    );
    set.one(
        "smokeping_prober_config_last_reload_success_timestamp_seconds",
        Gauge,
        "When targets were last taken over from the configuration or the aggregator",
        prober.loaded_ms as f64 / 1e3,
    );
    let build =
        set.family("smokeping_prober_build_info", Gauge, "1, with the version of what pings: this agent's");
    set.push(build, &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    set
}

/// A set without samples: the end of all series of a target.
pub(super) fn empty(plan: &Plan, at_ms: i64) -> MetricSet {
    let mut set = MetricSet::new(SOURCE, JOB, at_ms);
    set.group.clone_from(&plan.id);
    set.instance = Some(plan.host.clone());
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What smokeping_prober 0.11 serves, by its page, and one of its names that only its failures bring.
    const THEIRS: [&str; 10] = [
        "smokeping_prober_build_info",
        "smokeping_prober_config_last_reload_success_timestamp_seconds",
        "smokeping_prober_config_last_reload_successful",
        "smokeping_prober_errors_total",
        "smokeping_receive_errors_total",
        "smokeping_requests_total",
        "smokeping_response_duplicates_total",
        "smokeping_response_duration_seconds",
        "smokeping_response_ttl",
        "smokeping_send_errors_total",
    ];

    fn names(set: &MetricSet) -> impl Iterator<Item = &str> {
        set.families.iter().map(|family| set.text(&family.name))
    }

    /// Scenario: a target that was never pinged, and what belongs to none.
    /// Guarantees: every family of smokeping_prober's is there from the beginning; failures of a service by reason are
    /// those of services alone.
    #[test]
    fn all_of_theirs() {
        let of = |probe| {
            let config = Config { targets: vec!["a".into()], probe, ..Config::default() };
            metrics(&Target::new(config.plans(&[]).remove(0), &config), &config, 7_000)
        };
        let none = prober(Some(Prober { receive_errors: 2, errors: 3, loaded_ms: 6_500 }), 7_000);
        let pinged = of(Kind::Icmp);
        let mut ours: Vec<&str> =
            names(&pinged).chain(names(&none)).filter(|n| n.starts_with("smoke")).collect();
        ours.sort_unstable();
        assert_eq!(ours, THEIRS);
        let text = none.exposition();
        for line in [
            "smokeping_receive_errors_total 2",
            "smokeping_prober_errors_total 3",
            "smokeping_prober_config_last_reload_success_timestamp_seconds 6.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        const FAILURES: &str = "ao_latency_failures_total";
        assert!(!names(&pinged).any(|name| name == FAILURES));
        let asked = of(Kind::Tcp { port: 443 });
        let failures = asked
            .samples
            .iter()
            .filter(|sample| asked.text(&asked.families[sample.family as usize].name) == FAILURES);
        assert_eq!(failures.count(), REASONS.len());
    }
}
