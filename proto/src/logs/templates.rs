//! The texts of a frame's lines. Lines of which several differ only in their numbers and ids are taken apart: what they
//! have in common stands there once, what varies lies in a column for each place (values.rs). The others stay as they
//! are. rebuild.rs reads all of it.
//!
//! ```text
//! form u8
//! PLAIN:     length of each line | the texts, one behind the other, to the end
//! TEMPLATES: templates: count | places of each, where a value stands
//!            the length of each piece between them, one more than places | all pieces, one behind the other
//!            each line: number of its template, from 1; 0 for none
//!            length of each line that has none | their texts, one behind the other
//!            by template, by place: a column of values.rs
//! ```

use super::cuts::{Cut, cut};
use super::entry::LogEntry;
use super::values::Writer;
use crate::columns::put;

pub(super) const PLAIN: u8 = 0;
pub(super) const TEMPLATES: u8 = 1;

/// Templates of a frame, places of a template, and of all together: a column of each is in memory while they are read.
pub(super) const MOST: usize = 4 << 10;
pub(super) const MOST_PLACES: usize = 64;
pub(super) const MOST_COLUMNS: usize = 64 << 10;
/// Lines that make a template: fewer are smaller as they are.
const FEWEST_LINES: u32 = 3;
/// Steps on the way to a template with the same place in the table.
const MOST_STEPS: usize = 8;

/// What the first line of its kind has shown.
struct Template {
    hash: u64,
    /// Where that line lies, and its cuts.
    line: Cut,
    cuts: Cut,
    lines: u32,
    /// Its number in the frame, from 1; 0 if it has too few lines.
    number: u32,
}

/// A line that was cut: its template, and where its cuts begin.
struct Line {
    template: u32,
    cuts: u32,
}

const NONE: u32 = u32::MAX;

/// All templates of a text.
struct Table<'a> {
    text: &'a [u8],
    cuts: Vec<Cut>,
    templates: Vec<Template>,
    /// By hash: number of the template, plus 1.
    slots: Vec<u32>,
}

/// Appends the texts of `entries`.
pub(super) fn put_texts(out: &mut Vec<u8>, entries: &[LogEntry], text: &str) {
    let begin = out.len();
    let sum: u64 = entries.iter().map(|entry| u64::from(entry.len)).sum();
    let fits = sum == text.len() as u64 && sum < u64::from(u32::MAX);
    if fits && entries.len() >= FEWEST_LINES as usize {
        out.push(TEMPLATES);
        put_templates(out, entries, text.as_bytes());
        if out.len() - begin < text.len() {
            return;
        }
        out.truncate(begin);
    }
    out.push(PLAIN);
    for entry in entries {
        put(out, u64::from(entry.len));
    }
    out.extend_from_slice(text.as_bytes());
}

fn put_templates(out: &mut Vec<u8>, entries: &[LogEntry], text: &[u8]) {
    let slots = vec![0; (2 * entries.len()).next_power_of_two().min(8 * MOST)];
    let mut table = Table { text, cuts: Vec::with_capacity(entries.len() * 8), templates: Vec::new(), slots };
    let mut lines = Vec::with_capacity(entries.len());
    let mut at = 0;
    for entry in entries {
        lines.push(table.line(Cut { start: at, len: entry.len }));
        at += entry.len;
    }

    let (mut used, mut columns) = (Vec::new(), 0);
    for template in table.templates.iter_mut().filter(|template| template.lines >= FEWEST_LINES) {
        columns += template.cuts.len as usize;
        if columns > MOST_COLUMNS {
            break;
        }
        used.push((template.line, template.cuts));
        template.number = used.len() as u32;
    }
    put(out, used.len() as u64);
    used.iter().for_each(|(_, cuts)| put(out, u64::from(cuts.len)));
    for pieces in used.iter().map(|(line, cuts)| table.pieces(*line, *cuts)) {
        pieces.for_each(|piece| put(out, piece.len() as u64));
    }
    for pieces in used.iter().map(|(line, cuts)| table.pieces(*line, *cuts)) {
        pieces.for_each(|piece| out.extend_from_slice(piece));
    }

    let number =
        |line: &Line| table.templates.get(line.template as usize).map_or(0, |template| template.number);
    lines.iter().for_each(|line| put(out, u64::from(number(line))));
    let plain = || entries.iter().zip(&lines).filter(|(_, line)| number(line) == 0);
    plain().for_each(|(entry, _)| put(out, u64::from(entry.len)));
    let mut at = 0;
    for (entry, line) in entries.iter().zip(&lines) {
        let end = at + entry.len as usize;
        if number(line) == 0 {
            out.extend_from_slice(&text[at..end]);
        }
        at = end;
    }

    // The lines of each template, one template behind the other.
    let mut ends = vec![0_u32; used.len() + 1];
    lines.iter().for_each(|line| ends[number(line) as usize] += 1);
    let mut sum = 0;
    for end in &mut ends {
        sum += std::mem::replace(end, sum);
    }
    let mut sorted = vec![0_u32; lines.len()];
    for line in &lines {
        let end = &mut ends[number(line) as usize];
        sorted[*end as usize] = line.cuts;
        *end += 1;
    }
    let (mut writer, mut values) = (Writer::default(), Vec::new());
    for (n, (_, cuts)) in used.iter().enumerate() {
        let lines = &sorted[ends[n] as usize..ends[n + 1] as usize];
        for place in 0..cuts.len {
            values.clear();
            values.extend(lines.iter().map(|line| table.cuts[(line + place) as usize]));
            writer.put(text, &values, out);
        }
    }
}

impl<'a> Table<'a> {
    /// Cuts a line, and finds or makes its template.
    fn line(&mut self, line: Cut) -> Line {
        let none = Line { template: NONE, cuts: 0 };
        let first = self.cuts.len();
        if !cut(self.text, line.range(), MOST_PLACES, &mut self.cuts) {
            self.cuts.truncate(first);
            return none;
        }
        let cuts = Cut { start: first as u32, len: (self.cuts.len() - first) as u32 };
        let hash = self.pieces(line, cuts).fold(u64::from(cuts.len), mix);
        let mut slot = hash as usize;
        for _ in 0..MOST_STEPS {
            slot &= self.slots.len() - 1;
            let Some(known) = self.slots[slot].checked_sub(1) else {
                if self.templates.len() == MOST {
                    break;
                }
                let template = self.templates.len() as u32;
                self.templates.push(Template { hash, line, cuts, lines: 1, number: 0 });
                self.slots[slot] = template + 1;
                return Line { template, cuts: cuts.start };
            };
            let template = &self.templates[known as usize];
            if template.hash == hash && self.is_same(template, line, cuts) {
                self.templates[known as usize].lines += 1;
                return Line { template: known, cuts: cuts.start };
            }
            slot += 1;
        }
        self.cuts.truncate(first);
        none
    }

    fn is_same(&self, template: &Template, line: Cut, cuts: Cut) -> bool {
        template.cuts.len == cuts.len && self.pieces(template.line, template.cuts).eq(self.pieces(line, cuts))
    }

    /// What lies before, between and behind the cuts of a line.
    fn pieces(&self, line: Cut, cuts: Cut) -> impl Iterator<Item = &'a [u8]> + use<'a, '_> {
        let (mut at, end) = (line.start as usize, line.range().end);
        let (text, cuts) = (self.text, &self.cuts[cuts.range()]);
        (0..=cuts.len()).map(move |n| match cuts.get(n) {
            Some(cut) => {
                let piece = &text[at..cut.start as usize];
                at = cut.range().end;
                piece
            }
            None => &text[at..end],
        })
    }
}

/// A hash that is quick, and good enough for a table that looks twice.
fn mix(hash: u64, piece: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let step = |hash: u64, word: u64| {
        let mixed = (hash ^ word).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 29)
    };
    let (words, rest) = piece.as_chunks::<8>();
    let hash = words.iter().fold(hash, |hash, word| step(hash, u64::from_le_bytes(*word)));
    let rest = rest.iter().fold(1, |word, byte| word << 8 | u64::from(*byte));
    step(hash, rest)
}
