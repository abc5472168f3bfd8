//! The stores in which a canary is looked for, and what each is asked: Prometheus's `/api/v1/query`, Loki's
//! `/loki/api/v1/query_range`, Tempo's `/api/traces/ID`, and the embedded store itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::sink;
use crate::sink::embedded::Store;
use crate::sink::embedded::logs::Query;
use crate::sink::http::{Client, HttpError, Options};

/// For one answer of a store.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read: it shows one record.
const MAX_ANSWER: usize = 256 << 10;
/// How far back a canary may be: longer than any wait for it.
const BACK: Duration = Duration::from_secs(3_600);
/// Clocks differ.
const AHEAD: Duration = Duration::from_secs(300);

/// What a canary is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// A sample.
    Metric,
    /// A log line.
    Line,
    /// A span.
    Span,
}

/// An address to query cannot be used.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// As configured.
    #[error("sinks.{sink}.query_url: {source}")]
    Url {
        /// Which sink.
        sink: &'static str,
        /// What is wrong with it.
        source: HttpError,
    },
}

/// One signal in one store.
#[derive(Clone)]
pub struct Place {
    /// What is looked for.
    pub signal: Signal,
    /// The sink's name.
    pub backend: &'static str,
    /// Where it is asked; empty for the embedded store.
    pub address: String,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Prometheus(Arc<Client>),
    Loki(Arc<Client>),
    Tempo(Arc<Client>),
    Embedded(Store),
    /// The address that is pushed to does not tell the one to query.
    Unknown(String),
}

/// All places of the sinks that are configured. Nothing is connected yet. Call it within the runtime.
///
/// # Errors
/// Where a `query_url` is no address.
pub fn places(config: &sink::Config, store: &Store) -> Result<Vec<Place>, PlaceError> {
    let mut places = Vec::new();
    if let Some(c) = &config.prometheus {
        let known = c.query_url.clone().or_else(|| prometheus_base(&c.url));
        let options = (known, &c.url, &c.tenant, &c.headers);
        places.push(Place::new(Signal::Metric, "prometheus", options, Way::Prometheus)?);
    }
    if let Some(c) = &config.loki {
        let known = c.query_url.clone().or_else(|| stripped(&c.url, "/loki/api/v1/push"));
        let options = (known, &c.url, &c.tenant, &c.headers);
        places.push(Place::new(Signal::Line, "loki", options, Way::Loki)?);
    }
    if let Some(c) = &config.tempo {
        let known = c.query_url.clone().or_else(|| tempo_base(&c.url));
        let options = (known, &c.url, &c.tenant, &c.headers);
        places.push(Place::new(Signal::Span, "tempo", options, Way::Tempo)?);
    }
    for signal in [Signal::Metric, Signal::Line, Signal::Span] {
        let way = Way::Embedded(store.clone());
        places.push(Place { signal, backend: "embedded", address: String::new(), way });
    }
    Ok(places)
}

/// The address to query if it is known, the one that is pushed to, tenant and headers.
type Asked<'a> = (Option<String>, &'a String, &'a Option<String>, &'a BTreeMap<String, String>);

impl Place {
    fn new(
        signal: Signal,
        sink: &'static str,
        (known, pushed, tenant, headers): Asked<'_>,
        way: fn(Arc<Client>) -> Way,
    ) -> Result<Self, PlaceError> {
        let Some(url) = known else {
            let why = format!("set sinks.{sink}.query_url: {pushed} does not tell where to query");
            return Ok(Self { signal, backend: sink, address: String::new(), way: Way::Unknown(why) });
        };
        let options = Options {
            url: url.trim_end_matches('/').to_owned(),
            tenant: tenant.clone(),
            headers: headers.clone(),
            timeout: PATIENCE,
        };
        let client = Client::new(&options, &[("accept", "application/json")])
            .map_err(|source| PlaceError::Url { sink, source })?;
        Ok(Self { signal, backend: sink, address: options.url, way: way(Arc::new(client)) })
    }

    /// Whether the store shows the canary of this token.
    ///
    /// # Errors
    /// A sentence, where it cannot be asked.
    pub async fn find(&self, token: &str, now: Duration) -> Result<bool, String> {
        match &self.way {
            Way::Prometheus(client) => {
                // Over a range: one sample is found wherever in it its time is.
                let seconds = (BACK + AHEAD).as_secs();
                let promql =
                    format!("last_over_time(ao_canary_timestamp_seconds{{token=\"{token}\"}}[{seconds}s])");
                let time = (now + AHEAD).as_secs();
                let path = format!("/api/v1/query?time={time}&query={}", escaped(&promql));
                let answer =
                    ask(client, &path).await?.ok_or("HTTP 404: there is no such API at this address")?;
                Ok(has_samples(&answer))
            }
            Way::Loki(client) => {
                let logql = format!("{{job=\"ao-canary\"}} |= \"{token}\"");
                let (start, end) = ((now.saturating_sub(BACK)).as_nanos(), (now + AHEAD).as_nanos());
                let query = escaped(&logql);
                let path = format!("/loki/api/v1/query_range?start={start}&end={end}&limit=1&query={query}");
                let answer =
                    ask(client, &path).await?.ok_or("HTTP 404: there is no such API at this address")?;
                Ok(has_lines(&answer))
            }
            Way::Tempo(client) => {
                let answer = ask(client, &format!("/api/traces/{token}")).await?;
                Ok(answer.is_some_and(|trace| has_spans(&trace)))
            }
            Way::Embedded(store) => Ok(in_store(store, self.signal, token)),
            Way::Unknown(why) => Err(why.clone()),
        }
    }
}

fn in_store(store: &Store, signal: Signal, token: &str) -> bool {
    match signal {
        Signal::Metric => {
            let book = store.series();
            book.named("ao_canary_timestamp_seconds").any(|track| track.label("token") == token)
        }
        Signal::Line => !store.logs().find("", &Query::new(token, None), 0, 1).is_empty(),
        Signal::Span => {
            let id = u128::from_str_radix(token, 16).unwrap_or_default().to_be_bytes();
            store.traces().get(&id).is_some()
        }
    }
}

/// The answer's JSON; `None` for 404.
async fn ask(client: &Client, path: &str) -> Result<Option<Value>, String> {
    let (status, body) = client.get(path, MAX_ANSWER).await?;
    match status {
        200..=299 => serde_json::from_str(&body)
            .map(Some)
            .map_err(|_| format!("the answer to {path} is no JSON: is this address the store's own?")),
        404 => Ok(None),
        _ => Err(format!("HTTP {status}: {}", body.trim().chars().take(300).collect::<String>())),
    }
}

/// Whether Prometheus's answer shows a series.
pub(super) fn has_samples(answer: &Value) -> bool {
    has_entries(&answer["data"]["result"])
}

/// Whether Loki's answer shows a line.
pub(super) fn has_lines(answer: &Value) -> bool {
    let streams = answer["data"]["result"].as_array();
    streams.is_some_and(|streams| streams.iter().any(|stream| has_entries(&stream["values"])))
}

fn has_entries(value: &Value) -> bool {
    value.as_array().is_some_and(|list| !list.is_empty())
}

/// Tempo has changed how it wraps a trace more than once; spans are called so in all its versions.
pub(super) fn has_spans(value: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            fields.iter().any(|(name, of)| name == "spans" && has_entries(of) || has_spans(of))
        }
        Value::Array(list) => list.iter().any(has_spans),
        _ => false,
    }
}

/// Prometheus and its like answer queries beside remote write; Mimir below `/prometheus`.
fn prometheus_base(url: &str) -> Option<String> {
    stripped(url, "/api/v1/write").or_else(|| stripped(url, "/api/v1/push").map(|base| base + "/prometheus"))
}

/// Tempo queries at port 3200 of the host that takes OTLP.
fn tempo_base(url: &str) -> Option<String> {
    let uri = sink::http::parse_url(url).ok()?;
    Some(format!("{}://{}:3200", uri.scheme_str()?, uri.host()?))
}

fn stripped(url: &str, path: &str) -> Option<String> {
    url.trim_end_matches('/').strip_suffix(path).map(str::to_owned)
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let one = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: addresses that are pushed to, of several products.
    /// Guarantees: the address to query follows where it can, and is asked for where it cannot.
    #[test]
    fn where_to_query() {
        let cases = [
            ("http://p:9090/api/v1/write", Some("http://p:9090")),
            ("https://h/base/api/v1/write/", Some("https://h/base")),
            ("http://mimir:8080/api/v1/push", Some("http://mimir:8080/prometheus")),
            ("http://thanos:10908/api/v1/receive", None),
        ];
        for (pushed, expect) in cases {
            assert_eq!(prometheus_base(pushed).as_deref(), expect, "{pushed}");
        }
        assert_eq!(tempo_base("http://tempo:4317").as_deref(), Some("http://tempo:3200"));
        assert_eq!(
            stripped("http://l:3100/loki/api/v1/push", "/loki/api/v1/push").as_deref(),
            Some("http://l:3100")
        );
    }

    /// Scenario: traces as Tempo 1, 2 and 3 wrap them, and answers without spans.
    /// Guarantees: a span is seen in each, and only where one is.
    #[test]
    fn spans_in_any_wrap() {
        let of = |text: &str| has_spans(&serde_json::from_str(text).expect("JSON"));
        assert!(of(r#"{"batches":[{"scopeSpans":[{"spans":[{"traceId":"AA=="}]}]}]}"#));
        assert!(of(r#"{"trace":{"resourceSpans":[{"scopeSpans":[{"spans":[{}]}]}]}}"#));
        assert!(of(r#"{"batches":[{"instrumentationLibrarySpans":[{"spans":[{}]}]}]}"#));
        assert!(!of(r#"{"batches":[]}"#) && !of(r#"{"trace":{},"metrics":{"spans":[]}}"#));
    }
}
