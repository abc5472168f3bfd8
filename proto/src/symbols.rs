//! The symbol table of a payload: each label name, label value and other repeated text once, numbered in the order of
//! first use. Label sets are rows of symbol numbers under a shape (their names), as differences to the row before
//! with the same name: neighbouring series differ in one label, so rows are mostly zeros.
//!
//! ```text
//! table: count | length of each | the texts
//! shape: count | symbol of each name
//! row:   shape | per name: symbol of the value, minus that of the last row with this name
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use crate::columns::{Reader, put, put_signed};
use crate::frame::FrameError;
use crate::limits::{MAX_LABEL_NAME_BYTES, MAX_LABEL_VALUE_BYTES, MAX_LABELS, MAX_SHAPES, MAX_SYMBOLS};
use crate::model::Labels;

/// Collects symbols, shapes and rows; written by [`Writer::finish`].
#[derive(Default)]
pub(crate) struct Writer<'a> {
    symbols: HashMap<&'a str, u32>,
    lengths: Vec<u8>,
    texts: String,
    shapes: HashMap<Vec<u32>, u32>,
    shape_bytes: Vec<u8>,
    /// Per symbol used as a name: the value in the last row.
    last: Vec<u32>,
    names: Vec<u32>,
}

impl<'a> Writer<'a> {
    /// The number of a text.
    pub(crate) fn symbol(&mut self, text: &'a str) -> u32 {
        let next = self.symbols.len() as u32;
        *self.symbols.entry(text).or_insert_with(|| {
            put(&mut self.lengths, text.len() as u64);
            self.texts.push_str(text);
            next
        })
    }

    /// Appends the row of `labels` to `rows`.
    pub(crate) fn row(&mut self, labels: &'a Labels, rows: &mut Vec<u8>) {
        let mut names = std::mem::take(&mut self.names);
        names.clear();
        names.extend(labels.iter().map(|(name, _)| self.symbol(name)));
        let shape = match self.shapes.get(&names) {
            Some(&shape) => shape,
            None => {
                put(&mut self.shape_bytes, names.len() as u64);
                names.iter().for_each(|&name| put(&mut self.shape_bytes, u64::from(name)));
                let next = self.shapes.len() as u32;
                self.shapes.insert(names.clone(), next);
                next
            }
        };
        put(rows, u64::from(shape));
        for (&name, (_, value)) in names.iter().zip(labels.iter()) {
            let value = self.symbol(value);
            self.last.resize(self.symbols.len(), 0);
            let last = &mut self.last[name as usize];
            put_signed(rows, i64::from(value) - i64::from(*last));
            *last = value;
        }
        self.names = names;
    }

    /// Writes the table and the shapes; the rows follow.
    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        put(out, self.symbols.len() as u64);
        out.extend_from_slice(&self.lengths);
        out.extend_from_slice(self.texts.as_bytes());
        put(out, self.shapes.len() as u64);
        out.extend_from_slice(&self.shape_bytes);
    }
}

/// What becomes of what is read. A payload of some MiB may have [`crate::limits::MAX_ROW_LABELS`] labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// All of it.
    All,
    /// It is only looked at, every label as well: rows come out empty, and take no memory.
    Nothing,
}

/// The table and the shapes, read; then the rows one by one.
pub(crate) struct Table {
    keep: Keep,
    /// What rows come out as that are not kept.
    empty: Labels,
    symbols: Vec<Arc<str>>,
    shapes: Vec<Vec<u32>>,
    last: Vec<u32>,
    /// Labels that rows may still have.
    left: usize,
}

impl Table {
    /// `most` labels are all that the rows may have together.
    ///
    /// # Errors
    /// Where the bytes are no table, or are over a limit.
    pub(crate) fn read(reader: &mut Reader<'_>, keep: Keep, most: usize) -> Result<Self, FrameError> {
        let n = reader.count("the number of symbols", MAX_SYMBOLS, 1)?;
        let mut lengths = Vec::with_capacity(n);
        for _ in 0..n {
            lengths.push(reader.number()? as usize);
        }
        let mut symbols = Vec::with_capacity(n);
        for length in lengths {
            symbols.push(reader.text(length)?.into());
        }
        let (empty, last) = (Labels::default(), vec![0; n]);
        let mut table = Self { keep, empty, symbols, shapes: Vec::new(), last, left: most };
        for _ in 0..reader.count("the number of label shapes", MAX_SHAPES, 1)? {
            let shape = table.read_shape(reader)?;
            table.shapes.push(shape);
        }
        Ok(table)
    }

    fn read_shape(&self, reader: &mut Reader<'_>) -> Result<Vec<u32>, FrameError> {
        let mut shape: Vec<u32> = Vec::new();
        for _ in 0..reader.count("the number of labels", MAX_LABELS, 1)? {
            let name = reader.below(self.symbols.len(), "a label's name is not in the table")?;
            let text = &self.symbols[name];
            if text.len() > MAX_LABEL_NAME_BYTES {
                return Err(reader.error("a label's name is too long"));
            }
            if shape.last().is_some_and(|&before| self.symbols[before as usize] >= *text) {
                return Err(reader.error("label names are not in order"));
            }
            shape.push(name as u32);
        }
        Ok(shape)
    }

    /// A text by its number.
    pub(crate) fn symbol(&self, reader: &mut Reader<'_>) -> Result<Arc<str>, FrameError> {
        Ok(self.symbols[reader.below(self.symbols.len(), "a text is not in the table")?].clone())
    }

    /// The next row.
    pub(crate) fn row(&mut self, reader: &mut Reader<'_>) -> Result<Labels, FrameError> {
        let shape = reader.below(self.shapes.len(), "a label shape is not in the table")?;
        let shape = &self.shapes[shape];
        let Some(left) = self.left.checked_sub(shape.len()) else {
            return Err(reader.error("it has too many labels"));
        };
        self.left = left;
        let keeps = self.keep == Keep::All;
        let mut pairs = Vec::with_capacity(if keeps { shape.len() } else { 0 });
        for &name in shape {
            let last = &mut self.last[name as usize];
            let value = i64::from(*last).wrapping_add(reader.signed()?);
            let Some(text) = usize::try_from(value).ok().and_then(|n| self.symbols.get(n)) else {
                return Err(reader.error("a label's value is not in the table"));
            };
            if text.is_empty() || text.len() > MAX_LABEL_VALUE_BYTES {
                return Err(reader.error("a label's value is empty or too long"));
            }
            *last = value as u32;
            if keeps {
                pairs.push((self.symbols[name as usize].clone(), text.clone()));
            }
        }
        Ok(if keeps { Labels::from_sorted(pairs) } else { self.empty.clone() })
    }
}
