//! Tempo, or whatever takes OTLP/gRPC (OTLP specification 1.x): frames' messages merged into one
//! ExportTraceServiceRequest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ao_common::units::{Size, Span};
use ao_proto::v1::Class;
use futures_util::future::BoxFuture;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan};
use serde::Deserialize;
use thiserror::Error;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::answer;
use super::api::{
    Accepted, Answer, Batch, Decoded, DropReason, Lane, Policy, Refusal, RetryKind, Sink, Telemetry,
};
use super::http::{HttpError, parse_url};

/// Where Debian, Alpine and the distroless images keep the certificates that the machine trusts.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// `sinks.tempo` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// http or https, host and port of the OTLP/gRPC receiver.
    pub url: String,
    /// Where it is queried, for `ao-aggregator verify`; by default port 3200 of the same host.
    pub query_url: Option<String>,
    /// Sent as `x-scope-orgid`; none by default.
    pub tenant: Option<String>,
    /// Further gRPC metadata, such as `authorization`.
    pub headers: BTreeMap<String, String>,
    /// From the connection to the answer.
    pub timeout: Span,
    /// Spans of one request.
    pub max_records: usize,
    /// Payload of one request; under gRPC's usual limit of 4 MiB for a message.
    pub max_bytes: Size,
    /// Older spans are dropped{too_old}; none by default, since Tempo takes them.
    pub max_age: Option<Span>,
    /// With https: the certificates to trust, in PEM; by default the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:4317".to_owned(),
            query_url: None,
            tenant: None,
            headers: BTreeMap::new(),
            timeout: Span::secs(30),
            max_records: 5_000,
            max_bytes: Size::mib(1),
            max_age: None,
            ca_file: None,
        }
    }
}

/// Why the sink cannot be made: a mistake in the configuration.
#[derive(Debug, Error)]
pub enum TempoError {
    /// Not an address.
    #[error(transparent)]
    Url(#[from] HttpError),
    /// Not metadata.
    #[error(
        "{name:?} cannot be sent as gRPC metadata: its name or its value has characters that are forbidden there"
    )]
    Header {
        /// As configured.
        name: String,
    },
    /// The certificates cannot be read.
    #[error("cannot read the certificates to trust from {path}: {source}")]
    Roots {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// They, or the address, cannot be used.
    #[error("cannot set up TLS for {url}: {source}")]
    Tls {
        /// As configured.
        url: String,
        /// Why.
        source: tonic::transport::Error,
    },
}

/// The sink.
pub struct Tempo {
    client: TraceServiceClient<Channel>,
    metadata: MetadataMap,
    timeout: Duration,
    policy: Policy,
}

impl Tempo {
    /// Connects to nothing yet. Call it within the runtime.
    ///
    /// # Errors
    /// Where the address, a header or a certificate cannot be used.
    pub fn new(config: &Config) -> Result<Self, TempoError> {
        let uri = parse_url(&config.url)?;
        let secure = uri.scheme_str() == Some("https");
        let mut endpoint = Endpoint::from(uri).connect_timeout(config.timeout.0).tcp_nodelay(true);
        if secure {
            let tls = ClientTlsConfig::new().ca_certificate(roots(config)?);
            endpoint = endpoint
                .tls_config(tls)
                .map_err(|source| TempoError::Tls { url: config.url.clone(), source })?;
        }
        Ok(Self {
            client: TraceServiceClient::new(endpoint.connect_lazy()),
            metadata: metadata(config)?,
            timeout: config.timeout.0,
            policy: Policy {
                max_records: config.max_records.max(1),
                max_bytes: usize::try_from(config.max_bytes.0).unwrap_or(usize::MAX),
                max_age: config.max_age.map(|age| age.0),
                fresh_first: true,
            },
        })
    }

    async fn export(&self, message: ExportTraceServiceRequest) -> Answer {
        let mut request = tonic::Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        // A channel is a handle to the one connection: its clone is cheap.
        let mut client = self.client.clone();
        let response = match tokio::time::timeout(self.timeout, client.export(request)).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Err(answer::from_grpc(&status)),
            Err(_) => {
                let why = format!("no answer within {:?}", self.timeout);
                return Err(Refusal::Retry { kind: RetryKind::Timeout, after: None, why });
            }
        };
        Ok(response.partial_success.map_or_else(Accepted::default, |partial| Accepted {
            refused_unnamed: u64::try_from(partial.rejected_spans).unwrap_or(0),
            why: answer::excerpt(&partial.error_message),
            ..Accepted::default()
        }))
    }
}

fn roots(config: &Config) -> Result<Certificate, TempoError> {
    let path = config.ca_file.clone().unwrap_or_else(|| PathBuf::from(SYSTEM_ROOTS));
    match std::fs::read(&path) {
        Ok(pem) => Ok(Certificate::from_pem(pem)),
        Err(source) => Err(TempoError::Roots { path, source }),
    }
}

fn metadata(config: &Config) -> Result<MetadataMap, TempoError> {
    let mut metadata = MetadataMap::new();
    let tenant = config.tenant.iter().map(|tenant| ("x-scope-orgid", tenant));
    for (name, value) in tenant.chain(config.headers.iter().map(|(name, value)| (name.as_str(), value))) {
        let bad = || TempoError::Header { name: name.to_owned() };
        let key = AsciiMetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes()).map_err(|_| bad())?;
        let mut value = AsciiMetadataValue::try_from(value.as_str()).map_err(|_| bad())?;
        value.set_sensitive(true);
        metadata.insert(key, value);
    }
    Ok(metadata)
}

impl Sink for Tempo {
    fn name(&self) -> &'static str {
        "tempo"
    }

    fn classes(&self) -> &'static [Class] {
        &[Class::Spans]
    }

    fn policy(&self) -> Policy {
        self.policy
    }

    fn check(&self, frame: &Decoded, _lane: Lane) -> Vec<(u32, DropReason)> {
        let Telemetry::Spans(message) = &frame.telemetry else { return Vec::new() };
        let spans = message.resource_spans.iter().flat_map(|r| &r.scope_spans).flat_map(|s| &s.spans);
        let invalid = (0..).zip(spans).filter(|(_, span)| !has_ids(span));
        invalid.map(|(number, _)| (number, DropReason::Invalid)).collect()
    }

    fn send<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Answer> {
        Box::pin(self.export(merge(batch)))
    }

    fn test(&self) -> BoxFuture<'_, Answer> {
        let at = ao_common::clock::now().as_nanos();
        let span = OtlpSpan {
            trace_id: at.to_be_bytes().to_vec(),
            span_id: (at as u64).to_be_bytes().to_vec(),
            name: "ao_sink_test".to_owned(),
            start_time_unix_nano: at as u64,
            end_time_unix_nano: at as u64,
            ..OtlpSpan::default()
        };
        let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
        Box::pin(self.export(ExportTraceServiceRequest { resource_spans }))
    }
}

/// Tempo refuses a whole request for one span with ids of another length (modules/distributor: "trace ids must be 128
/// bit"); zeros are no ids either (opentelemetry-proto trace.proto).
fn has_ids(span: &OtlpSpan) -> bool {
    let is_id = |id: &[u8], len: usize| id.len() == len && id.iter().any(|byte| *byte != 0);
    is_id(&span.trace_id, 16) && is_id(&span.span_id, 8)
}

/// One message of all parts: resources and scopes as they came, without the spans that were not chosen, and without what
/// is then empty.
fn merge(batch: &Batch) -> ExportTraceServiceRequest {
    let mut merged = ExportTraceServiceRequest::default();
    for part in &batch.parts {
        let Telemetry::Spans(message) = &part.frame.telemetry else { continue };
        let mut chosen = part.records.iter().peekable();
        let mut number = 0_u32;
        for resource in &message.resource_spans {
            let mut scope_spans = Vec::new();
            for scope in &resource.scope_spans {
                let numbered = (number..).zip(&scope.spans);
                number += scope.spans.len() as u32;
                let spans: Vec<_> = numbered
                    .filter(|(n, _)| chosen.next_if(|record| *record == n).is_some())
                    .map(|(_, span)| span.clone())
                    .collect();
                if !spans.is_empty() {
                    let (scope, schema_url) = (scope.scope.clone(), scope.schema_url.clone());
                    scope_spans.push(ScopeSpans { scope, spans, schema_url });
                }
            }
            if !scope_spans.is_empty() {
                let (resource, schema_url) = (resource.resource.clone(), resource.schema_url.clone());
                merged.resource_spans.push(ResourceSpans { resource, scope_spans, schema_url });
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests;
