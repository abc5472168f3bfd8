//! Log lines and traces, hostile lines among them.

use ao_proto::logs::LogFrame;
use ao_proto::model::Labels;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use rand::Rng;
use rand::rngs::StdRng;

use super::{Line, log_frame};

/// A line that would run as a script, were it not shown as text.
pub(super) const HOSTILE: &str =
    "GET /?q=<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> 404";

/// Lines of five seconds.
pub(super) fn lines(at_ms: i64, node: &str, random: &mut StdRng) -> LogFrame {
    let mut lines = Vec::new();
    for _ in 0..random.random_range(0..4) {
        let at_ns = at_ms * 1_000_000 - random.random_range(0..4_999_000_000_i64);
        let (n, ms) = (random.random_range(1..9_999), random.random_range(1..900));
        let (file, text) = match random.random_range(0..24) {
            0 => ("nginx/access.log", HOSTILE.to_owned()),
            1 => {
                ("checkout.log", format!("level=error msg=\"payment refused\" order={n} code=card_declined"))
            }
            2 => ("kern.log", "kernel: [88123.55] nvme0n1: I/O 214 QID 3 timeout, aborting".to_owned()),
            3 => ("checkout.log", format!("level=warn msg=\"slow query\" ms={ms} table=orders")),
            4..8 => ("syslog", format!("systemd[1]: Started Session {n} of User deploy.")),
            8..10 => ("checkout.log", format!("level=debug msg=\"cache miss\" key=cart:{n}")),
            10..16 => ("checkout.log", format!("level=info msg=\"order placed\" order={n} ms={ms}")),
            _ => (
                "nginx/access.log",
                format!("198.51.100.{} - - \"GET /api/items/{n} HTTP/1.1\" 200 {ms}", n % 250),
            ),
        };
        let path = format!("/var/log/{file}");
        let labels = [("node", node), ("job", "varlogs"), ("filename", &path)];
        lines.push(Line { labels: Labels::from_pairs(labels), at_ns, text });
    }
    lines.sort_by_key(|line| line.at_ns);
    log_frame(&lines)
}

/// Now and then a trace.
pub(super) fn spans(at_ms: i64, node: &str, random: &mut StdRng) -> Option<ExportTraceServiceRequest> {
    if random.random_bool(0.7) {
        return None;
    }
    let trace_id: [u8; 16] = random.random();
    let whole = random.random_range(8_000_000..240_000_000_u64);
    let start = at_ms as u64 * 1_000_000;
    let failed = random.random_bool(0.1);
    let plan = [
        ("frontend", "GET /checkout", 0_u64, 0.0, 1.0),
        ("checkout", "PlaceOrder", 1, 0.04, 0.9),
        ("cart", "GetCart", 2, 0.07, 0.12),
        ("payment", "Charge", 2, 0.24, 0.41),
        ("payment", "POST https bank", 4, 0.27, 0.35),
        ("postgres", "INSERT orders", 2, 0.7, 0.2),
    ];
    let resource_spans = plan.into_iter().zip(1_u64..).map(|((service, name, parent, from, share), id)| {
        let begin = start + (whole as f64 * from) as u64;
        let code = if failed && service == "payment" { 2 } else { 0 };
        let span = Span {
            trace_id: trace_id.to_vec(),
            span_id: id.to_be_bytes().to_vec(),
            parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
            name: name.to_owned(),
            start_time_unix_nano: begin,
            end_time_unix_nano: begin + (whole as f64 * share) as u64,
            status: Some(Status { code, ..Status::default() }),
            ..Span::default()
        };
        let attributes = vec![text("service.name", service), text("k8s.node.name", node)];
        ResourceSpans {
            resource: Some(Resource { attributes, ..Resource::default() }),
            scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }
    });
    Some(ExportTraceServiceRequest { resource_spans: resource_spans.collect() })
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}
