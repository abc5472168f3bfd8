//! The agent's own state as a source: its metric families and how it probes, so that an agent is never invisible.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ao_common::admin::SharedRegistry;
use ao_common::clock;
use ao_proto::model::MetricType;
use tokio::time::MissedTickBehavior;

use crate::context::Context;
use crate::event::{Event, MetricSet};
use crate::metrics::lines::LineMetrics;
use crate::net::Prober;

/// Often enough for rates over a minute.
const INTERVAL: Duration = Duration::from_secs(15);

/// Hands the own metrics on until the shutdown.
///
/// # Errors
/// Never: it has the form of the other sources.
pub async fn run(
    ctx: Context,
    registry: SharedRegistry,
    prober: Arc<Prober>,
    line_metrics: Arc<LineMetrics>,
) -> Result<(), Infallible> {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = ctx.shutdown.cancelled() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let mut set = MetricSet::new("own", "ao-agent", clock::now_ms());
        probing(&mut set, &prober);
        line_metrics.export(&mut set);
        let mut text = String::new();
        let encoded = {
            let registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
            prometheus_client::encoding::text::encode(&mut text, &registry)
        };
        if encoded.is_ok() {
            read_back(&mut set, &text);
        }
        if ctx.events.send(Event::Metrics(set)).await.is_err() {
            return Ok(());
        }
    }
}

/// How round trips are measured here, and what would allow more: the console shows it.
fn probing(set: &mut MetricSet, prober: &Prober) {
    let capability = prober.capability();
    let help = "How this agent measures round trips; command would allow more";
    let family = set.family("ao_probe_info", MetricType::Gauge, help);
    let mode = capability.mode.to_string();
    let command = capability.command.as_deref().unwrap_or_default();
    let labels = [("mode", mode.as_str()), ("reason", &capability.sentence), ("command", command)];
    set.push(family, &labels, 1.0);
    let help = "Answers and failures of the prober that belong to no probe";
    let family = set.family("ao_probe_stray_total", MetricType::Counter, help);
    for (kind, count) in prober.counted().snapshot() {
        set.push(family, &[("kind", kind)], count as f64);
    }
}

/// The library has no other way to its values than the text that it writes: this reads just that dialect.
fn read_back(set: &mut MetricSet, text: &str) {
    let (mut help, mut kind) = (String::new(), MetricType::Unknown);
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest
                .split_once(' ')
                .map(|(_, help)| help.trim_end_matches('.').to_owned())
                .unwrap_or_default();
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            kind = match rest.rsplit(' ').next() {
                Some("counter") => MetricType::Counter,
                Some("gauge" | "info") => MetricType::Gauge,
                // Histograms of our own are for whoever scrapes.
                _ => MetricType::Unknown,
            };
            continue;
        }
        if line.starts_with('#') || kind == MetricType::Unknown {
            continue;
        }
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let Ok(value) = value.parse() else { continue };
        let family = set.family(name, kind, &help);
        let labels = labels_of(labels.trim_end_matches('}'));
        let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (*n, v.as_str())).collect();
        set.push(family, &labels, value);
    }
}

/// `name="value",...` with `\\`, `\"` and `\n`.
fn labels_of(text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, behind)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = behind.char_indices();
        let mut end = behind.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => {}
                },
                other => value.push(other),
            }
        }
        found.push((name.trim_start_matches(','), value));
        rest = behind.get(end..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::metrics::Metrics;

    /// Scenario: families with counts, labels that need escapes among them.
    /// Guarantees: names, labels and values come back as they were.
    #[test]
    fn own_families_come_back() {
        let metrics = Metrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let odd = "a\"b\\c,d=\"\n".to_owned();
        let read = Family::<[(&str, String); 1], Counter>::default();
        read.get_or_create(&[("source", odd.clone())]).inc_by(7);
        registry.register("ao_odd", "A label that needs escapes", read);
        metrics.connected.set(1);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let mut set = MetricSet::new("own", "ao-agent", 0);
        read_back(&mut set, &text);
        let find = |name: &str| {
            let is_it =
                |s: &&crate::event::SampleText| set.text(&set.families[s.family as usize].name) == name;
            set.samples.iter().find(is_it).unwrap()
        };
        let read = find("ao_odd_total");
        assert_eq!(set.labels_of(read).collect::<Vec<_>>(), [("source", odd.as_str())]);
        assert_eq!((read.value, find("ao_uplink_connected").value), (7.0, 1.0));
    }
}
