//! Traces of our own: spans put together, and handed on as those of any application are.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind};
use prost::Message;

use crate::context::Node;
use crate::event::SpanChunk;

/// A trace under construction.
#[derive(Debug)]
pub(crate) struct OwnTrace {
    id: u128,
    spans: Vec<Span>,
}

/// A span of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpanId(u64);

impl OwnTrace {
    /// An empty one. Ids are never 0 (opentelemetry-proto, trace.proto).
    pub(crate) fn new(id: u128) -> Self {
        Self { id: id.max(1), spans: Vec::new() }
    }

    /// Adds a span; without a parent it is the root. Times in nanoseconds since 1970.
    pub(crate) fn add(
        &mut self,
        parent: Option<SpanId>,
        name: impl Into<String>,
        (start_ns, end_ns): (i64, i64),
        attributes: Vec<KeyValue>,
    ) -> SpanId {
        let id = rand::random::<u64>().max(1);
        self.spans.push(Span {
            trace_id: self.id.to_be_bytes().to_vec(),
            span_id: id.to_be_bytes().to_vec(),
            parent_span_id: parent.map(|SpanId(id)| id.to_be_bytes().to_vec()).unwrap_or_default(),
            name: name.into(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: u64::try_from(start_ns).unwrap_or(0),
            end_time_unix_nano: u64::try_from(end_ns.max(start_ns)).unwrap_or(0),
            attributes,
            ..Span::default()
        });
        SpanId(id)
    }

    /// The whole trace; `service` is whose it is.
    pub(crate) fn finish(self, source: &'static str, service: &str, node: &Node) -> SpanChunk {
        let start = self.spans.iter().map(|span| span.start_time_unix_nano).min().unwrap_or(0);
        let end = self.spans.iter().map(|span| span.end_time_unix_nano).max().unwrap_or(0);
        let resource = Resource {
            attributes: vec![
                text("service.name", service),
                text("k8s.node.name", &node.name),
                text("k8s.cluster.name", &node.cluster),
            ],
            ..Resource::default()
        };
        let count = self.spans.len() as u64;
        let scope_spans = vec![ScopeSpans { spans: self.spans, ..ScopeSpans::default() }];
        let of_resource = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
        SpanChunk {
            source,
            spans: count,
            times_ns: (start as i64, end as i64),
            request: ExportTraceServiceRequest { resource_spans: vec![of_resource] }.encode_to_vec().into(),
            stored: None,
        }
    }
}

/// An attribute.
pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

/// An attribute.
pub(crate) fn whole(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

/// An attribute.
pub(crate) fn number(key: &str, value: f64) -> KeyValue {
    attribute(key, Value::DoubleValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
