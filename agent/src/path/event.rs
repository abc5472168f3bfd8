//! A change of path as a log event with what was before and after, and as a trace with a span for each hop.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ao_common::clock;
use ao_proto::model::Labels;
use serde_json::json;

use super::export::SOURCE;
use super::route::Change;
use super::trace::Trace;
use crate::context::Node;
use crate::event::{LogChunk, SpanChunk};
use crate::spans::{OwnTrace, number, text, whole};

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
    let labels = Labels::from_pairs([("job", JOB), ("target", &trace.spec.host)]);
    LogChunk::one(SOURCE, labels, text, clock::now_ns())
}

/// The round that completed the change: a span for it, and below it one for each hop, as long as its round trip.
pub(super) fn spans(trace: &Trace, change: &Change, node: &Node, trace_id: u128) -> SpanChunk {
    let begin = trace.began_ns;
    let lasting = |ns: f64| (begin, begin.saturating_add(ns as i64));
    let mut own = OwnTrace::new(trace_id);
    let root = own.add(
        None,
        format!("path {}", change.kind),
        lasting(trace.duration.as_nanos() as f64),
        vec![
            text("path.target", &trace.spec.host),
            text("path.change", change.kind),
            text("path.before", &hops(&change.before)),
            text("path.after", &hops(&change.after)),
        ],
    );
    for (at, hop) in trace.hops.iter().enumerate() {
        let figures = hop.figures();
        let mut attributes = vec![
            whole("path.ttl", at as i64 + 1),
            text("network.peer.address", &shown(hop.address)),
            number("path.loss_percent", figures.loss),
            number("path.rtt_ms", figures.last),
        ];
        if let Some((_, before, after)) = change.sets.iter().find(|(ttl, ..)| *ttl == at + 1) {
            let listed =
                |set: &BTreeSet<IpAddr>| set.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ");
            attributes.extend([text("path.before", &listed(before)), text("path.after", &listed(after))]);
        }
        let labels: Vec<String> = hop.labels.iter().map(|label| label.label.to_string()).collect();
        if !labels.is_empty() {
            attributes.push(text("path.mpls", &labels.join(" ")));
        }
        let name = format!("hop {} {}", at + 1, shown(hop.address));
        own.add(Some(root), name, lasting(figures.last * 1e6), attributes);
    }
    own.finish(SOURCE, JOB, node)
}

fn shown(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "???".to_owned(), |address| address.to_string())
}

fn hops(hops: &[Option<IpAddr>]) -> String {
    hops.iter().map(|hop| shown(*hop)).collect::<Vec<_>>().join(" ")
}
