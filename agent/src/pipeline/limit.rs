//! `limit`: so many lines a second, and no more. Others are left out with `drop: true`; else they wait, as long as what
//! waits in all fits the pipeline's bound.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;
use tokio::time::Instant;

use super::api::{Each, Entry, Out, Place, Stage, Verdict};
use super::option::{self, Built, Site, StageError};

/// Options of the stage `limit`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Lines a second.
    rate: f64,
    /// Lines at once.
    burst: u32,
    /// What is too much is left out.
    #[serde(default)]
    drop: bool,
    /// For each value of this label by itself; only with `drop`.
    #[serde(default)]
    by_label_name: Option<String>,
    /// Values of that label that are told apart; beyond it, counting begins anew.
    #[serde(default = "ten_thousand")]
    max_distinct_labels: usize,
    /// The reason in the ledger.
    #[serde(default)]
    drop_counter_reason: Option<String>,
}

fn ten_thousand() -> usize {
    10_000
}

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, site: &Site) -> Built {
    let config: Config = option::section(section)?;
    let (rate, burst) = (config.rate, f64::from(config.burst));
    if !(rate > 0.0 && rate.is_finite()) || config.burst == 0 {
        return Err(StageError::Wrong("rate and burst must be above 0"));
    }
    if !config.drop {
        if config.by_label_name.is_some() {
            return Err(StageError::Wrong("by_label_name: only with drop: true"));
        }
        let bucket = Bucket { rate, burst, tokens: burst, at: None };
        return Ok(Box::new(Wait { bucket, waiting: VecDeque::new() }));
    }
    let reason = site.reason(config.drop_counter_reason.as_deref(), "ratelimit_drop_stage")?;
    let (by, most) = (config.by_label_name, config.max_distinct_labels.max(1));
    let mut buckets = HashMap::<Arc<str>, Bucket>::new();
    Ok(Box::new(Each(move |entry: &mut Entry, now| {
        let key = match &by {
            None => "",
            Some(label) => match entry.labels.get(label) {
                Some(value) => value,
                None => return Verdict::Keep,
            },
        };
        if !buckets.contains_key(key) {
            if buckets.len() >= most {
                buckets.clear();
            }
            buckets.insert(key.into(), Bucket { rate, burst, tokens: burst, at: None });
        }
        let free = buckets.get_mut(key).is_none_or(|bucket| bucket.take(now));
        if free { Verdict::Keep } else { Verdict::Drop(reason.clone()) }
    })))
}

/// Fills with `rate`, holds `burst`.
struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Option<Instant>,
}

impl Bucket {
    fn fill(&mut self, now: Instant) {
        let since = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.tokens = (self.tokens + since.as_secs_f64() * self.rate).min(self.burst);
        self.at = Some(now);
    }

    fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let free = self.tokens >= 1.0;
        self.tokens -= if free { 1.0 } else { 0.0 };
        free
    }
}

struct Wait {
    bucket: Bucket,
    waiting: VecDeque<Entry>,
}

impl Stage for Wait {
    fn pass(&mut self, out: &mut Out) {
        self.waiting.extend(out.entries.drain(..));
        while !self.waiting.is_empty() && self.bucket.take(out.now) {
            out.entries.extend(self.waiting.pop_front());
        }
    }

    fn due(&self) -> Option<Instant> {
        self.waiting.front()?;
        let missing = (1.0 - self.bucket.tokens).max(0.0) / self.bucket.rate;
        // Some at a time.
        let wait = Duration::from_secs_f64(missing.min(1e6)).max(Duration::from_millis(10));
        self.bucket.at.map(|at| at + wait)
    }

    fn release(&mut self, now: Option<Instant>, out: &mut Out) {
        match now {
            Some(now) => {
                while !self.waiting.is_empty() && self.bucket.take(now) {
                    out.entries.extend(self.waiting.pop_front());
                }
            }
            None => out.entries.extend(self.waiting.drain(..)),
        }
    }

    fn held(&self, each: &mut dyn FnMut(&Place)) {
        self.waiting.iter().flat_map(Entry::places).for_each(each);
    }
}
