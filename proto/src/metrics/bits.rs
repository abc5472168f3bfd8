//! Differences as bits: five that say how long a number is, then the number without its leading one. Frames are small
//! and their differences hardly compress, so what a byte-wise form wastes (half a byte each) would be sent.

use crate::columns::{Reader, unzigzag, zigzag};
use crate::frame::FrameError;

const LENGTH_BITS: u32 = 5;
/// The length that stands for 64 bits in full; all below it are lengths.
const FULL: u32 = (1 << LENGTH_BITS) - 1;

/// Appends numbers to bytes; the lowest bit of a byte comes first.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Bits that are not a whole byte yet.
    held: u64,
    n_held: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, held: 0, n_held: 0 }
    }

    /// A signed number, small ones in few bits.
    pub(super) fn put(&mut self, n: i64) {
        let n = zigzag(n);
        let length = u64::BITS - n.leading_zeros();
        if length < FULL {
            self.bits(u64::from(length), LENGTH_BITS);
            let tail = length.saturating_sub(1);
            self.bits(n & ((1 << tail) - 1), tail);
        } else {
            self.bits(u64::from(FULL), LENGTH_BITS);
            self.bits(n & 0xffff_ffff, 32);
            self.bits(n >> 32, 32);
        }
    }

    /// At most 32 bits.
    fn bits(&mut self, bits: u64, n: u32) {
        self.held |= bits << self.n_held;
        self.n_held += n;
        while self.n_held >= 8 {
            self.out.push(self.held as u8);
            self.held >>= 8;
            self.n_held -= 8;
        }
    }

    /// Fills the last byte with zeros.
    pub(super) fn finish(self) {
        if self.n_held > 0 {
            self.out.push(self.held as u8);
        }
    }
}

/// Reads what [`BitWriter`] wrote, byte by byte as it needs them.
#[derive(Default)]
pub(super) struct BitReader {
    held: u64,
    n_held: u32,
}

impl BitReader {
    /// The next number.
    pub(super) fn take(&mut self, reader: &mut Reader<'_>) -> Result<i64, FrameError> {
        let n = match self.bits(LENGTH_BITS, reader)? as u32 {
            0 => 0,
            FULL => self.bits(32, reader)? | self.bits(32, reader)? << 32,
            length => 1 << (length - 1) | self.bits(length - 1, reader)?,
        };
        Ok(unzigzag(n))
    }

    fn bits(&mut self, n: u32, reader: &mut Reader<'_>) -> Result<u64, FrameError> {
        while self.n_held < n {
            self.held |= u64::from(reader.byte()?) << self.n_held;
            self.n_held += 8;
        }
        let bits = self.held & ((1 << n) - 1);
        self.held >>= n;
        self.n_held -= n;
        Ok(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: numbers of every length and either sign, one behind the other.
    /// Guarantees: they come back, and the small ones take less than a byte.
    #[test]
    fn numbers() {
        let ones = (0..64).flat_map(|bit| [1_i64 << bit, (1_i64 << bit).wrapping_neg(), i64::MAX >> bit]);
        let all: Vec<i64> = [0, 1, -1, i64::MIN].into_iter().chain(ones).collect();
        let mut out = Vec::new();
        let mut writer = BitWriter::new(&mut out);
        all.iter().for_each(|&n| writer.put(n));
        writer.finish();
        let mut reader = Reader::new("test", &out);
        let mut bits = BitReader::default();
        for &n in &all {
            assert_eq!(bits.take(&mut reader), Ok(n));
        }
        assert_eq!(reader.done(), Ok(()));
        assert!(bits.take(&mut reader).is_err());

        let mut out = Vec::new();
        let mut writer = BitWriter::new(&mut out);
        [0, 1, -1, 0].iter().for_each(|&n| writer.put(n));
        writer.finish();
        assert_eq!(out.len(), 3);
    }
}
