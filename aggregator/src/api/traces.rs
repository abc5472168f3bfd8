//! `/api/v1/traces`: the newest traces, or the spans of one.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;

use super::params::{ApiError, Params};
use crate::sink::embedded::Store;
use crate::sink::embedded::traces::{Fill, Trace};

/// Newest first.
#[derive(Debug, Serialize)]
pub struct Traces {
    /// How full the room is.
    pub fill: Fill,
    /// One line per trace.
    pub traces: Vec<Row>,
    /// With `id`: its spans in order of their start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<SpanRow>,
}

/// A trace at a glance.
#[derive(Debug, Serialize)]
pub struct Row {
    /// 32 hex digits.
    pub id: String,
    /// Root span.
    pub name: Arc<str>,
    /// The root's service.
    pub service: Arc<str>,
    /// The agent's node.
    pub node: Arc<str>,
    /// Milliseconds.
    pub start_ms: f64,
    /// Milliseconds.
    pub duration_ms: f64,
    /// Spans that have come.
    pub spans: u64,
    /// Of these with an error.
    pub failed: u64,
}

/// A span.
#[derive(Debug, Serialize)]
pub struct SpanRow {
    /// Operation.
    pub name: Arc<str>,
    /// Service.
    pub service: Arc<str>,
    /// Steps below the root, as far as its parents have come.
    pub depth: usize,
    /// Milliseconds after the begin of the trace.
    pub offset_ms: f64,
    /// Milliseconds.
    pub duration_ms: f64,
    /// It ended with an error.
    pub failed: bool,
}

/// Answers.
///
/// # Errors
/// Where a parameter is out of bounds or the trace is not known (any more).
pub fn of(store: &Store, params: &Params) -> Result<Traces, ApiError> {
    let limit = params.number("limit", 100, (1, 500))? as usize;
    let (node, words) = (params.text("node"), params.text("q").to_lowercase());
    let ring = store.traces();
    let fill = ring.fill();
    if let id @ [_, ..] = params.text("id").as_bytes() {
        let trace = parse_id(id).and_then(|id| ring.get(&id));
        let trace = trace.ok_or_else(|| ApiError::Missing("no such trace is kept (any more)".to_owned()))?;
        return Ok(Traces { fill, traces: vec![row(trace)], spans: spans(trace) });
    }
    let wanted = |row: &Row| {
        (node.is_empty() || *row.node == *node)
            && (words.is_empty() || format!("{} {}", row.service, row.name).to_lowercase().contains(&words))
    };
    Ok(Traces {
        fill,
        traces: ring.newest().map(row).filter(wanted).take(limit).collect(),
        spans: Vec::new(),
    })
}

fn row(trace: &Trace) -> Row {
    let (name, service) =
        trace.root().map_or_else(|| ("".into(), "".into()), |root| (root.name.clone(), root.service.clone()));
    Row {
        id: trace.id.iter().fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ok = write!(hex, "{byte:02x}");
            hex
        }),
        name,
        service,
        node: trace.node.clone(),
        start_ms: ms(trace.start_ns),
        duration_ms: ms(trace.end_ns.saturating_sub(trace.start_ns)),
        spans: trace.count,
        failed: trace.failed,
    }
}

/// Depth first, children in order of their start. A parent that has not come, or a ring of parents, counts as root.
fn spans(trace: &Trace) -> Vec<SpanRow> {
    let mut order: Vec<usize> = (0..trace.spans.len()).collect();
    order.sort_by_key(|&i| trace.spans[i].start_ns);
    let parent_of =
        |i: usize| order.iter().copied().find(|&p| p != i && trace.spans[p].id == trace.spans[i].parent);
    let roots: Vec<usize> = order.iter().copied().filter(|&i| parent_of(i).is_none()).collect();
    let mut done = vec![false; trace.spans.len()];
    let mut rows = Vec::new();
    // Behind the roots come all spans again: what is not done by then hangs in a ring.
    for start in roots.into_iter().chain(order.iter().copied()) {
        let mut stack = vec![(start, 0)];
        while let Some((i, depth)) = stack.pop() {
            if std::mem::replace(&mut done[i], true) {
                continue;
            }
            let span = &trace.spans[i];
            rows.push(SpanRow {
                name: span.name.clone(),
                service: span.service.clone(),
                depth,
                offset_ms: ms(span.start_ns.saturating_sub(trace.start_ns)),
                duration_ms: ms(span.end_ns - span.start_ns),
                failed: span.failed,
            });
            let children = order.iter().rev().filter(|&&c| c != i && trace.spans[c].parent == span.id);
            stack.extend(children.map(|&c| (c, depth + 1)));
        }
    }
    rows
}

fn ms(ns: u64) -> f64 {
    (ns / 1_000) as f64 / 1_000.0
}

fn parse_id(hex: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(hex).ok().filter(|text| text.len() == 32 && text.is_ascii())?;
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}
