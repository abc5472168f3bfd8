//! Bytes in and out, for the payloads of keyframes and frames: variable-length integers, gaps, strings. The reader
//! checks every count against its limit and against the bytes that are left, before memory is spent on it.

use crate::frame::{FrameError, limit};

/// Little-endian base 128, seven bits a byte (as in protobuf).
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Zigzag: small numbers of either sign become small unsigned ones.
#[inline]
pub(crate) fn put_signed(out: &mut Vec<u8>, n: i64) {
    put(out, zigzag(n));
}

#[inline]
pub(crate) fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

#[inline]
fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// How many there are, then ascending numbers as the gaps between them.
pub(crate) fn put_ascending(out: &mut Vec<u8>, numbers: &[u32]) {
    put(out, numbers.len() as u64);
    let mut next = 0;
    for &n in numbers {
        debug_assert!(n >= next, "numbers ascend");
        put(out, u64::from(n - next));
        next = n + 1;
    }
}

/// Reads what the functions above wrote.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// What is being read, for errors.
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, raw: &'a [u8]) -> Self {
        Self { rest: raw, what }
    }

    pub(crate) fn error(&self, why: &'static str) -> FrameError {
        FrameError::Content { what: self.what, why }
    }

    /// The next `n` bytes.
    #[inline]
    pub(crate) fn bytes(&mut self, n: usize) -> Result<&'a [u8], FrameError> {
        let Some((bytes, rest)) = self.rest.split_at_checked(n) else {
            return Err(self.error("it ends early"));
        };
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, FrameError> {
        Ok(self.bytes(1)?[0])
    }

    /// Eight bytes, little end first.
    pub(crate) fn fixed(&mut self) -> Result<u64, FrameError> {
        let mut le = [0; 8];
        le.copy_from_slice(self.bytes(8)?);
        Ok(u64::from_le_bytes(le))
    }

    #[inline]
    pub(crate) fn number(&mut self) -> Result<u64, FrameError> {
        // Most numbers take one byte.
        if let Some((&first, rest)) = self.rest.split_first()
            && first < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(first));
        }
        self.long_number()
    }

    fn long_number(&mut self) -> Result<u64, FrameError> {
        let mut n = 0;
        for (i, &byte) in self.rest.iter().take(10).enumerate() {
            n |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                if i == 9 && byte > 1 {
                    return Err(self.error("a number has more than 64 bits"));
                }
                self.rest = &self.rest[i + 1..];
                return Ok(n);
            }
        }
        Err(self.error(if self.rest.len() < 10 { "it ends early" } else { "a number has more than 64 bits" }))
    }

    #[inline]
    pub(crate) fn signed(&mut self) -> Result<i64, FrameError> {
        self.number().map(unzigzag)
    }

    /// A number below `end`, such as an index.
    #[inline]
    pub(crate) fn below(&mut self, end: usize, why: &'static str) -> Result<usize, FrameError> {
        match self.number()? {
            n if n < end as u64 => Ok(n as usize),
            _ => Err(self.error(why)),
        }
    }

    /// How many things follow: at most `most`, and no more than the bytes that are left can hold, `each` being the
    /// fewest bytes that one takes.
    pub(crate) fn count(&mut self, of: &'static str, most: usize, each: usize) -> Result<usize, FrameError> {
        let n = self.number()?;
        limit(of, n, most as u64)?;
        if n > (self.rest.len() / each.max(1)) as u64 {
            return Err(self.error("it counts more than its bytes can hold"));
        }
        Ok(n as usize)
    }

    /// Ascending numbers below `end`.
    pub(crate) fn ascending(&mut self, end: usize) -> Result<Vec<u32>, FrameError> {
        let n = self.count("the number of series", end, 1)?;
        let mut numbers = Vec::with_capacity(n);
        let mut next = 0;
        for _ in 0..n {
            let left = end.saturating_sub(next);
            let number = next + self.below(left, "a series' number is too large")?;
            numbers.push(number as u32);
            next = number + 1;
        }
        Ok(numbers)
    }

    /// The next `n` bytes as text.
    pub(crate) fn text(&mut self, n: usize) -> Result<&'a str, FrameError> {
        let bytes = self.bytes(n)?;
        str::from_utf8(bytes).map_err(|_| self.error("a text is not UTF-8"))
    }

    /// Everything must have been read.
    pub(crate) fn done(&self) -> Result<(), FrameError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error("bytes are left over")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: numbers at every width.
    /// Guarantees: they come back; a number of more than 64 bits, or one that ends early, is an error.
    #[test]
    fn numbers() {
        let mut out = Vec::new();
        let all: Vec<u64> = (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit]).chain([u64::MAX]).collect();
        for &n in &all {
            put(&mut out, n);
            put_signed(&mut out, n as i64);
        }
        let mut reader = Reader::new("test", &out);
        for &n in &all {
            assert_eq!(reader.number(), Ok(n));
            assert_eq!(reader.signed(), Ok(n as i64));
        }
        assert_eq!(reader.done(), Ok(()));
        let bad: [&[u8]; 4] =
            [&[], &[0x80], &[0xff; 9], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]];
        for bytes in bad {
            assert!(Reader::new("test", bytes).number().is_err(), "{bytes:?}");
        }
    }

    /// Scenario: a count far above the bytes that follow, and one above its limit.
    /// Guarantees: both are errors before anything is allocated.
    #[test]
    fn counts() {
        let mut out = Vec::new();
        put(&mut out, 1_000_000);
        out.extend([0; 10]);
        assert!(Reader::new("test", &out).count("x", usize::MAX, 1).is_err());
        assert!(matches!(Reader::new("test", &out).count("x", 10, 1), Err(FrameError::TooLarge { .. })));
        assert!(Reader::new("test", &[3, 0, 0, 0]).ascending(2).is_err());
        assert_eq!(Reader::new("test", &[2, 1, 0]).ascending(3), Ok(vec![1, 2]));
    }
}
