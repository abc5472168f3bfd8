//! A change of path as a log event with what was before and after, and as a trace with a span for each hop.

use std::net::IpAddr;

use ao_common::clock;
use ao_proto::model::Labels;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind};
use prost::Message;
use serde_json::json;

use super::export::SOURCE;
use super::route::Change;
use super::trace::Trace;
use crate::context::Node;
use crate::event::{Line, LogChunk, SpanChunk};

/// The stream's job and the spans' service.
const JOB: &str = "netpath";

/// The event as one line of JSON; `trace_id` names the trace that [`spans`] gives.
pub(super) fn log(trace: &Trace, change: &Change, trace_id: u128) -> LogChunk {
    let sets =
        change.sets.iter().map(|(ttl, before, after)| json!({"ttl": ttl, "before": before, "after": after}));
    let text = json!({
        "event": "path_change",
        "kind": change.kind,
        "target": trace.spec.host,
        "address": trace.address,
        "before": change.before,
        "after": change.after,
        "sets": sets.collect::<Vec<_>>(),
        "trace_id": format!("{trace_id:032x}"),
    })
    .to_string();
    let at_ns = clock::now_ns();
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    LogChunk {
        source: SOURCE,
        labels: Labels::from_pairs([("job", JOB), ("target", &trace.spec.host)]),
        pod: None,
        file: None,
        bytes: text.len() as u64,
        lines: vec![Line { at_ns, len, ..Line::default() }],
        text,
        dropped: Vec::new(),
    }
}

/// The round that completed the change: a span for it, and below it one for each hop, as long as its round trip.
pub(super) fn spans(trace: &Trace, change: &Change, node: &Node, trace_id: u128) -> SpanChunk {
    let begin = u64::try_from(trace.began_ns).unwrap_or_default();
    let end = begin + u64::try_from(trace.duration.as_nanos()).unwrap_or_default();
    let root = rand::random::<u64>().max(1);
    let span = |id: u64, parent: Option<u64>, name: String, end: u64, attributes| Span {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
        name,
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: begin,
        end_time_unix_nano: end,
        attributes,
        ..Span::default()
    };
    let mut spans = vec![span(
        root,
        None,
        format!("path {}", change.kind),
        end,
        vec![
            text("path.target", trace.spec.host.clone()),
            text("path.change", change.kind.to_owned()),
            text("path.before", hops(&change.before)),
            text("path.after", hops(&change.after)),
        ],
    )];
    for (at, hop) in trace.hops.iter().enumerate() {
        let figures = hop.figures();
        let took = (figures.last * 1e6) as u64;
        let mut attributes = vec![
            whole("path.ttl", at as i64 + 1),
            text("network.peer.address", shown(hop.address)),
            number("path.loss_percent", figures.loss),
            number("path.rtt_ms", figures.last),
        ];
        if let Some((_, before, after)) = change.sets.iter().find(|(ttl, ..)| *ttl == at + 1) {
            let listed = |set: &std::collections::BTreeSet<IpAddr>| {
                set.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
            };
            attributes.extend([text("path.before", listed(before)), text("path.after", listed(after))]);
        }
        let labels: Vec<String> = hop.labels.iter().map(|label| label.label.to_string()).collect();
        if !labels.is_empty() {
            attributes.push(text("path.mpls", labels.join(" ")));
        }
        let name = format!("hop {} {}", at + 1, shown(hop.address));
        spans.push(span(rand::random::<u64>().max(1), Some(root), name, begin + took, attributes));
    }
    let count = spans.len() as u64;
    let resource = Resource {
        attributes: vec![
            text("service.name", JOB.to_owned()),
            text("k8s.node.name", node.name.clone()),
            text("k8s.cluster.name", node.cluster.clone()),
        ],
        ..Resource::default()
    };
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    let request = ExportTraceServiceRequest { resource_spans }.encode_to_vec().into();
    SpanChunk {
        source: SOURCE,
        spans: count,
        times_ns: (trace.began_ns, i64::try_from(end).unwrap_or(i64::MAX)),
        request,
        stored: None,
    }
}

fn shown(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "???".to_owned(), |address| address.to_string())
}

fn hops(hops: &[Option<IpAddr>]) -> String {
    hops.iter().map(|hop| shown(*hop)).collect::<Vec<_>>().join(" ")
}

fn text(key: &str, value: String) -> KeyValue {
    attribute(key, Value::StringValue(value))
}

fn whole(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn number(key: &str, value: f64) -> KeyValue {
    attribute(key, Value::DoubleValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
