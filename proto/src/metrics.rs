//! Keyframes, and frames as differences to them.
//!
//! | room | what it holds |
//! |---|---|
//! | `api` | what is encoded |
//! | `keyframe` | the layout of a keyframe |
//! | `frame` | the layout of a frame |
//! | `decimal` | floats that are short decimals, as integers |
//! | `bits` | differences, bit by bit |
//! | `scale` | the exponent at which a family's values are integers |
//!
//! A frame depends on its keyframe alone, never on another frame, and names it by its id: decoding with another one is
//! an error. Every float comes back bit by bit: -0.0, NaN payloads, staleness markers and infinities too.

mod api;
mod bits;
mod decimal;
mod frame;
mod keyframe;
mod scale;
#[cfg(test)]
mod tests;

pub use self::api::{Keyframe, MetricsFrame, Reference};
use crate::frame::FrameError;
use crate::model::Series;
use crate::symbols::Keep;

impl Keyframe {
    /// The payload, not yet compressed. A series without a value is written as 0.
    pub fn encode(&self) -> Vec<u8> {
        keyframe::encode(self)
    }

    /// For whoever makes frames of it and needs no label for that.
    pub fn reference(&self) -> Reference {
        let scales = scale::scales(self);
        let scale = |series: &Series| scales.get(series.family as usize).copied().unwrap_or_default();
        let mut values = self.values.clone();
        values.resize(self.series.len(), 0.0);
        Reference { id: self.id, at_ms: self.at_ms, values, scales: self.series.iter().map(scale).collect() }
    }

    /// # Errors
    /// Any byte string gives a keyframe or an error, with memory bounded by [`crate::limits`].
    pub fn decode(raw: &[u8]) -> Result<Self, FrameError> {
        keyframe::decode(raw, Keep::All)
    }

    /// The id of a payload that [`Keyframe::decode`] can read, found at a fraction of its memory: labels are looked at,
    /// and not kept.
    ///
    /// # Errors
    /// As [`Keyframe::decode`].
    pub fn check(raw: &[u8]) -> Result<u64, FrameError> {
        keyframe::decode(raw, Keep::Nothing).map(|keyframe| keyframe.id)
    }

    /// How many series a payload says it has: read before memory is spent on them.
    ///
    /// # Errors
    /// Where it is too short to say.
    pub fn count_series(raw: &[u8]) -> Result<usize, FrameError> {
        keyframe::count_series(raw)
    }
}

impl MetricsFrame {
    /// Appends the payload, not yet compressed, to `out`. `values` is as long as the keyframe's: a series behind its
    /// end is absent, a value behind the keyframe's series is not written.
    pub fn encode(&self, keyframe: &Keyframe, out: &mut Vec<u8>) {
        frame::encode(self, &keyframe.reference(), out);
    }

    /// The same, where only that is left of the keyframe.
    pub fn encode_against(&self, keyframe: &Reference, out: &mut Vec<u8>) {
        frame::encode(self, keyframe, out);
    }

    /// # Errors
    /// Any byte string gives a frame or an error; a frame made against another keyframe is refused.
    pub fn decode(raw: &[u8], keyframe: &Keyframe) -> Result<Self, FrameError> {
        frame::decode(raw, keyframe)
    }

    /// Whether a payload is a frame of the keyframe `id` with `series` series, as far as can be told without its values:
    /// every column is there, of the right length and within its bounds.
    ///
    /// # Errors
    /// As [`MetricsFrame::decode`], but for values out of range.
    pub fn check(raw: &[u8], id: u64, series: usize) -> Result<(), FrameError> {
        frame::check(raw, id, series)
    }
}
