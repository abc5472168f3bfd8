//! Bytes into lines. A line ends with `\n` or `\r\n`; a longer one than the limit comes in pieces, none of its bytes
//! lost, cut between characters. Where the cuts fall depends on the bytes alone, never on how they were read.

use memchr::memchr;

/// A line, or a piece of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Without the line end.
    pub text: &'a [u8],
    /// Bytes of the file that it takes up, the line end included.
    pub raw: usize,
    /// The line goes on in the next piece.
    pub cut: bool,
}

/// The pieces of a part of a file that begins where a piece begins.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    max: usize,
    ended: bool,
}

/// A character of UTF-8 has at most this many bytes behind its first.
const TRAIL: usize = 3;

impl<'a> Lines<'a> {
    /// `max`: longest piece in bytes, above [`TRAIL`]. `ended`: what stands behind the last line end is a line too.
    pub(super) fn new(bytes: &'a [u8], max: usize, ended: bool) -> Self {
        Self { rest: bytes, max: max.max(TRAIL + 1), ended }
    }

    fn take(&mut self, text: usize, raw: usize, cut: bool) -> Piece<'a> {
        let piece = Piece { text: &self.rest[..text], raw, cut };
        self.rest = &self.rest[raw..];
        piece
    }

    /// The first `max` bytes, less the beginning of a character that would be torn.
    fn cut(&mut self) -> Piece<'a> {
        let begins = |at: &usize| self.rest[*at] & 0xc0 != 0x80;
        let at = (self.max - TRAIL..=self.max).rev().find(begins).unwrap_or(self.max);
        self.take(at, at, true)
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        // Room for the longest line and "\r\n"; nothing behind it decides about this piece.
        let window = &self.rest[..self.rest.len().min(self.max + 2)];
        let (body, raw) = match memchr(b'\n', window) {
            Some(at) => (at, at + 1),
            None if window.len() == self.max + 2 => return Some(self.cut()),
            None if self.ended && !window.is_empty() => (window.len(), window.len()),
            None => return None,
        };
        let text = if raw > body && window[..body].last() == Some(&b'\r') { body - 1 } else { body };
        Some(if text > self.max { self.cut() } else { self.take(text, raw, false) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8], max: usize, ended: bool) -> Vec<(Vec<u8>, usize, bool)> {
        Lines::new(bytes, max, ended).map(|p| (p.text.to_vec(), p.raw, p.cut)).collect()
    }

    /// Scenario: line ends of both kinds, empty lines, a line without an end.
    /// Guarantees: what stands behind the last line end waits, unless the file has ended.
    #[test]
    fn line_ends() {
        let text = |v: &[(Vec<u8>, usize, bool)]| {
            v.iter().map(|(t, ..)| String::from_utf8_lossy(t).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(text(&all(b"a\r\n\nb\r\r\nc", 100, false)), ["a", "", "b\r"]);
        assert_eq!(text(&all(b"a\nc", 100, true)), ["a", "c"]);
        assert_eq!(text(&all(b"", 100, true)), Vec::<String>::new());
    }

    /// Scenario: lines at the limit, one above it, far above it, and with characters of several bytes at the cut.
    /// Guarantees: pieces of at most the limit, characters whole, nothing lost.
    #[test]
    fn limit() {
        assert_eq!(all(b"12345678\r\n", 8, false), [(b"12345678".to_vec(), 10, false)]);
        let long = all(b"123456789\n", 8, false);
        assert_eq!(long, [(b"12345678".to_vec(), 8, true), (b"9".to_vec(), 2, false)]);
        // 3 bytes each: the third does not fit into 8.
        let euros = all("\u{20ac}\u{20ac}\u{20ac}\n".as_bytes(), 8, false);
        assert_eq!(euros[0].0, "\u{20ac}\u{20ac}".as_bytes());
        assert_eq!(euros[1], ("\u{20ac}".as_bytes().to_vec(), 4, false));
        assert_eq!(all(b"123456789", 8, false), []);
        assert_eq!(all(b"123456789", 8, true).len(), 2);
    }

    proptest! {
        /// Scenario: any bytes, arriving in any portions, read from the end of the last piece each time.
        /// Guarantees: the same pieces as when read at once; together they are all the bytes.
        #[test]
        fn any_chunking(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..400),
            portions in proptest::collection::vec(0..40_usize, 0..40),
            max in 4..40_usize,
        ) {
            let whole = all(&bytes, max, true);
            let (mut at, mut known, mut pieces) = (0, 0, Vec::new());
            for portion in portions {
                known = (known + portion).min(bytes.len());
                for (text, raw, cut) in all(&bytes[at..known], max, false) {
                    at += raw;
                    pieces.push((text, raw, cut));
                }
            }
            pieces.extend(all(&bytes[at..], max, true));
            prop_assert_eq!(&pieces, &whole);
            prop_assert_eq!(pieces.iter().map(|p| p.1).sum::<usize>(), bytes.len());
            prop_assert!(pieces.iter().all(|p| p.0.len() <= max));
        }
    }
}
