//! Loki's push API: protobuf in snappy's block format, with structured metadata.
//!
//! | room | what it does |
//! |---|---|
//! | `encode` | a batch into a PushRequest, always the same bytes |
//! | `newest` | each stream's newest timestamp, and what is too far behind it to be sent |
//! | `refused` | which entries an error body says were left out while the others were taken |
//!
//! A 204 alone is no proof: a push of several streams can be answered so while Loki drops lines that are more than half
//! its max_chunk_age behind the newest of their stream. So what may be refused is never sent.
//! Within a lane the lines of a stream come in the order in which they were read.

mod encode;
pub(crate) mod fuzzing;
mod newest;
mod refused;

use std::collections::BTreeMap;
use std::path::Path;

use ao_common::units::Span;
use ao_proto::v1::Class;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::api::{
    Accepted, Answer, Batch, Decoded, DropReason, KeepError, Lane, Policy, Refusal, Sink, Telemetry,
};
use super::http::{Client, HttpError, Options};
use newest::Newest;

const CONTENT: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];

/// `sinks.loki` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The push address, path included.
    pub url: String,
    /// Where it is queried, for `ao-aggregator verify`; by default what stands before `/loki/api/v1/push` in `url`.
    pub query_url: Option<String>,
    /// Sent as `X-Scope-OrgID`; none by default.
    pub tenant: Option<String>,
    /// Further headers, such as `Authorization`.
    pub headers: BTreeMap<String, String>,
    /// From the connection to the last byte of the answer.
    pub timeout: Span,
    /// Lines of one request.
    pub max_records: usize,
    /// Payload of one request; under Loki's burst size, which defaults to 6 MB.
    pub max_bytes: ao_common::units::Size,
    /// Older lines are dropped{too_old}: Loki's reject_old_samples_max_age.
    pub max_age: Span,
    /// Lines further behind the newest of their stream are dropped{too_old}: half of Loki's max_chunk_age.
    pub max_behind: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:3100/loki/api/v1/push".to_owned(),
            query_url: None,
            tenant: None,
            headers: BTreeMap::new(),
            timeout: Span::secs(30),
            max_records: 5_000,
            max_bytes: ao_common::units::Size::mib(1),
            max_age: Span::secs(7 * 86_400),
            max_behind: Span::secs(3_600),
        }
    }
}

/// The sink.
pub struct Loki {
    client: Client,
    policy: Policy,
    newest: Newest,
}

impl Loki {
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
            policy: Policy {
                max_records: config.max_records.max(1),
                max_bytes: usize::try_from(config.max_bytes.0).unwrap_or(usize::MAX),
                max_age: Some(config.max_age.0),
                fresh_first: true,
            },
            newest: Newest::new(config.max_behind.0),
        })
    }
}

impl Sink for Loki {
    fn name(&self) -> &'static str {
        "loki"
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Logs, Class::LogsLow]
    }

    fn policy(&self) -> Policy {
        self.policy
    }

    fn check(&self, frame: &Decoded, lane: Lane) -> Vec<(u32, DropReason)> {
        let Telemetry::Logs(logs) = &frame.telemetry else { return Vec::new() };
        let streams: Vec<_> = logs.streams.iter().map(|labels| encode::selector(labels, lane)).collect();
        let floors: Vec<_> = streams.iter().map(|s| s.as_ref().map(|s| self.newest.floor(s))).collect();
        let judged = logs.entries.iter().zip(0..).filter_map(|(entry, number)| {
            match floors.get(entry.stream as usize).copied().flatten() {
                None => Some((number, DropReason::Invalid)),
                Some(floor) => (entry.at_ns < floor).then_some((number, DropReason::TooOld)),
            }
        });
        judged.collect()
    }

    fn keep_in(&self, dir: &Path) -> Result<(), KeepError> {
        self.newest.keep_in(dir)
    }

    fn keep(&self) -> Result<(), KeepError> {
        self.newest.keep()
    }

    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let streams = encode::streams(batch);
            let body = compress(&encode::push_request(&streams))?;
            let answer = match self.client.post(body).await {
                Err(Refusal::Data { why }) => match refused::in_body(&why, &streams) {
                    refused::Verdict::Only(records) => {
                        Ok(Accepted { refused: records, why, ..<_>::default() })
                    }
                    refused::Verdict::Configuration => Err(Refusal::Configuration { why }),
                    refused::Verdict::Unclear => Err(Refusal::Data { why }),
                },
                answer => answer,
            };
            if let Ok(accepted) = &answer {
                self.newest.note(&streams, &accepted.refused);
            }
            answer
        })
    }

    fn test(&self) -> BoxFuture<'_, Answer> {
        let at_ns = ao_common::clock::now_ns();
        let request = encode::one_line("{job=\"ao-aggregator\"}", at_ns, "ao_sink_test");
        Box::pin(async move { self.client.post(compress(&request)?).await })
    }
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
