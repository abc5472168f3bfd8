//! The file of a recording: text, a line each, tab between fields. `zstd -19` makes it small, [`Recording::read`] takes
//! the text.
//!
//! ```text
//! F <type> <name> <help>            a family; numbered from 0 in order of their lines
//! S <family> <suffix> <name>=<value> ...   a series; numbered from 0 in order of their lines
//! T <ms>                            a round begins
//! <number> <value>                  a series has another value than in the round before, or is new or back
//! - <number>                        a series that was in the round before is not in this one
//! ```
//!
//! Families and series stand before the first line that needs them. Within texts, tab, line end and backslash are
//! written as \t, \n and \\. A finite value is the shortest decimal that gives its bits again; other values are `#` and
//! the bits in hex.

use std::collections::HashMap;
use std::io::{self, Write};

use ao_proto::model::{Labels, MetricType};
use thiserror::Error;

use crate::event::MetricSet;

#[cfg(test)]
mod tests;

/// Writes rounds, each in full before [`Writer::write`] returns.
pub struct Writer<W> {
    out: W,
    families: HashMap<String, usize>,
    series: HashMap<(usize, &'static str, Labels), usize>,
    /// Per series: its value in the last round, if it was there.
    values: Vec<Option<f64>>,
}

impl<W: Write> Writer<W> {
    /// An empty recording.
    pub fn new(out: W) -> Self {
        Self { out, families: HashMap::new(), series: HashMap::new(), values: Vec::new() }
    }

    /// Adds a round. Of a series that stands twice in it the last value counts.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&mut self, set: &MetricSet) -> io::Result<()> {
        let mut values = vec![None; self.values.len()];
        for sample in &set.samples {
            let family = &set.families[sample.family as usize];
            let name = set.text(&family.name);
            let family = match self.families.get(name) {
                Some(&known) => known,
                None => {
                    let kind = family.kind as u8;
                    writeln!(self.out, "F\t{kind}\t{}\t{}", escape(name), escape(set.text(&family.help)))?;
                    let new = self.families.len();
                    self.families.insert(name.to_owned(), new);
                    new
                }
            };
            let key = (family, sample.suffix, Labels::from_pairs(set.labels_of(sample)));
            let series = match self.series.get(&key) {
                Some(&known) => known,
                None => {
                    write!(self.out, "S\t{family}\t{}", sample.suffix)?;
                    for (name, value) in key.2.iter() {
                        write!(self.out, "\t{}={}", escape(name), escape(value))?;
                    }
                    writeln!(self.out)?;
                    let new = self.series.len();
                    self.series.insert(key, new);
                    values.push(None);
                    self.values.push(None);
                    new
                }
            };
            values[series] = Some(sample.value);
        }
        writeln!(self.out, "T\t{}", set.at_ms)?;
        for (number, (before, now)) in self.values.iter().zip(&values).enumerate() {
            match (before, now) {
                (Some(before), Some(now)) if before.to_bits() == now.to_bits() => {}
                (_, Some(now)) if now.is_finite() => writeln!(self.out, "{number}\t{now}")?,
                (_, Some(now)) => writeln!(self.out, "{number}\t#{:x}", now.to_bits())?,
                (Some(_), None) => writeln!(self.out, "-\t{number}")?,
                (None, None) => {}
            }
        }
        self.values = values;
        self.out.flush()
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some(other) => other,
                None => break,
            },
            c => c,
        });
    }
    out
}

/// A recording in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// Type, name and help by number.
    pub families: Vec<(MetricType, String, String)>,
    /// By number.
    pub series: Vec<RecordedSeries>,
    /// In order of time.
    pub snapshots: Vec<Snapshot>,
}

/// A series of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedSeries {
    /// Number of its family.
    pub family: usize,
    /// What follows the family's name in the series' name.
    pub suffix: String,
    /// Its own labels, without its name and those that enrichment adds.
    pub labels: Labels,
}

/// A round of a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// By the series' number; `None`, or behind the end, where a series was not there.
    pub values: Vec<Option<f64>>,
}

/// A line that is not of the format.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("line {line} of the recording cannot be read: {text:?}")]
pub struct FormatError {
    /// From 1.
    pub line: usize,
    /// Its beginning.
    pub text: String,
}

impl Recording {
    /// Reads the text of a recording.
    ///
    /// # Errors
    /// At the first line that is not of the format.
    pub fn read(text: &str) -> Result<Self, FormatError> {
        let mut recording = Self::default();
        for (i, line) in text.lines().enumerate() {
            let bad = || FormatError { line: i + 1, text: line.chars().take(80).collect() };
            recording.line(line).ok_or_else(bad)?;
        }
        Ok(recording)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let (first, rest) = line.split_once('\t')?;
        match first {
            "F" => {
                let mut fields = rest.splitn(3, '\t');
                let kind = MetricType::from_number(fields.next()?.parse().ok()?)?;
                self.families.push((kind, unescape(fields.next()?), unescape(fields.next()?)));
            }
            "S" => {
                let mut fields = rest.split('\t');
                let family = fields.next()?.parse().ok().filter(|&f| f < self.families.len())?;
                let suffix = fields.next()?.to_owned();
                let pairs = fields.map(|pair| pair.split_once('=').map(|(n, v)| (unescape(n), unescape(v))));
                let labels = Labels::from_pairs(pairs.collect::<Option<Vec<_>>>()?);
                self.series.push(RecordedSeries { family, suffix, labels });
            }
            "T" => {
                let values = self.snapshots.last().map(|last| last.values.clone()).unwrap_or_default();
                self.snapshots.push(Snapshot { at_ms: rest.parse().ok()?, values });
            }
            "-" => *self.value(rest)? = None,
            number => {
                let value = match rest.strip_prefix('#') {
                    Some(bits) => f64::from_bits(u64::from_str_radix(bits, 16).ok()?),
                    None => rest.parse().ok()?,
                };
                *self.value(number)? = Some(value);
            }
        }
        Some(())
    }

    /// The place of a series' value in the current round.
    fn value(&mut self, number: &str) -> Option<&mut Option<f64>> {
        let number: usize = number.parse().ok().filter(|&n| n < self.series.len())?;
        let values = &mut self.snapshots.last_mut()?.values;
        values.resize(self.series.len().max(values.len()), None);
        values.get_mut(number)
    }
}
