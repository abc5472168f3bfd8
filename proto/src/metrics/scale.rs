//! The scale of a family: the exponent at which its keyframe's values are integers. It is found from the keyframe
//! alone, in the same way at both ends, so it need not be sent; what it says is part of the wire version.

use super::Keyframe;
use super::decimal::{exponent, mantissa};

/// The largest exponent that a reference value of the family needs, by the family's number. Values that are no short
/// decimals do not count. Series of a family share a unit, so one that happens to stand at a whole number now is
/// taken for what its neighbours are.
pub(super) fn scales(keyframe: &Keyframe) -> Vec<u8> {
    let mut scales = vec![0_u8; keyframe.families.len()];
    for (series, &value) in keyframe.series.iter().zip(&keyframe.values) {
        let Some(scale) = scales.get_mut(series.family as usize) else { continue };
        // What is an integer at the scale so far needs no larger one.
        if mantissa(value, *scale).is_none()
            && let Some(needed) = exponent(value)
        {
            *scale = needed.max(*scale);
        }
    }
    scales
}
