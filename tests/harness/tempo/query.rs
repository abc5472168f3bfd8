//! Tempo's `/api/traces/ID` over what was accepted, in the shape of its JSON (the protobuf `Trace`, bytes in base64).

use axum::http::StatusCode;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde_json::{Value, json};

/// The trace's spans, a batch each; 404 where there are none.
pub(super) fn answer(accepted: &[ExportTraceServiceRequest], id: &str) -> (StatusCode, String) {
    let resources = accepted.iter().flat_map(|request| &request.resource_spans);
    let spans = resources.flat_map(|r| &r.scope_spans).flat_map(|scope| &scope.spans);
    let batch = |span: &opentelemetry_proto::tonic::trace::v1::Span| {
        let span = json!({
            "traceId": base64(&span.trace_id),
            "spanId": base64(&span.span_id),
            "name": span.name,
            "startTimeUnixNano": span.start_time_unix_nano.to_string(),
            "endTimeUnixNano": span.end_time_unix_nano.to_string(),
        });
        json!({ "resource": {}, "scopeSpans": [{ "scope": {}, "spans": [span] }] })
    };
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let batches: Vec<Value> = spans.filter(|span| hex(&span.trace_id) == id).map(batch).collect();
    if batches.is_empty() {
        return (StatusCode::NOT_FOUND, "trace not found".to_owned());
    }
    (StatusCode::OK, json!({ "batches": batches }).to_string())
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]);
            text.push(if place <= three.len() { letter } else { '=' });
        }
    }
    text
}
