//! Cuts a request that is too large for one frame into several, and finds out what a frame's header must say: how many
//! spans, from when to when.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message as _;

/// Tag and length of a message within another: one byte and at most five.
const PREFIX_BYTES: usize = 6;

/// A request of its own.
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    /// Encoded `ExportTraceServiceRequest`.
    pub(super) request: Vec<u8>,
    pub(super) spans: u64,
    /// Oldest and newest start, nanoseconds.
    pub(super) times_ns: (i64, i64),
}

/// All parts of a request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Split {
    /// None is larger than the limit; none is without spans.
    pub(super) parts: Vec<Part>,
    /// Spans that are too large by themselves.
    pub(super) refused: u64,
}

/// `now_ns` stands for spans that do not say when they began.
pub(super) fn split(request: ExportTraceServiceRequest, limit: usize, now_ns: i64) -> Split {
    let size = request.encoded_len();
    // A large resource is written anew into each part; a request made of little else is not worth it.
    let budget = size.saturating_mul(4).saturating_add(limit);
    let mut packer = Packer { limit, budget, now_ns, ..Packer::default() };
    if size <= limit {
        packer.current = request;
    } else {
        for resource in request.resource_spans {
            packer.add_resource(resource);
        }
    }
    packer.close();
    packer.split
}

#[derive(Default)]
struct Packer {
    limit: usize,
    /// Bytes that all further parts may have together.
    budget: usize,
    now_ns: i64,
    current: ExportTraceServiceRequest,
    /// What `current` has at most once encoded.
    size: usize,
    split: Split,
}

impl Packer {
    fn add_resource(&mut self, resource: ResourceSpans) {
        let ResourceSpans { resource, scope_spans, schema_url } = resource;
        for scope in scope_spans {
            let ScopeSpans { scope, spans, schema_url: scope_schema } = scope;
            let scope = ScopeSpans { scope, spans: Vec::new(), schema_url: scope_schema };
            let head = ResourceSpans {
                resource: resource.clone(),
                scope_spans: vec![scope],
                schema_url: schema_url.clone(),
            };
            // Both lengths grow with the spans.
            let head_size = head.encoded_len() + 2 * PREFIX_BYTES;
            let mut open = false;
            for span in spans {
                let size = span.encoded_len() + PREFIX_BYTES;
                if head_size + size > self.limit || head_size > self.budget {
                    self.split.refused += 1;
                    continue;
                }
                if self.size + size + if open { 0 } else { head_size } > self.limit {
                    self.close();
                    open = false;
                }
                if !open {
                    self.current.resource_spans.push(head.clone());
                    self.size += head_size;
                    self.budget -= head_size;
                    open = true;
                }
                let scope = self.current.resource_spans.last_mut().and_then(|r| r.scope_spans.last_mut());
                if let Some(scope) = scope {
                    scope.spans.push(span);
                    self.size += size;
                }
            }
        }
    }

    fn close(&mut self) {
        let request = std::mem::take(&mut self.current);
        self.size = 0;
        let (mut count, mut times) = (0, None);
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        for span in scopes.flat_map(|scope| &scope.spans) {
            count += 1;
            let start = i64::try_from(span.start_time_unix_nano).ok().filter(|&start| start > 0);
            let start = start.unwrap_or(self.now_ns);
            let end = i64::try_from(span.end_time_unix_nano).unwrap_or(i64::MAX).max(start);
            let (first, last) = times.unwrap_or((start, end));
            times = Some((start.min(first), end.max(last)));
        }
        if let Some(times_ns) = times {
            self.split.parts.push(Part { request: request.encode_to_vec(), spans: count, times_ns });
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use proptest::prelude::*;

    use super::*;

    fn span(name: usize, start: u64) -> Span {
        Span { name: "x".repeat(name), start_time_unix_nano: start, ..Span::default() }
    }

    fn request(shape: Vec<(usize, Vec<Vec<usize>>)>) -> ExportTraceServiceRequest {
        let mut start = 0;
        let mut spans = |sizes: Vec<usize>| {
            let number = |size| {
                start += 1;
                span(size, start)
            };
            sizes.into_iter().map(number).collect()
        };
        let mut resource = |(size, scopes): (usize, Vec<Vec<usize>>)| {
            let attribute = KeyValue { key: "r".repeat(size), ..KeyValue::default() };
            let scope = |sizes| ScopeSpans {
                scope: Some(InstrumentationScope { name: "s".to_owned(), ..InstrumentationScope::default() }),
                spans: spans(sizes),
                schema_url: "scope".to_owned(),
            };
            ResourceSpans {
                resource: Some(Resource { attributes: vec![attribute], ..Resource::default() }),
                scope_spans: scopes.into_iter().map(scope).collect(),
                schema_url: "resource".to_owned(),
            }
        };
        ExportTraceServiceRequest { resource_spans: shape.into_iter().map(&mut resource).collect() }
    }

    /// Each span with what it hangs on.
    fn flat(request: &ExportTraceServiceRequest) -> Vec<(String, String, Span)> {
        let mut all = Vec::new();
        for resource in &request.resource_spans {
            for scope in &resource.scope_spans {
                for span in &scope.spans {
                    let head = format!("{:?} {}", resource.resource, resource.schema_url);
                    all.push((head, format!("{:?} {}", scope.scope, scope.schema_url), span.clone()));
                }
            }
        }
        all
    }

    /// Scenario: a request that fits, one without spans, spans without or with impossible times.
    /// Guarantees: passed through byte for byte; nothing; the time of their coming.
    #[test]
    fn what_fits_passes_through() {
        let whole = request(vec![(3, vec![vec![1, 2], vec![3]])]);
        let split_up = split(whole.clone(), 1 << 20, 9);
        let part = Part { request: whole.encode_to_vec(), spans: 3, times_ns: (1, 3) };
        assert_eq!(split_up, Split { parts: vec![part], refused: 0 });
        assert_eq!(split(request(vec![(3, vec![vec![]])]), 1 << 20, 9), Split::default());
        let mut odd = request(vec![(1, vec![vec![1, 1]])]);
        for (span, start) in odd.resource_spans[0].scope_spans[0].spans.iter_mut().zip([0, u64::MAX]) {
            span.start_time_unix_nano = start;
        }
        assert_eq!(split(odd, 1 << 20, 9).parts[0].times_ns, (9, 9));
    }

    /// Scenario: a resource of nearly the limit with very many small scopes.
    /// Guarantees: the parts together stay within a few times the request.
    #[test]
    fn a_large_resource_does_not_multiply() {
        let bomb = request(vec![(900, vec![vec![1]; 10_000])]);
        let size = bomb.encoded_len();
        let done = split(bomb, 1_000, 0);
        let bytes: usize = done.parts.iter().map(|part| part.request.len()).sum();
        assert!(bytes <= 5 * size + 1_000, "{bytes} of {size}");
        assert_eq!(done.parts.iter().map(|part| part.spans).sum::<u64>() + done.refused, 10_000);
        assert!(done.refused > 0);
    }

    proptest! {
        /// Scenario: any shape of request with any limit.
        /// Guarantees: no part is too large; every span is in one part, in order, with its resource and scope, or was
        /// refused for its size alone.
        #[test]
        fn nothing_is_lost(shape in proptest::collection::vec((0_usize..40,
                           proptest::collection::vec(proptest::collection::vec(0_usize..200, 0..6), 0..4)), 0..5),
                           limit in 150_usize..2_000) {
            let whole = request(shape);
            let all = flat(&whole);
            let done = split(whole, limit, 7);
            let mut found = Vec::new();
            for part in &done.parts {
                prop_assert!(part.request.len() <= limit);
                let decoded = ExportTraceServiceRequest::decode(&*part.request).unwrap();
                let spans = flat(&decoded);
                prop_assert_eq!(spans.len() as u64, part.spans);
                let starts = spans.iter().map(|(_, _, span)| span.start_time_unix_nano as i64);
                prop_assert_eq!(part.times_ns, (starts.clone().min().unwrap(), starts.max().unwrap()));
                found.extend(spans);
            }
            prop_assert_eq!(found.len() as u64 + done.refused, all.len() as u64);
            let mut rest = all.iter();
            prop_assert!(found.iter().all(|span| rest.any(|other| other == span)), "order");
        }
    }
}
