//! Changes of bytes, from a seed: the same seed makes the same changes.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// No input grows beyond it.
const MOST_BYTES: usize = 256 << 10;

/// Numbers at which code breaks.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Texts at which parsers break.
const WORDS: [&[u8]; 14] = [
    b"\n",
    b"\0",
    b"-1",
    b"99999999999999999999",
    b"1e309",
    b"NaN",
    b"\xff\xfe",
    b"${A}",
    b"[[[[[[[[",
    b"{",
    b"\"",
    b"*",
    b"**/",
    b" ",
];

/// A stream of mutations.
pub struct Mutator(StdRng);

impl Mutator {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// One to four changes of `data`; `other` is another input to take pieces from.
    pub fn change(&mut self, data: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..self.0.random_range(1..=4) {
            self.once(data, other);
            data.truncate(MOST_BYTES);
        }
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end.max(1))
    }

    fn once(&mut self, data: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(data.len() + 1);
        match self.0.random_range(0..10) {
            0 | 1 => {
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << self.0.random_range(0..8);
                }
            }
            2 => {
                if let Some(byte) = data.get_mut(at) {
                    *byte = self.0.random();
                }
            }
            3 => data.truncate(at),
            4 => {
                let end = (at + self.below(64)).min(data.len());
                data.drain(at..end);
            }
            5 => {
                let end = (at + self.below(256)).min(data.len());
                let piece = data[at..end].to_vec();
                let times = if self.0.random_ratio(1, 20) { 200 } else { 1 };
                let piece: Vec<u8> = piece.iter().copied().cycle().take(piece.len() * times).collect();
                data.splice(at..at, piece);
            }
            6 => {
                let number = EDGES[self.below(EDGES.len())];
                let bytes = [number.to_le_bytes(), number.to_be_bytes()][self.below(2)];
                let width = [1, 2, 4, 8][self.below(4)];
                let end = (at + width).min(data.len());
                data.splice(at..end, bytes[..width].iter().copied());
            }
            // A long number as in protobuf and in our columns.
            7 => {
                let mut number = EDGES[self.below(EDGES.len())];
                let mut bytes = Vec::new();
                while number >= 0x80 {
                    bytes.push(number as u8 | 0x80);
                    number >>= 7;
                }
                bytes.push(number as u8);
                let end = (at + self.below(2)).min(data.len());
                data.splice(at..end, bytes);
            }
            8 => {
                let word = WORDS[self.below(WORDS.len())];
                let end = (at + self.below(word.len() + 1)).min(data.len());
                data.splice(at..end, word.iter().copied());
            }
            _ => {
                let from = self.below(other.len() + 1);
                let to = (from + self.below(512)).min(other.len());
                let end = (at + self.below(512)).min(data.len());
                data.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
}
