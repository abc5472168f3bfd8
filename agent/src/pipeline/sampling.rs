//! `sampling`: keeps one line in so many.

use rand::Rng as _;
use serde::Deserialize;
use serde_yaml_ng::Value as Yaml;

use super::api::{Each, Entry, Verdict};
use super::option::{self, Built, Site, StageError};

/// Options of the stage `sampling`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Share of the lines that are kept, from 0 to 1.
    rate: f64,
    /// The reason in the ledger.
    #[serde(default)]
    drop_counter_reason: Option<String>,
}

/// See the table in `pipeline.rs`.
pub(super) fn build(section: Yaml, site: &Site) -> Built {
    let Config { rate, drop_counter_reason } = option::section(section)?;
    if !(0.0..=1.0).contains(&rate) {
        return Err(StageError::Wrong("rate: a share from 0 to 1 is wanted"));
    }
    let reason = site.reason(drop_counter_reason.as_deref(), "sampling_stage")?;
    Ok(Box::new(Each(move |_: &mut Entry, _| {
        if rand::rng().random::<f64>() < rate { Verdict::Keep } else { Verdict::Drop(reason.clone()) }
    })))
}
