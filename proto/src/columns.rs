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
pub(crate) fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// Which of `n` things: how many, then a bit for each of the `n` (the lowest bit first) where at least an eighth is
/// chosen, else the gaps between the chosen ones. `chosen` ascends, all below `n`.
pub(crate) fn put_subset(out: &mut Vec<u8>, chosen: &[u32], n: usize) {
    debug_assert!(chosen.is_sorted_by(|a, b| a < b) && chosen.last().is_none_or(|&last| (last as usize) < n));
    put(out, chosen.len() as u64);
    if is_dense(chosen.len(), n) {
        let start = out.len();
        out.resize(start + n.div_ceil(8), 0);
        for &i in chosen {
            out[start + i as usize / 8] |= 1 << (i % 8);
        }
    } else {
        let mut next = 0;
        for &i in chosen {
            put(out, u64::from(i - next));
            next = i + 1;
        }
    }
}

/// From here on bits take less than a byte for each gap.
fn is_dense(chosen: usize, n: usize) -> bool {
    chosen > 0 && chosen >= n / 8
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

    /// Which of `n` things, in ascending order.
    pub(crate) fn subset(&mut self, n: usize) -> Result<Vec<u32>, FrameError> {
        let count = self.below(n + 1, "it chooses more than there are")?;
        if is_dense(count, n) {
            let bits = self.bytes(n.div_ceil(8))?;
            if bits.iter().map(|byte| byte.count_ones() as usize).sum::<usize>() != count {
                return Err(self.error("its bits are not as many as it says"));
            }
            let mut chosen = Vec::with_capacity(count);
            for (base, &byte) in (0..).step_by(8).zip(bits) {
                let mut byte = byte;
                while byte != 0 {
                    chosen.push(base + byte.trailing_zeros());
                    byte &= byte - 1;
                }
            }
            if chosen.last().is_some_and(|&last| last as usize >= n) {
                return Err(self.error("its bits are more than there are things"));
            }
            return Ok(chosen);
        }
        if count > self.rest.len() {
            return Err(self.error("it counts more than its bytes can hold"));
        }
        let mut chosen = Vec::with_capacity(count);
        let mut next = 0;
        for _ in 0..count {
            let i = next + self.below(n - next, "it chooses what is not there")?;
            chosen.push(i as u32);
            next = i + 1;
        }
        Ok(chosen)
    }

    /// The next `n` bytes as text.
    pub(crate) fn text(&mut self, n: usize) -> Result<&'a str, FrameError> {
        let bytes = self.bytes(n)?;
        str::from_utf8(bytes).map_err(|_| self.error("a text is not UTF-8"))
    }

    /// The text up to the next line end, which goes with it.
    pub(crate) fn line(&mut self) -> Result<&'a str, FrameError> {
        let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') else {
            return Err(self.error("it ends early"));
        };
        let line = self.text(end)?;
        self.rest = &self.rest[1..];
        Ok(line)
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
    }

    /// Scenario: subsets of every density, and bytes that are none.
    /// Guarantees: they come back in the shorter of the two forms; bits or numbers behind the end are errors.
    #[test]
    fn subsets() {
        for n in [0, 1, 7, 8, 9, 100, 1000] {
            for step in [1, 2, 7, 8, 9, 50, 2000] {
                let chosen: Vec<u32> = (0..n as u32).step_by(step).collect();
                let mut out = Vec::new();
                put_subset(&mut out, &chosen, n);
                assert!(out.len() <= 2 + n.div_ceil(8).min(chosen.len()), "{n} {step}");
                let mut reader = Reader::new("test", &out);
                assert_eq!(reader.subset(n), Ok(chosen));
                assert_eq!(reader.done(), Ok(()));
            }
        }
        let bad: [(&[u8], usize); 6] =
            [(&[3], 2), (&[1], 9), (&[1, 3], 9), (&[2, 1, 2], 9), (&[1, 20], 20), (&[1, 0x80, 0], 7)];
        for (bytes, n) in bad {
            assert!(Reader::new("test", bytes).subset(n).is_err(), "{bytes:?}");
        }
    }
}
