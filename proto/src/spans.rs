//! How much memory an OTLP `ExportTraceServiceRequest` would take once decoded, found out before it is: an empty span
//! has two bytes on the wire, and more than a hundred times as many in memory.
//!
//! Walks the bytes by the field numbers of opentelemetry-proto (trace/v1/trace.proto, common/v1/common.proto,
//! resource/v1/resource.proto) and allocates nothing. What the walk lets pass may still be refused by the decoder.

use crate::frame::{FrameError, limit};
use crate::limits::MAX_RECORDS;

/// What a request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Spans.
    pub spans: u64,
    /// Bytes in memory once decoded, without spare room of lists.
    pub bytes: u64,
}

/// A message of OTLP whose repeated and nested fields are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    ResourceSpans,
    Resource,
    Entity,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    KeyValue,
    AnyValue,
    Array,
    KeyValues,
    /// A string or bytes: an allocation of its own.
    Text,
}

use Kind::*;

impl Kind {
    /// The kind of a field with a length; `None` for what is skipped.
    fn field(self, number: u64) -> Option<Self> {
        Some(match (self, number) {
            (Request, 1) => ResourceSpans,
            (ResourceSpans, 1) => Resource,
            (ResourceSpans, 2) => ScopeSpans,
            (Resource, 1) | (Scope, 3) | (Span, 9) | (Event, 3) | (Link, 4) | (KeyValues, 1) => KeyValue,
            (Resource, 3) => Entity,
            (ScopeSpans, 1) => Scope,
            (ScopeSpans, 2) => Span,
            (Span, 11) => Event,
            (Span, 13) => Link,
            (KeyValue, 2) | (Array, 1) => AnyValue,
            (AnyValue, 5) => Array,
            (AnyValue, 6) => KeyValues,
            (ResourceSpans | ScopeSpans, 3) | (Scope | Event, 1 | 2) | (AnyValue, 1 | 7) => Text,
            (KeyValue, 1) | (Entity, 1..=4) | (Link, 1..=3) | (Span, 1..=5 | 15) => Text,
            _ => return None,
        })
    }

    /// Bytes of its struct, which are rounded up: the decoder's own are held to them by a test of its user.
    fn size(self) -> u64 {
        match self {
            Request | Array | KeyValues => 24,
            ResourceSpans | ScopeSpans => 160,
            Scope => 112,
            Span => 320,
            Event | Link | Entity => 128,
            Resource => 64,
            KeyValue => 72,
            AnyValue => 40,
            // The least that an allocator gives; the text's bytes come on top.
            Text => 16,
        }
    }
}

/// Weighs a request, and stops where it weighs more than `most` bytes.
///
/// # Errors
/// It is cut short or no protobuf, or over `most` or [`MAX_RECORDS`].
pub fn check(raw: &[u8], most: usize) -> Result<Weight, FrameError> {
    let mut weight = Weight::default();
    walk(raw, Request, 0, most as u64, &mut weight)?;
    Ok(weight)
}

/// As prost: what is nested more deeply is refused by the decoder too.
const MAX_DEPTH: usize = 100;

fn walk(mut rest: &[u8], kind: Kind, depth: usize, most: u64, weight: &mut Weight) -> Result<(), FrameError> {
    if depth > MAX_DEPTH {
        return Err(bad("it is nested too deeply"));
    }
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        match key & 7 {
            0 => drop(varint(&mut rest)?),
            1 => drop(take(&mut rest, 8)?),
            5 => drop(take(&mut rest, 4)?),
            2 => {
                let length = varint(&mut rest)?;
                let value = take(&mut rest, length)?;
                let Some(field) = kind.field(key >> 3) else { continue };
                weight.bytes += field.size();
                weight.spans += u64::from(field == Span);
                if field == Text {
                    weight.bytes += length;
                } else {
                    walk(value, field, depth + 1, most, weight)?;
                }
                limit("the decoded request", weight.bytes, most)?;
                limit("the number of spans", weight.spans, MAX_RECORDS as u64)?;
            }
            _ => return Err(bad("a field's type is not known")),
        }
    }
    Ok(())
}

fn varint(rest: &mut &[u8]) -> Result<u64, FrameError> {
    let mut value = 0;
    for (n, byte) in rest.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            *rest = &rest[n + 1..];
            return Ok(value);
        }
    }
    Err(bad("a number is cut short or too long"))
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], FrameError> {
    let at = usize::try_from(length).ok().filter(|at| *at <= rest.len());
    let (value, behind) = rest.split_at(at.ok_or_else(|| bad("it is cut short"))?);
    *rest = behind;
    Ok(value)
}

fn bad(why: &'static str) -> FrameError {
    FrameError::Content { what: "spans", why }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = crate::limits::MAX_SPANS_DECODED_BYTES;

    /// A field with a length.
    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        crate::columns::put(&mut out, value.len() as u64);
        out.extend_from_slice(value);
        out
    }

    /// Scenario: a request with two spans, one with an attribute; one cut short; one of a million empty spans; one
    /// whose attribute's value is nested without end.
    /// Guarantees: counted; each of the others is refused with its reason.
    #[test]
    fn weighs() {
        let attribute = field(9, &[field(1, b"key"), field(2, &field(1, b"value"))].concat());
        let spans = [field(2, &attribute), field(2, &[])].concat();
        let request = field(1, &field(2, &spans));
        let texts = 16 + 3 + 16 + 5;
        assert_eq!(
            check(&request, MOST).unwrap(),
            Weight { spans: 2, bytes: 160 * 2 + 320 * 2 + 72 + 40 + texts }
        );
        assert!(
            check(&request[..request.len() - 1], MOST)
                .is_err_and(|why| why.to_string().contains("cut short"))
        );
        let many = field(1, &field(2, &field(2, &[]).repeat(1 << 20)));
        assert!(check(&many, MOST).is_err_and(|why| why.to_string().contains("the decoded request")));
        let mut deep = Vec::new();
        for _ in 0..200 {
            deep = field(5, &field(1, &deep));
        }
        let deep = field(1, &field(2, &field(2, &field(9, &field(2, &deep)))));
        assert!(check(&deep, MOST).is_err_and(|why| why.to_string().contains("too deeply")));
    }

    proptest! {
        /// Scenario: any bytes.
        /// Guarantees: a weight or an error.
        #[test]
        fn never_panics(raw in proptest::collection::vec(prop_oneof![Just(0x0a_u8), Just(0x12), 0..20_u8, any::<u8>()], 0..300)) {
            drop(check(&raw, MOST));
        }
    }
}
