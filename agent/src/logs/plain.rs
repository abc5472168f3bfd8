//! Files whose lines are just text: a line gets the time at which it was read. Lines of one read are set apart by a
//! nanosecond each, so that they keep their order and none counts as a double of another.

use super::api::{Record, Stream};
use super::lines::Piece;

/// Reads the lines of one file.
#[derive(Default)]
pub(super) struct Decoder {
    last: i64,
}

impl Decoder {
    /// `now`: when the piece was read, nanoseconds since 1970.
    pub(super) fn record<'a>(&mut self, piece: &Piece<'a>, now: i64) -> Record<'a> {
        self.last = now.max(self.last + 1);
        Record { stream: Stream::Stdout, at_ns: self.last, text: piece.text, partial: false, fields: &[] }
    }
}
