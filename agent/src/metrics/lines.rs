//! Metrics that rules and stages of the pipeline make of log lines: written there, read by the source of the agent's own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ao_proto::model::{Labels, MetricType};
use tokio::time::Instant;

use crate::event::MetricSet;

/// Series of all families at most.
const SERIES: usize = 10_000;

/// All of them.
#[derive(Debug, Default)]
pub struct LineMetrics(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    families: Vec<Family>,
    series: usize,
    refused: u64,
}

#[derive(Debug)]
struct Family {
    options: FamilyOptions,
    series: HashMap<Labels, (Series, Instant)>,
}

/// What makes a family.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FamilyOptions {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: MetricType,
    /// Upper bounds of a histogram, going up.
    pub(crate) buckets: Vec<f64>,
    /// A series that was not written for so long is dropped.
    pub(crate) idle: Duration,
    /// A counter is told as 0 before it is told as what it is: a rate sees its first lines, too.
    pub(crate) from_zero: bool,
}

/// One series.
#[derive(Debug, Default)]
pub(crate) struct Series {
    value: f64,
    told: bool,
    count: u64,
    /// Observations by bound, and those above all.
    buckets: Vec<(f64, u64)>,
}

impl Series {
    /// Adds to its value. A counter takes nothing away.
    pub(crate) fn add(&mut self, amount: f64) {
        self.value += amount;
    }

    /// Sets its value.
    pub(crate) fn set(&mut self, value: f64) {
        self.value = value;
    }

    /// Observes a value of a histogram.
    pub(crate) fn observe(&mut self, value: f64) {
        self.value += value;
        self.count += 1;
        if let Some((_, count)) = self.buckets.iter_mut().find(|(bound, _)| value <= *bound) {
            *count += 1;
        }
    }
}

impl LineMetrics {
    /// Declares a family; its number. None where there is another of this name.
    pub(crate) fn family(&self, options: FamilyOptions) -> Option<usize> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.families.iter().position(|family| family.options.name == options.name) {
            Some(at) => {
                let known = &state.families[at].options;
                (known.kind == options.kind && known.buckets == options.buckets).then_some(at)
            }
            None => {
                state.families.push(Family { options, series: HashMap::new() });
                Some(state.families.len() - 1)
            }
        }
    }

    /// Writes to the series with these labels. Beyond [`SERIES`], a new one is refused, and counted.
    pub(crate) fn record(&self, family: usize, labels: &Labels, write: impl FnOnce(&mut Series)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { families, series, refused } = &mut *state;
        let Some(family) = families.get_mut(family) else { return };
        if !family.series.contains_key(labels) {
            if *series >= SERIES {
                *refused += 1;
                return;
            }
            *series += 1;
            let buckets = family.options.buckets.iter().map(|bound| (*bound, 0)).collect();
            family.series.insert(labels.clone(), (Series { buckets, ..Series::default() }, Instant::now()));
        }
        if let Some((one, at)) = family.series.get_mut(labels) {
            write(one);
            *at = Instant::now();
        }
    }

    /// Adds all of them to a set; those that were idle for too long are no more.
    pub(crate) fn export(&self, set: &mut MetricSet) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { families, series: count, refused } = &mut *state;
        *count = 0;
        if families.is_empty() {
            return;
        }
        for Family { options, series } in families {
            series.retain(|_, (_, at)| at.elapsed() < options.idle);
            *count += series.len();
            let family = set.family(&options.name, options.kind, &options.help);
            for (labels, (one, _)) in series {
                let labels: Vec<_> = labels.iter().collect();
                if options.kind != MetricType::Histogram {
                    let told = std::mem::replace(&mut one.told, true) || !options.from_zero;
                    set.push(family, &labels, if told { one.value } else { 0.0 });
                    continue;
                }
                let mut below = 0;
                for (bound, count) in &one.buckets {
                    below += count;
                    let le = bound.to_string();
                    let labels: Vec<_> = labels.iter().copied().chain([("le", le.as_str())]).collect();
                    set.push_suffixed(family, "_bucket", &labels, below as f64);
                }
                let all: Vec<_> = labels.iter().copied().chain([("le", "+Inf")]).collect();
                set.push_suffixed(family, "_bucket", &all, one.count as f64);
                set.push_suffixed(family, "_sum", &labels, one.value);
                set.push_suffixed(family, "_count", &labels, one.count as f64);
            }
        }
        let help = "Lines that count for no series of their stage or rule, since there are too many";
        set.one("ao_pipeline_series_refused_total", MetricType::Counter, help, *refused as f64);
    }
}
