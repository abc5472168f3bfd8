use std::sync::Arc;

use super::*;
use crate::sink::api::Part;

/// A message of one resource with scopes of these numbers of spans, named by their place.
fn message(scopes: &[usize]) -> ExportTraceServiceRequest {
    let mut place = 0_u8;
    let mut span = || {
        place += 1;
        let (trace_id, span_id) = (vec![place; 16], vec![place; 8]);
        OtlpSpan { name: format!("s{}", place - 1), trace_id, span_id, ..OtlpSpan::default() }
    };
    let scope_spans: Vec<_> = scopes
        .iter()
        .map(|spans| ScopeSpans { spans: (0..*spans).map(|_| span()).collect(), ..ScopeSpans::default() })
        .collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
    }
}

fn part(message: ExportTraceServiceRequest, records: &[u32]) -> Part {
    let telemetry = Telemetry::Spans(message);
    let frame = Arc::new(Decoded { header: <_>::default(), end: <_>::default(), telemetry });
    Part { frame, records: records.to_vec() }
}

/// Scenario: two frames, of which some spans, a whole scope and a whole resource are left out.
/// Guarantees: exactly the chosen spans remain, in order; nothing empty is sent; a whole frame passes unchanged.
#[test]
fn only_chosen_spans_are_merged() {
    let parts = vec![
        part(message(&[2, 1, 3]), &[1, 4, 5]),
        part(message(&[2]), &[]),
        part(message(&[1, 1]), &[0, 1]),
    ];
    let merged = merge(&Batch { parts });
    let names: Vec<Vec<Vec<&str>>> = merged
        .resource_spans
        .iter()
        .map(|r| r.scope_spans.iter().map(|s| s.spans.iter().map(|s| s.name.as_str()).collect()).collect())
        .collect();
    assert_eq!(names, [vec![vec!["s1"], vec!["s4", "s5"]], vec![vec!["s0"], vec!["s1"]]]);
    assert_eq!(merge(&Batch { parts: vec![part(message(&[2, 1]), &[0, 1, 2])] }), message(&[2, 1]));
}

/// Scenario: ids that are too short, empty or zero.
/// Guarantees: those spans are named before Tempo refuses the others with them.
#[tokio::test]
async fn spans_without_ids_are_named() {
    let mut bad = message(&[1, 3]);
    let spans = &mut bad.resource_spans[0].scope_spans[1].spans;
    spans[0].trace_id.truncate(8);
    spans[2].span_id = vec![0; 8];
    let sink = Tempo::new(&Config::default()).expect("a client");
    assert_eq!(sink.check(&part(bad, &[]).frame), [(1, DropReason::Invalid), (3, DropReason::Invalid)]);
}

/// Scenario: addresses, headers and certificates with mistakes in them.
/// Guarantees: each is an error that names what is wrong, before anything is connected.
#[tokio::test]
async fn mistakes_in_the_configuration() {
    let error = |config: Config| Tempo::new(&config).err().map(|e| e.to_string()).unwrap_or_default();
    let url = Config { url: "tempo:4317".to_owned(), ..Config::default() };
    assert!(error(url).contains("\"tempo:4317\" is not an address"));
    let headers = BTreeMap::from([("bad name".to_owned(), "x".to_owned())]);
    assert!(error(Config { headers, ..Config::default() }).contains("\"bad name\" cannot be sent"));
    let ca_file = Some(PathBuf::from("/nowhere/ca.pem"));
    let roots = Config { url: "https://tempo:4317".to_owned(), ca_file, ..Config::default() };
    assert!(error(roots).contains("/nowhere/ca.pem"));
}
