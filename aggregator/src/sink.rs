//! The table of sinks. Each owns its section of the configuration; one without a section is off, but for the embedded
//! one, which is always on.

pub mod api;

pub mod answer;
pub mod http;

pub mod embedded;
pub mod loki;
pub mod prometheus;
pub mod tempo;

use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;

use api::Sink;

/// `sinks` of the configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Prometheus, Mimir, Thanos, VictoriaMetrics: remote write.
    pub prometheus: Option<prometheus::Config>,
    /// Loki.
    pub loki: Option<loki::Config>,
    /// Tempo, or another OTLP/gRPC receiver of traces.
    pub tempo: Option<tempo::Config>,
    /// The recent past in memory, for the console. On by default; it needs no other store.
    pub embedded: embedded::Config,
}

/// Why a sink cannot be made: a mistake in its section.
#[derive(Debug, Error)]
#[error("sinks.{sink}: {source}")]
pub struct OpenError {
    /// Which.
    pub sink: &'static str,
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The sinks that are configured, besides the embedded one: that is made first (`embedded::Store::new`), since the
/// console reads it as well. Nothing is connected yet. Call it within the runtime.
///
/// # Errors
/// Where a section cannot be used.
pub fn open(config: &Config) -> Result<Vec<Arc<dyn Sink>>, OpenError> {
    let mut sinks: Vec<Arc<dyn Sink>> = Vec::new();
    if let Some(config) = &config.prometheus {
        sinks.push(Arc::new(prometheus::Prometheus::new(config).map_err(failed("prometheus"))?));
    }
    if let Some(config) = &config.loki {
        sinks.push(Arc::new(loki::Loki::new(config).map_err(failed("loki"))?));
    }
    if let Some(config) = &config.tempo {
        sinks.push(Arc::new(tempo::Tempo::new(config).map_err(failed("tempo"))?));
    }
    Ok(sinks)
}

fn failed<E: std::error::Error + Send + Sync + 'static>(sink: &'static str) -> impl Fn(E) -> OpenError {
    move |error| OpenError { sink, source: Box::new(error) }
}
