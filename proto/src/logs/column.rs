//! Reads the columns of values.rs, a value at a time: what a column stands for is never in memory as a whole.

use super::values::{EACH, FEW, FIXED, HEX, MOST_DIGITS, MOST_HEX, SAME, STEPS, TEXT};
use crate::columns::{Reader, unzigzag};
use crate::frame::FrameError;

/// A column that is read, a value at a time.
pub(super) struct Column<'a> {
    kind: u8,
    /// Digits of each.
    width: usize,
    /// The value of [`SAME`].
    same: &'a str,
    /// Where the values of [`FEW`] stand in the list of all columns.
    few: usize,
    few_len: usize,
    least: u64,
    size: usize,
    before: u64,
    data: Reader<'a>,
    /// The planes of [`FIXED`].
    planes: &'a [u8],
    lines: usize,
    next: usize,
}

/// What columns write their values to.
pub(super) trait Out {
    /// # Errors
    /// Where there is too much.
    fn push(&mut self, text: &[u8]) -> Result<(), FrameError>;
}

impl<'a> Column<'a> {
    /// `lines`: how many values it has. Values of [`FEW`] go behind those of other columns, of which there are at most
    /// `most` in all.
    ///
    /// # Errors
    /// Where the bytes are no column.
    pub(super) fn read(
        reader: &mut Reader<'a>,
        lines: usize,
        few: &mut Vec<&'a str>,
        most: usize,
    ) -> Result<Self, FrameError> {
        let kind = reader.byte()?;
        let length = reader.number()? as usize;
        let data = reader.bytes(length)?;
        let mut column = Self {
            kind,
            width: 0,
            same: "",
            few: few.len(),
            few_len: 0,
            least: 0,
            size: 0,
            before: 0,
            data: Reader::new("log lines", data),
            planes: &[],
            lines,
            next: 0,
        };
        let (data, error) = (&mut column.data, |why| FrameError::Content { what: "log lines", why });
        match kind {
            SAME => {
                column.same = data.text(length)?;
                if length == 0 {
                    return Err(error("a value is empty"));
                }
            }
            FEW => {
                let count = data.count("the number of values", most.saturating_sub(few.len()), 2)?;
                let mut lengths = Vec::with_capacity(count);
                for _ in 0..count {
                    lengths.push(data.number()? as usize);
                }
                for length in lengths {
                    few.push(data.text(length)?);
                    if length == 0 {
                        return Err(error("a value is empty"));
                    }
                }
                column.few_len = count;
            }
            FIXED | EACH | STEPS => {
                column.width = data.below(MOST_DIGITS + 1, "a number has too many digits")?;
                if kind == FIXED {
                    column.least = data.number()?;
                    column.size = usize::from(data.byte()?);
                    if column.size > 8 {
                        return Err(error("a number has more than 64 bits"));
                    }
                    column.planes = data.bytes(column.size * lines)?;
                }
            }
            HEX => {
                column.width = data.below(MOST_HEX + 1, "an id has too many digits")?;
                if column.width == 0 {
                    return Err(error("a value is empty"));
                }
            }
            TEXT => {}
            _ => return Err(error("the kind of its values is not known")),
        }
        Ok(column)
    }

    /// Hands on the next value.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) fn next(&mut self, few: &[&str], out: &mut impl Out) -> Result<(), FrameError> {
        match self.kind {
            SAME => out.push(self.same.as_bytes()),
            FEW => {
                let which = usize::from(self.data.byte()?);
                if which >= self.few_len {
                    return Err(self.data.error("a value is not among the few"));
                }
                out.push(few[self.few + which].as_bytes())
            }
            HEX => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let mut digits = [0; MOST_HEX];
                let packed = self.data.bytes(self.width.div_ceil(2))?;
                for (two, byte) in digits.chunks_exact_mut(2).zip(packed) {
                    two[0] = DIGITS[usize::from(byte >> 4)];
                    two[1] = DIGITS[usize::from(byte & 15)];
                }
                out.push(&digits[..self.width])
            }
            TEXT => out.push(self.data.line()?.as_bytes()),
            _ => {
                let number = self.number()?;
                self.push_number(number, out)
            }
        }
    }

    fn number(&mut self) -> Result<u64, FrameError> {
        match self.kind {
            EACH => self.data.number(),
            STEPS => {
                self.before = self.before.wrapping_add(unzigzag(self.data.number()?) as u64);
                Ok(self.before)
            }
            _ => {
                if self.next >= self.lines {
                    return Err(self.data.error("it has more lines than it says"));
                }
                let plane = |byte: usize| u64::from(self.planes[byte * self.lines + self.next]) << (8 * byte);
                let above = (0..self.size).map(plane).sum();
                self.next += 1;
                Ok(self.least.wrapping_add(above))
            }
        }
    }

    fn push_number(&self, mut number: u64, out: &mut impl Out) -> Result<(), FrameError> {
        /// As many as 64 bits have at most.
        const DIGITS: usize = 20;
        let mut digits = [b'0'; DIGITS];
        let mut at = DIGITS;
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        out.push(&digits[at.min(DIGITS - self.width)..])
    }

    /// Every value must have been read.
    ///
    /// # Errors
    /// Where some are left over.
    pub(super) fn done(&self) -> Result<(), FrameError> {
        self.data.done()
    }
}
