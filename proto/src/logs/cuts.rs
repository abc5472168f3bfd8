//! Where a line varies: its numbers, and its words with digits in them (ids, hashes). What lies between is what lines
//! of the same origin have in common.

use std::ops::Range;

/// A part of the text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Cut {
    pub(super) fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

const DIGIT: u8 = 1;
/// A letter that is a hexadecimal digit too, as ids are written.
const HEX: u8 = 2;
const LETTER: u8 = 4;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' => HEX,
            b'g'..=b'z' | b'A'..=b'Z' => LETTER,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

fn class(text: &[u8], at: usize) -> u8 {
    text.get(at).map_or(0, |byte| CLASSES[usize::from(*byte)])
}

/// Appends the cuts of `text[line]`, in order. False, with nothing of use appended, where there are more than `most`.
///
/// A number alone is a cut; so are the digits of a word such as `u00123` or `12ms`, without its letters. Of other words
/// with digits (`4bf92f35`, `7d9c5b8f6`) all is one.
pub(super) fn cut(text: &[u8], line: Range<usize>, most: usize, out: &mut Vec<Cut>) -> bool {
    let (mut at, before) = (line.start, out.len());
    let text = &text[..line.end];
    while let Some(digit) = next_digit(text, at) {
        let (mut begin, mut letters) = (digit, 0);
        while begin > at && class(text, begin - 1) != 0 {
            begin -= 1;
            letters |= class(text, begin);
        }
        let mut number = digit + 1;
        while class(text, number) == DIGIT {
            number += 1;
        }
        let (mut end, mut behind) = (number, 0);
        while class(text, end) != 0 {
            behind |= class(text, end);
            end += 1;
        }
        letters |= behind;
        let is_whole = letters != 0 && (behind & DIGIT != 0 || letters & LETTER == 0);
        let (from, to) = if is_whole { (begin, end) } else { (digit, number) };
        if out.len() - before == most {
            return false;
        }
        out.push(Cut { start: from as u32, len: (to - from) as u32 });
        at = end;
    }
    true
}

/// Eight bytes at a time: most are no digits.
fn next_digit(text: &[u8], from: usize) -> Option<usize> {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const LOW: u64 = !HIGH;
    let mut at = from;
    while let Some(eight) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let from_zero = u64::from_le_bytes(*eight) ^ 0x3030_3030_3030_3030;
        // A byte's high bit is set where it is 10 or more: no byte carries into the next one.
        let others = ((from_zero & LOW) + 0x7676_7676_7676_7676) | from_zero;
        let digits = !others & HIGH;
        if digits != 0 {
            return Some(at + digits.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    (at..text.len()).find(|at| text[*at].is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Option<Vec<&str>> {
        let mut cuts = Vec::new();
        cut(line.as_bytes(), 0..line.len(), 8, &mut cuts)
            .then(|| cuts.iter().map(|cut| &line[cut.range()]).collect())
    }

    /// Scenario: numbers, ids, words with digits; a line that is nothing but a number; more cuts than there may be.
    /// Guarantees: what varies is cut out, letters that name it stay.
    #[test]
    fn what_varies() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            ("no digit in this line", &[]),
            ("42", &["42"]),
            ("took 12ms, status=200", &["12", "200"]),
            ("user=u00123 trace=4bf92f3577b34da6", &["00123", "4bf92f3577b34da6"]),
            ("pod web-7d9c5b8f6-x2k2p", &["7d9c5b8f6", "x2k2p"]),
            ("I1114 22:13:05.123456 1 a.go:88]", &["1114", "22", "13", "05", "123456", "1", "88"]),
            ("gr\u{fc}\u{df}e 7\u{20ac}", &["7"]),
        ];
        for (line, expect) in cases {
            assert_eq!(words(line).as_deref(), Some(expect), "{line}");
        }
        assert_eq!(words("1 2 3 4 5 6 7 8 9"), None);
    }

    proptest! {
        /// Scenario: any text.
        /// Guarantees: cuts lie in order, none empty, within characters' bounds; every digit is in one.
        #[test]
        fn any_text(line in "([a-z0-9 ]|[^a]){0,60}") {
            let mut cuts = Vec::new();
            prop_assert!(cut(line.as_bytes(), 0..line.len(), usize::MAX, &mut cuts));
            let mut at = 0;
            for cut in cuts {
                let range = cut.range();
                prop_assert!(range.start >= at && !range.is_empty());
                prop_assert!(!line[at..range.start].contains(|c: char| c.is_ascii_digit()));
                prop_assert!(line[range.clone()].contains(|c: char| c.is_ascii_digit()));
                at = range.end;
            }
            prop_assert!(!line[at..].contains(|c: char| c.is_ascii_digit()));
        }
    }
}
