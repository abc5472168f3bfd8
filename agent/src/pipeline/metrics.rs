//! `metrics`: counters, gauges and histograms of lines, one series for each stream. They leave with the agent's own.

use std::collections::BTreeMap;
use std::sync::Arc;

use ao_common::units::Span;
use ao_proto::model::MetricType;
use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::option::{self, Built, Site, StageError, Text};
use crate::metrics::lines::{FamilyOptions, Series};

/// A metric of the stage `metrics`, by its name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// `Counter`, `Gauge` or `Histogram`.
    r#type: String,
    /// What it counts, for people.
    #[serde(default)]
    description: String,
    /// Name of the value; that of the metric where left out.
    #[serde(default)]
    source: Option<String>,
    /// Before the name.
    #[serde(default = "custom")]
    prefix: String,
    /// A series that saw no line for so long is no more.
    #[serde(default = "five_minutes")]
    max_idle_duration: Span,
    /// What is done with the value.
    #[serde(default)]
    config: Work,
}

fn custom() -> String {
    "promtail_custom_".to_owned()
}

fn five_minutes() -> Span {
    Span::secs(300)
}

/// What is done with a value.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Work {
    /// Of a counter: all lines count, whether they have the value or not.
    match_all: bool,
    /// With `match_all` and `add`: the bytes of the line.
    count_entry_bytes: bool,
    /// Only where the value is this one.
    value: Option<Text>,
    /// `inc` and `add`; of a gauge also `set`, `dec`, `sub`.
    action: Option<String>,
    /// Upper bounds of a histogram.
    buckets: Vec<f64>,
}

/// Prometheus' own.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Of one histogram at most.
const MOST_BUCKETS: usize = 64;

/// What a line does to a series.
#[derive(Clone, Copy)]
enum Action {
    Inc,
    Dec,
    Add,
    Sub,
    Set,
    Observe,
}

/// A metric as it is applied to lines.
struct Metric {
    family: usize,
    source: String,
    value: Option<String>,
    match_all: bool,
    of_bytes: bool,
    action: Action,
}

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, site: &Site) -> Built {
    let wanted: BTreeMap<String, Config> = option::section(section)?;
    if wanted.is_empty() {
        return Err(StageError::Wrong("name at least one metric"));
    }
    let mut metrics = Vec::new();
    for (name, config) in wanted {
        metrics.push(metric(&name, config, site)?);
    }
    let store = Arc::clone(&site.metrics);
    Ok(Box::new(Each(move |entry: &mut Entry, _| {
        for metric in &metrics {
            if let Some(amount) = metric.amount(entry) {
                store.record(metric.family, &entry.labels, |series| metric.action.apply(series, amount));
            }
        }
        Verdict::Keep
    })))
}

fn metric(name: &str, config: Config, site: &Site) -> Result<Metric, StageError> {
    let wrong = |why: &str| {
        Err(StageError::Option { option: "metrics", value: name.to_owned(), why: why.to_owned() })
    };
    let work = config.config;
    let kind = match config.r#type.to_ascii_lowercase().as_str() {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        _ => return wrong("its type must be counter, gauge or histogram"),
    };
    let action = match (kind, work.action.as_deref().map(str::to_ascii_lowercase).as_deref()) {
        (MetricType::Histogram, None) => Action::Observe,
        (MetricType::Histogram, Some(_)) => return wrong("a histogram has no action"),
        (_, Some("inc")) => Action::Inc,
        (_, Some("add")) => Action::Add,
        (MetricType::Gauge, Some("set")) => Action::Set,
        (MetricType::Gauge, Some("dec")) => Action::Dec,
        (MetricType::Gauge, Some("sub")) => Action::Sub,
        (MetricType::Counter, _) => return wrong("a counter's action is inc or add"),
        _ => return wrong("a gauge's action is set, inc, dec, add or sub"),
    };
    let counter = matches!(kind, MetricType::Counter);
    if work.match_all && (!counter || work.value.is_some()) {
        return wrong("match_all: only of a counter without a value");
    }
    let of_bytes = work.count_entry_bytes;
    if of_bytes && !(work.match_all && matches!(action, Action::Add)) {
        return wrong("count_entry_bytes: only with match_all: true and action: add");
    }
    if work.match_all && !of_bytes && matches!(action, Action::Add) {
        return wrong("match_all: with action: add only where count_entry_bytes is true");
    }
    if config.max_idle_duration < Span::secs(1) {
        return wrong("max_idle_duration must be 1s or more");
    }
    let mut buckets = match kind {
        MetricType::Histogram if work.buckets.is_empty() => BUCKETS.to_vec(),
        _ => work.buckets,
    };
    buckets.retain(|bound| *bound != f64::INFINITY);
    if buckets.len() > MOST_BUCKETS || !buckets.is_sorted_by(|one, next| one < next) {
        return wrong("buckets must go up, 64 at most");
    }
    let full = format!("{}{name}", config.prefix);
    option::label("metrics", &full.replace(':', "_"))?;
    let options = FamilyOptions {
        name: full,
        help: if config.description.is_empty() { "Of log lines".to_owned() } else { config.description },
        kind,
        buckets,
        idle: config.max_idle_duration.0,
        from_zero: false,
    };
    let Some(family) = site.metrics.family(options) else {
        return wrong("another metric of this name has another type or other buckets");
    };
    Ok(Metric {
        family,
        source: config.source.unwrap_or_else(|| name.to_owned()),
        value: work.value.map(|Text(value)| value),
        match_all: work.match_all,
        of_bytes,
        action,
    })
}

impl Metric {
    /// What to apply; none where the line is not meant.
    fn amount(&self, entry: &Entry) -> Option<f64> {
        if self.match_all {
            return Some(if self.of_bytes { entry.line.len() as f64 } else { 1.0 });
        }
        let needs_number = !matches!(self.action, Action::Inc | Action::Dec);
        if !entry.extracted.has(&self.source) {
            return None;
        }
        let text = entry.extracted.text(&self.source);
        if let Some(wanted) = &self.value
            && text.as_deref() != Some(wanted)
        {
            return None;
        }
        if needs_number { number(&text?) } else { Some(1.0) }
    }
}

impl Action {
    fn apply(self, series: &mut Series, amount: f64) {
        match self {
            Self::Inc => series.add(1.0),
            Self::Dec => series.add(-1.0),
            Self::Add => series.add(amount),
            Self::Sub => series.add(-amount),
            Self::Set => series.set(amount),
            Self::Observe => series.observe(amount),
        }
    }
}

/// A number, true or false, or a span of time such as `1m0.5s`, in seconds.
fn number(text: &str) -> Option<f64> {
    match text {
        "true" => return Some(1.0),
        "false" => return Some(0.0),
        _ => {}
    }
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = behind;
    }
    (!text.is_empty()).then_some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: values as lines have them.
    /// Guarantees: numbers, spans in seconds, or none.
    #[test]
    fn numbers() {
        for (text, expect) in [
            ("0.804", Some(0.804)),
            ("1e3", Some(1_000.0)),
            ("true", Some(1.0)),
            ("0.5ms", Some(0.0005)),
            ("1m30s", Some(90.0)),
            ("-10h", Some(-36_000.0)),
            ("250us", Some(0.00025)),
            ("10 apples", None),
            ("5d", None),
            ("", None),
            ("ms", None),
        ] {
            let found = number(text);
            let near = found.zip(expect).is_none_or(|(found, expect)| (found - expect).abs() < 1e-9);
            assert!(near && found.is_some() == expect.is_some(), "{text}: {found:?}");
        }
    }
}
