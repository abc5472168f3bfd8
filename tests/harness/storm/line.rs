//! One line of the storm: all of its text follows from its file, its number and its time, so that any change shows.

use crate::writer::rfc3339;

/// Bytes of a line in its file, with the runtime's head and the line's end.
pub const BYTES: u64 = 216;
/// Bytes of the text alone.
const TEXT: usize = BYTES as usize - HEAD - 1;
/// Bytes of `2026-11-22T14:00:00.000000000Z stdout F `.
const HEAD: usize = 40;
/// Where the digits of file, number and time begin, and how many they are.
const FILE: (usize, usize) = (24, 3);
const NUMBER: (usize, usize) = (36, 10);
const AT: (usize, usize) = (54, 19);

/// Which line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    /// Which container's.
    pub file: usize,
    /// Counts the container's lines from 0.
    pub number: u64,
    /// Its time, nanoseconds since 1970.
    pub at_ns: u64,
}

/// The JSON object that the application has written.
pub fn text(which: Which) -> String {
    let Which { file, number, at_ns } = which;
    // The digits of a multiplication fill it up: real lines do not repeat each other.
    let noise = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(file as u32);
    let mut text = format!(
        r#"{{"level":"info","file":"{file:03}","seq":"{number:010}","at":"{at_ns:019}","msg":"request served","path":"/api/v1/items/{}","status":200,"ms":{},"id":"{noise:016x}"#,
        noise % 10_007,
        noise % 997,
    );
    while text.len() < TEXT - 2 {
        text.push('x');
    }
    text.push_str("\"}");
    text
}

/// The line as the runtime stores it.
pub fn stored(which: Which) -> String {
    format!("{} stdout F {}\n", rfc3339(which.at_ns.into()), text(which))
}

/// Which line this is; `None` where a single byte of it is not as it was written.
pub fn parse(line: &str) -> Option<Which> {
    let digits = |(begin, length): (usize, usize)| line.get(begin..begin + length)?.parse::<u64>().ok();
    let which =
        Which { file: usize::try_from(digits(FILE)?).ok()?, number: digits(NUMBER)?, at_ns: digits(AT)? };
    (text(which) == line).then_some(which)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: lines of several files, numbers and times; one with a byte changed, and pieces of one.
    /// Guarantees: each is 216 bytes long, is JSON and says which it is; what is not whole is none.
    #[test]
    fn a_line_says_which_it_is() {
        for (file, number) in [(0, 0), (7, 1), (99, 4_999_999_999)] {
            let which = Which { file, number, at_ns: 1_795_392_000_123_456_789 };
            let stored = stored(which);
            assert_eq!(stored.len() as u64, BYTES);
            let text = &stored[HEAD..stored.len() - 1];
            assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
            assert_eq!(parse(text), Some(which));
            assert_eq!(parse(&text.replace("served", "swerve")), None);
            assert!((0..text.len()).all(|n| parse(&text[..n]).is_none() && parse(&text[n + 1..]).is_none()));
        }
    }
}
