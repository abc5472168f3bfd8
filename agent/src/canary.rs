//! The canary: one sample, one log line and one span that carry a token, handed on like everything else, so that
//! whoever asked can follow them through spool, journal and sinks to each store.
//!
//! | signal | what carries the token |
//! |---|---|
//! | metric | `ao_canary_timestamp_seconds{token="..."}`, job `ao-canary` |
//! | line | its text, in the stream `job="ao-canary"` |
//! | span | the trace's id, service `ao-canary`, attribute `token` |

use std::convert::Infallible;
use std::time::Duration;

use ao_proto::model::{Labels, MetricType};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::context::{Context, Node};
use crate::event::{Event, LogChunk, MetricSet, SpanChunk};
use crate::spans::{self, OwnTrace};

/// The ledger's source.
const SOURCE: &str = "canary";
/// The job of the sample and of the line, and the span's service.
const JOB: &str = "ao-canary";
/// Tokens on their way from the uplink; more at a time nobody asks for.
pub const TOKENS: usize = 8;

/// Answers each token with the three of them, until the shutdown.
///
/// # Errors
/// Never: it has the form of the other sources.
pub async fn run(ctx: Context, mut tokens: Receiver<String>) -> Result<(), Infallible> {
    loop {
        let token = tokio::select! {
            () = ctx.shutdown.cancelled() => return Ok(()),
            token = tokens.recv() => match token {
                Ok(token) => token,
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "canaries were asked for faster than they can be let out");
                    continue;
                }
                // The uplink has ended; the shutdown follows.
                Err(RecvError::Closed) => {
                    ctx.shutdown.cancelled().await;
                    return Ok(());
                }
            },
        };
        let Some(trace) = trace_id(&token) else {
            tracing::warn!("a canary's token is not 32 hex digits; it is left out");
            continue;
        };
        let now = ao_common::clock::now();
        tracing::info!(token, "letting out a canary");
        let events = [
            Event::Metrics(sample(&token, now)),
            Event::Logs(line(&token, now)),
            Event::Spans(span(&token, trace, now, &ctx.node)),
        ];
        for event in events {
            if ctx.events.send(event).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// The token's 16 bytes; `None` where it is anything but 32 hex digits, or zero, which is no trace's id.
fn trace_id(token: &str) -> Option<[u8; 16]> {
    let digits = token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = digits.then(|| u128::from_str_radix(token, 16).ok()).flatten()?;
    (id != 0).then(|| id.to_be_bytes())
}

/// All canaries are sets of one group, so that the next one ends the series of the one before.
fn sample(token: &str, now: Duration) -> MetricSet {
    let mut set = MetricSet::new(SOURCE, JOB, now.as_millis() as i64);
    let help = "When this canary was let out at the agent";
    let family = set.family("ao_canary_timestamp_seconds", MetricType::Gauge, help);
    set.push(family, &[("token", token)], now.as_millis() as f64 / 1_000.0);
    set
}

fn line(token: &str, now: Duration) -> LogChunk {
    let labels = Labels::from_pairs([("job", JOB)]);
    LogChunk::one(SOURCE, labels, format!("canary token={token}"), now.as_nanos() as i64)
}

fn span(token: &str, trace_id: [u8; 16], now: Duration, node: &Node) -> SpanChunk {
    let at_ns = now.as_nanos() as i64;
    let mut trace = OwnTrace::new(u128::from_be_bytes(trace_id));
    trace.add(None, "canary", (at_ns, at_ns + 1_000_000), vec![spans::text("token", token)]);
    trace.finish(SOURCE, JOB, node)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::{broadcast, mpsc, watch};
    use tokio_util::sync::CancellationToken;

    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message;

    use super::*;

    const TOKEN: &str = "00f0a1b2c3d4e5f60718293a4b5c6d7e";

    /// Scenario: tokens that are none come, then a good one.
    /// Guarantees: only the good one is let out: as a sample, a line and a span that carry it.
    #[tokio::test]
    async fn one_of_each_signal() {
        let (tokens, arriving) = broadcast::channel(TOKENS);
        let (events, mut emitted) = mpsc::channel(8);
        let shutdown = CancellationToken::new();
        let context = Context {
            events,
            directives: watch::channel(Arc::default()).1,
            node: Arc::new(Node { name: "n".to_owned(), ..Node::default() }),
            shutdown: shutdown.clone(),
        };
        let source = tokio::spawn(run(context, arriving));
        for token in ["", "zz", &"0".repeat(32), "{__name__=\"x\"}", TOKEN] {
            tokens.send(token.to_owned()).unwrap();
        }
        let Some(Event::Metrics(set)) = emitted.recv().await else { panic!("no sample") };
        assert!(set.exposition().contains(&format!("ao_canary_timestamp_seconds{{token=\"{TOKEN}\"}}")));
        let Some(Event::Logs(chunk)) = emitted.recv().await else { panic!("no line") };
        assert_eq!((chunk.text, chunk.lines.len()), (format!("canary token={TOKEN}"), 1));
        let Some(Event::Spans(chunk)) = emitted.recv().await else { panic!("no span") };
        let request = ExportTraceServiceRequest::decode(chunk.request).unwrap();
        let span = &request.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!(span.trace_id, trace_id(TOKEN).unwrap());
        assert_eq!(span.span_id.len(), 8);
        shutdown.cancel();
        source.await.unwrap().unwrap();
        assert!(emitted.recv().await.is_none());
    }
}
