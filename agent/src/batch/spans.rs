//! Spans of many requests into one frame. Encoded OTLP requests can be joined by laying them one behind the other:
//! their only field is repeated (protobuf encoding, "Last One Wins" and merging rules).

use ao_proto::frame::compress;
use ao_proto::limits::{MAX_HEADER_BYTES, MAX_RECORDS, MAX_SEALED_BYTES, MAX_SPANS_DECODED_BYTES};
use ao_proto::spans;
use ao_proto::v1::{Class, FrameHeader};
use tokio::sync::oneshot;

use crate::event::SpanChunk;
use crate::spool::Draft;

/// The frame under way of one source.
#[derive(Default)]
pub(crate) struct SpanBatch {
    raw: Vec<u8>,
    spans: u64,
    times_ns: Option<(i64, i64)>,
    stored: Vec<oneshot::Sender<()>>,
    /// What all of it takes once decoded, as the aggregator counts it.
    weight: u64,
}

/// What zstd may not make smaller must still fit into a frame, with its header.
const MOST_BYTES: usize = MAX_SEALED_BYTES - MAX_HEADER_BYTES - 1024;

impl SpanBatch {
    /// Nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> usize {
        self.raw.len()
    }

    /// Whether a frame with this request too would be taken by the aggregator: else it must be closed before.
    pub(crate) fn has_room(&self, chunk: &SpanChunk) -> bool {
        self.is_empty()
            || self.raw.len() + chunk.request.len() <= MOST_BYTES
                && self.spans + chunk.spans <= MAX_RECORDS as u64
                && self.weight + weight(chunk) <= MAX_SPANS_DECODED_BYTES as u64
    }

    /// Adds a request.
    pub(crate) fn add(&mut self, chunk: SpanChunk) {
        self.weight += weight(&chunk);
        self.raw.extend_from_slice(&chunk.request);
        self.spans += chunk.spans;
        let (first, last) = self.times_ns.unwrap_or(chunk.times_ns);
        self.times_ns = Some((first.min(chunk.times_ns.0), last.max(chunk.times_ns.1)));
        self.stored.extend(chunk.stored);
    }

    /// Closes the frame.
    pub(crate) fn take(&mut self, agent: [u8; 16], source: &'static str) -> Draft {
        let batch = std::mem::take(self);
        let (first, last) = batch.times_ns.unwrap_or_default();
        let (first_ms, last_ms) = (first.div_euclid(1_000_000), last.div_euclid(1_000_000));
        Draft {
            header: FrameHeader {
                agent: agent.to_vec(),
                class: Class::Spans.into(),
                source: source.to_owned(),
                records: batch.spans,
                bytes: batch.raw.len() as u64,
                first_ms,
                span_ms: last_ms.saturating_sub(first_ms).max(0) as u64,
                raw_bytes: batch.raw.len() as u64,
                ..FrameHeader::default()
            },
            payload: compress(&batch.raw),
            keyframe: None,
            stored: batch.stored,
            forget: Vec::new(),
        }
    }
}

/// One that is too heavy is alone in its frame: then it was not weighed where it came from.
fn weight(chunk: &SpanChunk) -> u64 {
    spans::check(&chunk.request, MAX_SPANS_DECODED_BYTES)
        .map_or(MAX_SPANS_DECODED_BYTES as u64, |weight| weight.bytes)
}
