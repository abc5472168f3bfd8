//! The metrics of one target: smokeping_prober's names, labels and buckets, and the newest round's figures.

use ao_proto::model::MetricType::{Counter, Gauge, Histogram};

use crate::event::MetricSet;

use super::config::Config;
use super::target::{BOUNDS, Target};

/// The ledger's source.
pub(super) const SOURCE: &str = "latency";
const JOB: &str = "smokeping";

/// All series of a target, zeroes too: a series that appears only with its first event hides that event.
pub(super) fn metrics(target: &Target, config: &Config, at_ms: i64) -> MetricSet {
    let mut set = empty(&target.spec.host, at_ms);
    let ip = target.address.map(|address| address.to_string()).unwrap_or_default();
    let tos = config.tos.to_string();
    let source = config.source.map(|address| address.to_string()).unwrap_or_default();
    let mut labels: Vec<(&str, &str)> =
        target.spec.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    labels.extend([("host", target.spec.host.as_str()), ("ip", &ip), ("source", &source), ("tos", &tos)]);
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
    set
}

/// A set without samples: the end of all series of a target.
pub(super) fn empty(host: &str, at_ms: i64) -> MetricSet {
    let mut set = MetricSet::new(SOURCE, JOB, at_ms);
    set.group = host.to_owned();
    set.instance = Some(host.to_owned());
    set
}
