//! Traces: the newest ones with their first spans, in a bounded number of bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as OtlpSpan;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

/// Spans of a trace that are kept one by one; beyond these they are only counted.
const MAX_SPANS: usize = 200;
/// A longer name is cut.
const MAX_NAME_BYTES: usize = 200;
const TRACE_BYTES: usize = 240;
const SPAN_BYTES: usize = 120;

/// One span, as much of it as a list and a waterfall show.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its id.
    pub id: u64,
    /// Its parent's; 0 for a root.
    pub parent: u64,
    /// Operation.
    pub name: Arc<str>,
    /// `service.name` of its resource.
    pub service: Arc<str>,
    /// Nanoseconds.
    pub start_ns: u64,
    /// Nanoseconds.
    pub end_ns: u64,
    /// Its status is an error.
    pub failed: bool,
}

/// One trace, as far as its spans have come.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its id.
    pub id: [u8; 16],
    /// The node whose agent took the first span.
    pub node: Arc<str>,
    /// Earliest start.
    pub start_ns: u64,
    /// Latest end.
    pub end_ns: u64,
    /// Spans that have come, kept or not.
    pub count: u64,
    /// Spans with an error status.
    pub failed: u64,
    /// The first spans in order of arrival.
    pub spans: Vec<Span>,
    bytes: usize,
}

/// The newest traces.
#[derive(Debug)]
pub struct Ring {
    traces: HashMap<[u8; 16], Trace>,
    order: VecDeque<[u8; 16]>,
    max_bytes: usize,
    bytes: usize,
    arrived: u64,
}

/// How full the room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fill {
    /// Traces kept.
    pub traces: usize,
    /// Bytes that they take, by our own count.
    pub bytes: usize,
    /// The bound.
    pub max_bytes: usize,
    /// Spans that have come since the start.
    pub arrived: u64,
}

impl Trace {
    /// The span without a parent, else the earliest one.
    pub fn root(&self) -> Option<&Span> {
        let earliest = || self.spans.iter().min_by_key(|span| span.start_ns);
        self.spans.iter().find(|span| span.parent == 0).or_else(earliest)
    }
}

impl Ring {
    /// An empty ring of at most so many bytes.
    pub fn new(max_bytes: usize) -> Self {
        Self { traces: HashMap::new(), order: VecDeque::new(), max_bytes, bytes: 0, arrived: 0 }
    }

    /// How full it is.
    pub fn fill(&self) -> Fill {
        Fill {
            traces: self.traces.len(),
            bytes: self.bytes,
            max_bytes: self.max_bytes,
            arrived: self.arrived,
        }
    }

    /// Newest first, by arrival of their first span.
    pub fn newest(&self) -> impl Iterator<Item = &Trace> {
        self.order.iter().rev().filter_map(|id| self.traces.get(id))
    }

    /// A trace by its id.
    pub fn get(&self, id: &[u8; 16]) -> Option<&Trace> {
        self.traces.get(id)
    }

    /// Takes in the spans of a frame that have these numbers; those without a valid trace id (16 bytes, W3C Trace
    /// Context) are passed over.
    pub(super) fn absorb(&mut self, request: &ExportTraceServiceRequest, records: &[u32], node: &Arc<str>) {
        let mut records = records.iter().copied().peekable();
        let mut number = 0;
        for resource in &request.resource_spans {
            let attributes = resource.resource.as_ref().map_or(&[][..], |r| &r.attributes);
            let service = text_attribute(attributes, "service.name").unwrap_or("unknown");
            let service: Arc<str> = cut(service).into();
            for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                number += 1;
                if records.next_if_eq(&(number - 1)).is_none() {
                    continue;
                }
                self.arrived += 1;
                if let Ok(id) = <[u8; 16]>::try_from(&span.trace_id[..]) {
                    self.put(id, span, &service, node);
                }
            }
        }
    }

    fn put(&mut self, id: [u8; 16], otlp: &OtlpSpan, service: &Arc<str>, node: &Arc<str>) {
        let (traces, order) = (&mut self.traces, &mut self.order);
        let trace = traces.entry(id).or_insert_with(|| {
            order.push_back(id);
            self.bytes += TRACE_BYTES;
            Trace::new(id, node.clone())
        });
        let number = |id: &[u8]| <[u8; 8]>::try_from(id).map_or(0, u64::from_be_bytes);
        let span_id = number(&otlp.span_id);
        if trace.spans.iter().any(|span| span.id == span_id) {
            // Sent again after a crash.
            return;
        }
        let failed = otlp.status.as_ref().is_some_and(|s| s.code == StatusCode::Error as i32);
        let end_ns = otlp.end_time_unix_nano.max(otlp.start_time_unix_nano);
        trace.count += 1;
        trace.failed += u64::from(failed);
        trace.start_ns = trace.start_ns.min(otlp.start_time_unix_nano);
        trace.end_ns = trace.end_ns.max(end_ns);
        if trace.spans.len() < MAX_SPANS {
            let name: Arc<str> = cut(&otlp.name).into();
            let cost = SPAN_BYTES + name.len();
            trace.bytes += cost;
            self.bytes += cost;
            trace.spans.push(Span {
                id: span_id,
                parent: number(&otlp.parent_span_id),
                name,
                service: service.clone(),
                start_ns: otlp.start_time_unix_nano,
                end_ns,
                failed,
            });
        }
        while self.bytes > self.max_bytes {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(gone) = self.traces.remove(&oldest) {
                self.bytes -= gone.bytes;
            }
        }
    }
}

impl Trace {
    fn new(id: [u8; 16], node: Arc<str>) -> Self {
        let spans = Vec::new();
        Self { id, node, start_ns: u64::MAX, end_ns: 0, count: 0, failed: 0, spans, bytes: TRACE_BYTES }
    }
}

/// A string attribute by its name.
pub(super) fn text_attribute<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match &found.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text),
        _ => None,
    }
}

fn cut(text: &str) -> &str {
    let end = (0..=MAX_NAME_BYTES.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    text.split_at(end).0
}
