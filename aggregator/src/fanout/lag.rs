//! How much of the journal lies before a worker.

use ao_common::journal::{Journal, Position};

/// Bytes of a queue between two positions: exact within a segment, else reckoned with the segments' mean size.
pub(super) fn bytes_between(journal: &Journal, queue: usize, from: Position, to: Position) -> u64 {
    if to.segment <= from.segment {
        return to.offset.saturating_sub(from.offset);
    }
    let stats = journal.stats(queue);
    let mean = stats.bytes / stats.segments.max(1);
    (mean.saturating_mul(to.segment - from.segment) + to.offset).saturating_sub(from.offset)
}
