//! Prometheus remote write 1.0 (specification "Prometheus Remote-Write 1.0"), snappy's block format. Mimir, Thanos and
//! VictoriaMetrics take the same.
//!
//! | room | what it does |
//! |---|---|
//! | `encode` | a batch into a WriteRequest, always the same bytes |
//! | `labels` | which series the receiver's data model knows |
//! | `metadata` | type, help and unit of the families, in a request of their own once in a while |

mod encode;
mod labels;
mod metadata;

use std::collections::BTreeMap;
use std::time::Duration;

use ao_common::units::Span;
use ao_proto::model::{Labels, Series};
use ao_proto::v1::Class;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::time::Instant;

use super::api::{Answer, Batch, Decoded, DropReason, Lane, Policy, Refusal, RetryKind, Sink, Telemetry};
use super::http::{Client, HttpError, Options};
use labels::Validity;
use metadata::Metadata;

const CONTENT: [(&str, &str); 3] = [
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

/// Samples do not wait longer for metadata.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);

/// `sinks.prometheus` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The receiver's address, path included.
    pub url: String,
    /// Where it is queried, for `ao-aggregator verify`; by default what stands before `/api/v1/write` in `url`.
    pub query_url: Option<String>,
    /// Sent as `X-Scope-OrgID` (Mimir); none by default.
    pub tenant: Option<String>,
    /// Further headers, such as `Authorization`.
    pub headers: BTreeMap<String, String>,
    /// From the connection to the last byte of the answer.
    pub timeout: Span,
    /// Samples of one request.
    pub max_records: usize,
    /// Older samples are dropped{too_old}; a little under the receiver's out-of-order window (50 h in our chart).
    pub max_age: Span,
    /// After an outage of the receiver new samples go first, and the older ones beside them: this needs a receiver that
    /// takes samples out of order. Where not, all stay in order.
    pub fresh_first: bool,
    /// How often the families' metadata is sent again.
    pub metadata_every: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:9090/api/v1/write".to_owned(),
            query_url: None,
            tenant: None,
            headers: BTreeMap::new(),
            timeout: Span::secs(30),
            max_records: 5_000,
            max_age: Span::secs(49 * 3_600),
            fresh_first: true,
            metadata_every: Span::secs(600),
        }
    }
}

/// The sink.
pub struct Prometheus {
    client: Client,
    policy: Policy,
    validity: Validity,
    metadata: Metadata,
}

impl Prometheus {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// Where the address or a header cannot be used.
    pub fn new(config: &Config) -> Result<Self, HttpError> {
        let options = Options {
            url: config.url.clone(),
            tenant: config.tenant.clone(),
            headers: config.headers.clone(),
            timeout: config.timeout.0,
        };
        Ok(Self {
            client: Client::new(&options, &CONTENT)?,
            // Metrics frames are small beside what they become: samples bound the request, not bytes.
            policy: Policy {
                max_records: config.max_records.max(1),
                max_bytes: usize::MAX,
                max_age: Some(config.max_age.0),
                fresh_first: config.fresh_first,
            },
            validity: Validity::default(),
            metadata: Metadata::new(config.metadata_every.0),
        })
    }

    async fn post(&self, request: Vec<u8>) -> Answer {
        self.client.post(compress(&request)?).await
    }

    /// Sends the families' metadata if it is time. A receiver that does not want it loses nothing. Before the samples,
    /// so that nothing stands between their acceptance and the cursor's step.
    async fn post_metadata(&self) {
        let Some(request) = self.metadata.due(Instant::now()) else { return };
        match tokio::time::timeout(METADATA_TIMEOUT, self.post(request)).await {
            Ok(Ok(_)) => {}
            Ok(Err(refusal)) => {
                tracing::debug!(error = refusal.why(), "metadata was not taken");
                self.metadata.failed();
            }
            Err(_) => self.metadata.failed(),
        }
    }
}

impl Sink for Prometheus {
    fn name(&self) -> &'static str {
        "prometheus"
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Metrics]
    }

    fn policy(&self) -> Policy {
        self.policy
    }

    fn check(&self, frame: &Decoded, _lane: Lane) -> Vec<(u32, DropReason)> {
        let Telemetry::Metrics(keyframe, metrics) = &frame.telemetry else { return Vec::new() };
        let invalid = self.validity.invalid(keyframe, || self.metadata.learn(keyframe));
        let present = invalid.iter().filter(|series| metrics.absent.binary_search(series).is_err());
        present.map(|series| (*series, DropReason::Invalid)).collect()
    }

    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            self.post_metadata().await;
            // What the receiver says of the data counts more than the status that it gives it.
            match self.post(encode::write_request(batch)).await {
                Err(Refusal::Retry { kind: RetryKind::Server, why, .. }) if is_about_data(&why) => {
                    Err(Refusal::Data { why })
                }
                answer => answer,
            }
        })
    }

    fn test(&self) -> BoxFuture<'_, Answer> {
        let name = ("__name__", "ao_sink_test_timestamp_seconds");
        let series = Series { labels: Labels::from_pairs([name, ("job", "ao-aggregator")]), family: 0 };
        // The value follows from the time: twice within a millisecond is the same sample, which is no error.
        let at_ms = ao_common::clock::now_ms();
        Box::pin(self.post(encode::one_sample(&series.labels, at_ms, at_ms as f64 / 1_000.0)))
    }
}

/// Prometheus 2 answers 500 to some errors of the data (storage/interface.go names them, web's write handler knows only
/// some) and rolls the whole request back.
fn is_about_data(why: &str) -> bool {
    ["too old sample", "out of bounds", "out of order sample", "duplicate sample for timestamp"]
        .iter()
        .any(|text| why.contains(text))
}

/// Snappy's block format.
fn compress(request: &[u8]) -> Result<Bytes, Refusal> {
    match snap::raw::Encoder::new().compress_vec(request) {
        Ok(body) => Ok(body.into()),
        // Snappy's only limit is 4 GiB.
        Err(error) => {
            Err(Refusal::TooLarge { why: format!("cannot compress {} bytes: {error}", request.len()) })
        }
    }
}

#[cfg(test)]
mod tests;
