//! Floats that are short decimals, as integers: 4711.23 is 471123 at exponent 2. The kernel's jiffies, milliseconds
//! and nanoseconds become such floats when they are turned into seconds; their differences are then small integers,
//! where those of the floats' bits are noise.

/// Nanoseconds as seconds have nine digits; what has more is a true float.
pub(super) const MAX_EXPONENT: u8 = 9;

const POWERS: [f64; MAX_EXPONENT as usize + 1] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// Integers up to here are exact as floats.
const MOST: u64 = 1 << 53;

/// The integer `m` with `m / 10^exponent` bit-equal to `value`, if there is one; never for -0.0, NaN and infinities.
#[inline]
pub(super) fn mantissa(value: f64, exponent: u8) -> Option<i64> {
    let scaled = value * POWERS[exponent as usize];
    // The cast saturates, and makes 0 of NaN; whatever it does is checked below.
    let m = (scaled + 0.5_f64.copysign(scaled)) as i64;
    (m.unsigned_abs() <= MOST && decimal(m, exponent).to_bits() == value.to_bits()).then_some(m)
}

/// `m / 10^exponent`: both are exact, so the quotient is the float nearest to the decimal (IEEE 754 division).
#[inline]
pub(super) fn decimal(m: i64, exponent: u8) -> f64 {
    m as f64 / POWERS[exponent as usize]
}

/// The smallest exponent at which `value` is an integer.
pub(super) fn exponent(value: f64) -> Option<u8> {
    (0..=MAX_EXPONENT).find(|&e| mantissa(value, e).is_some())
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
    fn exponents() {
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
            (std::f64::consts::PI, None),
            (1.0 / 3.0, None),
            (-0.0, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
            (f64::NEG_INFINITY, None),
            (f64::MIN_POSITIVE, None),
        ];
        for (value, expect) in cases {
            assert_eq!(exponent(value), expect, "{value}");
            if let Some(e) = expect {
                assert_eq!(mantissa(value, e).map(|m| decimal(m, e)), Some(value));
            }
        }
    }
}
