//! The values at one place of a template, over all of its lines: one kind of column for all, whichever is the smallest.
//! column.rs reads them.
//!
//! ```text
//! kind u8 | bytes of what follows | by kind:
//! SAME    the value
//! FEW     count | the length of each | the values | one byte a line: which
//! FIXED   width | the smallest | bytes of each | what is above the smallest: all lowest bytes, then the next ones, ...
//! EACH    width | each number
//! STEPS   width | each number, minus the one before (the first minus 0)
//! HEX     digits of each | two a byte, the first in the high half
//! TEXT    each value and a line end
//! ```
//!
//! Width: digits of each number, zeros in front of it; 0 where they have none in front.

use super::cuts::Cut;
use crate::columns::{put, put_signed, zigzag};

pub(super) const SAME: u8 = 0;
pub(super) const FEW: u8 = 1;
pub(super) const FIXED: u8 = 2;
pub(super) const EACH: u8 = 3;
pub(super) const STEPS: u8 = 4;
pub(super) const HEX: u8 = 5;
pub(super) const TEXT: u8 = 6;

/// Values of [`FEW`].
const MOST_FEW: usize = 64;
/// Digits of a number, so that 64 bits hold it.
pub(super) const MOST_DIGITS: usize = 18;
/// Digits of a value of [`HEX`].
pub(super) const MOST_HEX: usize = 64;

/// Makes columns; keeps what it needs for them, so that the next one finds it there.
#[derive(Default)]
pub(super) struct Writer {
    numbers: Vec<u64>,
    few: Vec<u128>,
    which: Vec<u8>,
    data: Vec<u8>,
}

impl Writer {
    /// Appends the column of `values`, of which there is at least one; none is empty, and all are letters and digits.
    pub(super) fn put(&mut self, text: &[u8], values: &[Cut], out: &mut Vec<u8>) {
        let of = |cut: &Cut| &text[cut.range()];
        self.data.clear();
        let first = of(&values[0]);
        let kind = if values.iter().all(|value| of(value) == first) {
            self.data.extend_from_slice(first);
            SAME
        } else if let Some(width) = self.numbers(values.iter().map(of)) {
            self.put_numbers(width, values.iter().map(of))
        } else if self.few(values.iter().map(of)) {
            self.put_few();
            FEW
        } else if is_hex(values.iter().map(of)) {
            put(&mut self.data, first.len() as u64);
            for value in values {
                let half = |digit: u8| if digit < b'a' { digit - b'0' } else { digit - b'a' + 10 };
                let pair = |two: &[u8]| half(two[0]) << 4 | two.get(1).map_or(0, |second| half(*second));
                self.data.extend(of(value).chunks(2).map(pair));
            }
            HEX
        } else {
            for value in values {
                self.data.extend_from_slice(of(value));
                self.data.push(b'\n');
            }
            TEXT
        };
        out.push(kind);
        put(out, self.data.len() as u64);
        out.extend_from_slice(&self.data);
    }

    /// All values as numbers, and their width, if they are such.
    fn numbers<'a>(&mut self, values: impl Iterator<Item = &'a [u8]>) -> Option<usize> {
        self.numbers.clear();
        let (mut shortest, mut longest, mut zeros) = (usize::MAX, 0, false);
        for value in values {
            if value.len() > MOST_DIGITS {
                return None;
            }
            let mut number = 0_u64;
            for digit in value {
                let digit = digit.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                number = number * 10 + u64::from(digit);
            }
            zeros |= value[0] == b'0' && value.len() > 1;
            (shortest, longest) = (shortest.min(value.len()), longest.max(value.len()));
            self.numbers.push(number);
        }
        match (zeros, shortest == longest) {
            (false, _) => Some(0),
            (true, true) => Some(longest),
            (true, false) => None,
        }
    }

    /// In the form that takes the fewest bytes, as zstd will see them: a step of 0 and a byte of which only few bits are
    /// in use cost less than a byte.
    fn put_numbers<'a>(&mut self, width: usize, values: impl Iterator<Item = &'a [u8]>) -> u8 {
        let bytes = |n: u64| 8 * u64::from((70 - (n | 1).leading_zeros()) / 7);
        let (mut least, mut most, mut before) = (u64::MAX, 0, 0_u64);
        let (mut each, mut steps) = (0, 0);
        for &number in &self.numbers {
            (least, most) = (least.min(number), most.max(number));
            each += bytes(number);
            let step = zigzag(number.wrapping_sub(before) as i64);
            steps += if step == 0 { 1 } else { bytes(step) };
            before = number;
        }
        let n = self.numbers.len() as u64;
        let size = (u64::from(u64::BITS - (most - least).leading_zeros())).div_ceil(8);
        let fixed = n * u64::from(u64::BITS - (most - least).leading_zeros());
        let smallest = fixed.min(each).min(steps);
        if n >= 16 && self.few(values) {
            let bits = usize::BITS - (self.few.len() - 1).leading_zeros();
            if n * u64::from(bits) + 64 * (self.few.len() as u64) < smallest {
                self.put_few();
                return FEW;
            }
        }
        put(&mut self.data, width as u64);
        if smallest == steps {
            let mut before = 0_u64;
            for &number in &self.numbers {
                put_signed(&mut self.data, number.wrapping_sub(before) as i64);
                before = number;
            }
            STEPS
        } else if smallest == fixed {
            put(&mut self.data, least);
            self.data.push(size as u8);
            for byte in 0..size {
                self.data.extend(self.numbers.iter().map(|number| ((number - least) >> (8 * byte)) as u8));
            }
            FIXED
        } else {
            for &number in &self.numbers {
                put(&mut self.data, number);
            }
            EACH
        }
    }

    /// Whether there are few different values.
    fn few<'a>(&mut self, values: impl Iterator<Item = &'a [u8]>) -> bool {
        const SLOTS: usize = 4 * MOST_FEW;
        let mut slots = [0_u8; SLOTS];
        self.few.clear();
        self.which.clear();
        for value in values {
            let mut key = [0; 16];
            let Some(head) = key.get_mut(..value.len()) else { return false };
            head.copy_from_slice(value);
            let key = u128::from_le_bytes(key);
            let mixed = (key as u64 ^ (key >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut slot = (mixed >> 56) as usize % SLOTS;
            loop {
                match slots[slot] {
                    0 => {
                        // Half of the first ones differ: so will the others.
                        if self.few.len() == MOST_FEW || 2 * self.few.len() > self.which.len() + 16 {
                            return false;
                        }
                        self.few.push(key);
                        slots[slot] = self.few.len() as u8;
                    }
                    known if self.few[usize::from(known) - 1] != key => {
                        slot = (slot + 1) % SLOTS;
                        continue;
                    }
                    _ => {}
                }
                self.which.push(slots[slot] - 1);
                break;
            }
        }
        4 * self.few.len() <= self.which.len() + 4
    }

    fn put_few(&mut self) {
        let length = |key: &u128| 16 - key.leading_zeros() as usize / 8;
        put(&mut self.data, self.few.len() as u64);
        for key in &self.few {
            put(&mut self.data, length(key) as u64);
        }
        for key in &self.few {
            self.data.extend_from_slice(&key.to_le_bytes()[..length(key)]);
        }
        self.data.extend_from_slice(&self.which);
    }
}

fn is_hex<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut length = 0;
    values.all(|value| {
        length = if length == 0 { value.len() } else { length };
        value.len() == length
            && length <= MOST_HEX
            && value.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}
