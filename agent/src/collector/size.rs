//! Numbers that the kernel writes for people.

/// `512`, `-1.5k`, `3.25G`, `4.00KiB`: in powers of 1,024, under units that differ from one part of the kernel to the
/// other (`bch_hprint` in drivers/md/bcache/util.c, `string_get_size` in lib/string_helpers.c). Whole bytes, since the
/// digits left out are not known.
pub(super) fn size(text: &str) -> Option<f64> {
    const UNITS: &str = "kmgtpezy";
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let unit = unit.trim_end_matches('B').trim_end_matches('i').to_ascii_lowercase();
    let power = match unit.len() {
        0 => 0,
        1 => UNITS.find(&unit)? + 1,
        _ => return None,
    };
    let digits = digits.trim_end();
    let is_digit = |b: u8| b.is_ascii_digit() || b == b'.';
    let is_number = digits.strip_prefix('-').unwrap_or(digits).bytes().all(is_digit);
    let number = is_number.then(|| digits.parse::<f64>().ok())??;
    let bytes = (number * 1024_f64.powi(i32::try_from(power).ok()?)).trunc();
    bytes.is_finite().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: numbers as several parts of several kernels write them, and other texts.
    /// Guarantees: bytes, or nothing.
    #[test]
    fn sizes() {
        for (text, expect) in [
            ("67890", Some(67_890.0)),
            ("0", Some(0.0)),
            ("1.5k", Some(1_536.0)),
            ("-20.0k", Some(-20_480.0)),
            ("1.50G", Some(1_610_612_736.0)),
            (" 128k\n", Some(131_072.0)),
            ("4.00 KiB", Some(4_096.0)),
            ("4.00Ki", Some(4_096.0)),
            ("1.1", Some(1.0)),
            ("", None),
            ("-", None),
            ("G", None),
            ("1Gx", None),
            ("1e3", None),
            ("nan", None),
            ("inf", None),
            ("1.2.3", None),
            ("1.2X", None),
        ] {
            assert_eq!(size(text), expect, "{text:?}");
        }
    }

    proptest! {
        /// Scenario: any text.
        /// Guarantees: no panic; finite, or nothing.
        #[test]
        fn never_panics(text in "(-|[0-9.]{0,320}|[kKMGYiB]| |\n|\\PC){0,8}") {
            prop_assert!(size(&text).is_none_or(f64::is_finite));
        }
    }
}
