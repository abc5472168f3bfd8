//! Keyframe and frame as their users see them; the layouts beside this file write and read them.

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

/// What is to be known of a keyframe to make frames of it: a small part of its memory.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Reference {
    /// The keyframe's.
    pub id: u64,
    /// The keyframe's.
    pub at_ms: i64,
    /// One per series.
    pub values: Vec<f64>,
    /// That of its family, per series.
    pub(super) scales: Vec<u8>,
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
