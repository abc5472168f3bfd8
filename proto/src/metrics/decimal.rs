//! Floats that are integers in some unit: 4711.23 is 471123 hundredths. The kernel's jiffies, milliseconds and
//! nanoseconds become such floats when they are turned into seconds, and its sizes come in sectors and KiB. Their
//! differences are then small integers, where those of the floats' bits are noise.

/// Scales 0 to 9 are powers of ten: units of 1 down to 1e-9 (nanoseconds). What has more digits is a true float.
const MAX_DECIMAL: u8 = 9;

/// Units of 512 (sectors), and of 1024.
pub(super) const SECTORS: u8 = 10;
/// See [`SECTORS`].
pub(super) const KIBS: u8 = 11;

/// The largest scale.
pub(super) const MAX_SCALE: u8 = KIBS;

/// What makes an integer of a value, by scale: all are exact.
const UNITS: [f64; MAX_SCALE as usize + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1.0 / 512.0, 1.0 / 1024.0];

/// Integers up to here are exact as floats.
const MOST: u64 = 1 << 53;

/// The integer that [`decimal`] makes `value` of, bit by bit, if there is one; never for -0.0, NaN and infinities.
#[inline]
pub(super) fn mantissa(value: f64, scale: u8) -> Option<i64> {
    let scaled = value * UNITS[scale as usize];
    // The cast saturates, and makes 0 of NaN; whatever it does is checked below.
    let m = (scaled + 0.5_f64.copysign(scaled)) as i64;
    (in_range(m) && decimal(m, scale).to_bits() == value.to_bits()).then_some(m)
}

/// The value of an integer at a scale: both numbers are exact, so the quotient is the float nearest to the decimal
/// (IEEE 754 division).
#[inline]
pub(super) fn decimal(m: i64, scale: u8) -> f64 {
    m as f64 / UNITS[scale as usize]
}

/// The smallest power of ten at which `value` is an integer.
pub(super) fn decimal_scale(value: f64) -> Option<u8> {
    (0..=MAX_DECIMAL).find(|&scale| mantissa(value, scale).is_some())
}

/// Whether `m` can be turned back by [`decimal`].
pub(super) fn in_range(m: i64) -> bool {
    m.unsigned_abs() <= MOST
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: values as the kernel gives them, and the corners of the floats.
    /// Guarantees: short decimals are found with their fewest digits, all else is left alone.
    #[test]
    fn scales() {
        let cases = [
            (0.0, Some(0)),
            (1.0, Some(0)),
            (-17.0, Some(0)),
            (0.1, Some(1)),
            (4711.23, Some(2)),
            (-0.001, Some(3)),
            (123_456.789_012_345, Some(9)),
            (9_007_199_254_740_992.0, Some(0)),
            (1e300, None),
            (4096.0, Some(0)),
            (std::f64::consts::PI, None),
            (1.0 / 3.0, None),
            (-0.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (f64::NEG_INFINITY, None),
            (f64::MIN_POSITIVE, None),
        ];
        for (value, expect) in cases {
            assert_eq!(decimal_scale(value), expect, "{value}");
            if let Some(e) = expect {
                assert_eq!(mantissa(value, e).map(|m| decimal(m, e)), Some(value));
            }
        }
    }
    /// Scenario: sizes in sectors and KiB.
    /// Guarantees: only multiples have an integer there, also beyond 2^53.
    #[test]
    fn sizes() {
        assert_eq!(mantissa(1_536.0, SECTORS), Some(3));
        assert_eq!(mantissa(-4_096.0, KIBS), Some(-4));
        assert_eq!(mantissa(1_536.0, KIBS), None);
        assert_eq!(mantissa(2_f64.powi(60), KIBS).map(|m| decimal(m, KIBS)), Some(2_f64.powi(60)));
    }
}
