//! The scale of a family: the unit in which its keyframe's values are integers. It is found from the keyframe alone,
//! in the same way at both ends, so it need not be sent with frames; what it says is part of the wire version.

use super::api::Keyframe;
use super::decimal::{KIBS, SECTORS, decimal_scale, mantissa};

/// What is known of a family while its series are walked.
#[derive(Clone, Copy)]
struct Found {
    scale: u8,
    /// Binary zeros at the end of all its values: 64 while all are 0.
    zeros: u32,
}

/// By the family's number: the largest power of ten that a reference value of it needs; else sectors or KiB where all
/// of its values are multiples of these (by chance one value in 512 is: it costs a few bytes then). Values that are
/// integers at no scale do not count. Series of a family share a unit, so one that happens to stand at a whole number
/// now is taken for what its neighbours are.
pub(super) fn scales(keyframe: &Keyframe) -> Vec<u8> {
    let mut found = vec![Found { scale: 0, zeros: u64::BITS }; keyframe.families.len()];
    for (series, &value) in keyframe.series.iter().zip(&keyframe.values) {
        let Some(family) = found.get_mut(series.family as usize) else { continue };
        match mantissa(value, family.scale) {
            // What is an integer at the scale so far needs no larger one.
            Some(m) => family.zeros = family.zeros.min(m.trailing_zeros()),
            None => {
                if let Some(needed) = decimal_scale(value) {
                    family.scale = needed.max(family.scale);
                }
            }
        }
    }
    let scale = |family: &Found| match (family.scale, family.zeros) {
        (0, 9) => SECTORS,
        (0, 10..64) => KIBS,
        (scale, _) => scale,
    };
    found.iter().map(scale).collect()
}
