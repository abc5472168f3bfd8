//! The texts of a frame's lines, read: from templates and columns (templates.rs), or as they are.

use super::column::{Column, Out};
use super::entry::LogEntry;
use super::templates::{MOST, MOST_COLUMNS, MOST_PLACES, PLAIN, TEMPLATES};
use crate::columns::Reader;
use crate::frame::{FrameError, limit};
use crate::limits::{MAX_RAW_BYTES, MAX_RECORDS};

/// Where the texts go; counts alone if nobody keeps them.
struct Texts {
    text: Vec<u8>,
    keeps: bool,
    bytes: usize,
}

impl Out for Texts {
    fn push(&mut self, text: &[u8]) -> Result<(), FrameError> {
        self.bytes += text.len();
        if self.bytes > MAX_RAW_BYTES {
            limit("the text of its lines", self.bytes as u64, MAX_RAW_BYTES as u64)?;
        }
        if self.keeps {
            self.text.extend_from_slice(text);
        }
        Ok(())
    }
}

/// Reads what [`super::templates::put_texts`] wrote: the lengths of the lines into the entries, and, where they are kept, the texts.
///
/// # Errors
/// Any bytes give texts or an error; these are at most [`MAX_RAW_BYTES`].
pub(super) fn read_texts(
    reader: &mut Reader<'_>,
    entries: &mut [LogEntry],
    keeps: bool,
) -> Result<String, FrameError> {
    match reader.byte()? {
        PLAIN => {
            let lengths = read_lengths(reader, entries.iter_mut())?;
            let text = read_lines(reader, lengths, entries.iter())?;
            Ok(if keeps { text.to_owned() } else { String::new() })
        }
        TEMPLATES => {
            let text = read_templates(reader, entries, keeps)?;
            String::from_utf8(text).map_err(|_| reader.error("a text is not UTF-8"))
        }
        _ => Err(reader.error("the form of its texts is not known")),
    }
}

/// Returns the sum.
fn read_lengths<'e>(
    reader: &mut Reader<'_>,
    entries: impl Iterator<Item = &'e mut LogEntry>,
) -> Result<usize, FrameError> {
    let mut sum = 0;
    for entry in entries {
        entry.len = reader.below(MAX_RAW_BYTES + 1, "a line is longer than a frame may be")? as u32;
        sum += entry.len as usize;
    }
    Ok(sum)
}

/// The next texts, checked that each line is one.
fn read_lines<'r, 'e>(
    reader: &mut Reader<'r>,
    bytes: usize,
    entries: impl Iterator<Item = &'e LogEntry>,
) -> Result<&'r str, FrameError> {
    let text = reader.text(bytes)?;
    let mut end = 0;
    for entry in entries {
        end += entry.len as usize;
        if !text.is_char_boundary(end) {
            return Err(reader.error("a line ends within a character"));
        }
    }
    Ok(text)
}

fn read_templates(
    reader: &mut Reader<'_>,
    entries: &mut [LogEntry],
    keeps: bool,
) -> Result<Vec<u8>, FrameError> {
    let n = reader.count("the number of templates", MOST, 1)?;
    // Places of those before, and behind the last one.
    let mut places = vec![0];
    for _ in 0..n {
        let sum =
            places[places.len() - 1] + reader.below(MOST_PLACES + 1, "a template has too many places")?;
        places.push(sum);
    }
    limit("the number of columns", places[n] as u64, MOST_COLUMNS as u64)?;
    let mut lengths = Vec::new();
    for _ in 0..places[n] + n {
        lengths.push(reader.number()? as usize);
    }
    let mut pieces = Vec::with_capacity(lengths.len());
    for length in lengths {
        pieces.push(reader.text(length)?);
    }

    let mut numbers = Vec::with_capacity(entries.len());
    let mut lines = vec![0; n + 1];
    for _ in 0..entries.len() {
        let number = reader.below(n + 1, "a line's template is not there")?;
        numbers.push(number as u16);
        lines[number] += 1;
    }
    let is_plain = |(_, number): &(_, &u16)| **number == 0;
    let plain = entries.iter_mut().zip(&numbers).filter(|(_, number)| **number == 0).map(|(entry, _)| entry);
    let bytes = read_lengths(reader, plain)?;
    let plain = entries.iter().zip(&numbers).filter(is_plain).map(|(entry, _)| entry);
    let mut plain = read_lines(reader, bytes, plain)?.as_bytes();

    let (mut columns, mut few) = (Vec::with_capacity(places[n]), Vec::new());
    for (template, lines) in lines[1..].iter().enumerate() {
        for _ in places[template]..places[template + 1] {
            columns.push(Column::read(reader, *lines, &mut few, MAX_RECORDS)?);
        }
    }
    let mut out = Texts { text: Vec::new(), keeps, bytes: 0 };
    for (entry, number) in entries.iter_mut().zip(&numbers) {
        let begin = out.bytes;
        let Some(template) = usize::from(*number).checked_sub(1) else {
            let (line, rest) = plain.split_at(entry.len as usize);
            out.push(line)?;
            plain = rest;
            continue;
        };
        let (first, last) = (places[template], places[template + 1]);
        for place in first..last {
            out.push(pieces[place + template].as_bytes())?;
            columns[place].next(&few, &mut out)?;
        }
        out.push(pieces[last + template].as_bytes())?;
        entry.len = (out.bytes - begin) as u32;
    }
    columns.iter().try_for_each(Column::done)?;
    Ok(out.text)
}
