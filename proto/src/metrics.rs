//! Keyframes, and frames as differences to them.

use crate::frame::FrameError;
use crate::model::{Exemplar, Family, Series};

/// The series of one group of metrics and a reference value of each. A frame names one keyframe by its id.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Keyframe {
    /// Random.
    pub id: u64,
    /// Milliseconds, of the reference values.
    pub at_ms: i64,
    /// Metadata, by number.
    pub families: Vec<Family>,
    /// By number.
    pub series: Vec<Series>,
    /// One per series.
    pub values: Vec<f64>,
}

/// The values of a keyframe's series at one time.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct MetricsFrame {
    /// Milliseconds.
    pub at_ms: i64,
    /// One per series of the keyframe; what stands in an absent series' place has no meaning (0 after decoding).
    pub values: Vec<f64>,
    /// Numbers of the series that have no sample in this frame, ascending.
    pub absent: Vec<u32>,
    /// Rare.
    pub exemplars: Vec<Exemplar>,
}

impl Keyframe {
    /// The payload, not yet compressed.
    pub fn encode(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// # Errors
    /// Any byte string gives a keyframe or an error, with memory bounded by [`crate::limits`].
    pub fn decode(_raw: &[u8]) -> Result<Self, FrameError> {
        unimplemented!()
    }
}

impl MetricsFrame {
    /// Appends the payload, not yet compressed, to `out`. `values` is as long as the keyframe's.
    pub fn encode(&self, _keyframe: &Keyframe, _out: &mut Vec<u8>) {
        unimplemented!()
    }

    /// # Errors
    /// Any byte string gives a frame or an error; a frame made against another keyframe is refused.
    pub fn decode(_raw: &[u8], _keyframe: &Keyframe) -> Result<Self, FrameError> {
        unimplemented!()
    }
}
