//! Reads the Prometheus text format, version 0.0.4: families with their help and type, and the samples of each.
//!
//! As strict as Prometheus's own reader: one line that is wrong makes the whole text wrong, since what was cut off in
//! the middle may read as something else.

mod line;

use std::borrow::Cow;
use std::collections::HashMap;

use ao_proto::model::MetricType;

use line::Line;

/// A metric with all its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Family<'a> {
    /// Its name; that of a histogram or summary is without `_bucket`, `_sum` and `_count`.
    pub name: &'a str,
    /// Its type; unknown where no line says it.
    pub kind: MetricType,
    /// Its help text, where there is one.
    pub help: Option<Cow<'a, str>>,
    /// In the order of their lines; never empty.
    pub samples: Vec<Sample<'a>>,
}

/// A sample of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// What follows the family's name in the sample's: empty, `_bucket`, `_sum` or `_count`.
    pub suffix: &'static str,
    /// Names and values, in their order.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// The value; any float, NaN and infinities too.
    pub value: f64,
    /// Milliseconds since 1970, where the line says it.
    pub timestamp_ms: Option<i64>,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Wrong {
    /// From 1.
    pub line: usize,
    /// A sentence.
    pub why: String,
}

/// The families of a text, in the order in which they are first named; those without a sample are left out.
///
/// # Errors
/// The first line that is wrong.
pub fn parse(text: &str) -> Result<Vec<Family<'_>>, Wrong> {
    let mut reader = Reader::default();
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let wrong = |why: String| Wrong { line: number + 1, why };
        let Some(line) = line.strip_suffix('\n') else {
            return Err(wrong("the text breaks off: its last line has no end".to_owned()));
        };
        reader.take(line).map_err(wrong)?;
    }
    reader.families.retain(|family| !family.samples.is_empty());
    Ok(reader.families)
}

#[derive(Default)]
struct Reader<'a> {
    families: Vec<Family<'a>>,
    by_name: HashMap<&'a str, usize>,
    /// Whether its type was said.
    typed: Vec<bool>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, line: &'a str) -> Result<(), String> {
        match line::parse(line)? {
            Line::Nothing => {}
            Line::Help { name, text } => {
                let at = self.family(name);
                if self.families[at].help.replace(text).is_some() {
                    return Err(format!("a second HELP of {name}"));
                }
            }
            Line::Type { name, kind } => {
                let at = self.family(name);
                if std::mem::replace(&mut self.typed[at], true) {
                    return Err(format!("a second TYPE of {name}"));
                }
                if !self.families[at].samples.is_empty() {
                    return Err(format!("TYPE of {name} behind its samples"));
                }
                self.families[at].kind = kind;
            }
            Line::Sample { name, labels, value, timestamp_ms } => {
                let (at, suffix) = self.owner(name);
                let family = &mut self.families[at];
                let lacks = |label| !labels.iter().any(|(name, _)| *name == label);
                match (family.kind, suffix) {
                    (MetricType::Histogram, "_bucket") if lacks("le") => {
                        return Err(format!("a bucket of {} without the label le", family.name));
                    }
                    (MetricType::Summary, "") if lacks("quantile") => {
                        return Err(format!("a sample of the summary {name} without the label quantile"));
                    }
                    (MetricType::Histogram, "") => {
                        return Err(format!("{name} is a histogram, which has no sample of that name"));
                    }
                    _ => {}
                }
                family.samples.push(Sample { suffix, labels, value, timestamp_ms });
            }
        }
        Ok(())
    }

    /// The family of that name, made where there is none.
    fn family(&mut self, name: &'a str) -> usize {
        *self.by_name.entry(name).or_insert_with(|| {
            self.families.push(Family { name, kind: MetricType::Unknown, help: None, samples: Vec::new() });
            self.typed.push(false);
            self.families.len() - 1
        })
    }

    /// The family of a sample, and what is behind its name: `x_sum` is part of `x` where `x` is a histogram or summary.
    /// A family of exactly that name comes first.
    fn owner(&mut self, name: &'a str) -> (usize, &'static str) {
        if let Some(&at) = self.by_name.get(name) {
            return (at, "");
        }
        for suffix in ["_bucket", "_sum", "_count"] {
            let Some(&at) = name.strip_suffix(suffix).and_then(|base| self.by_name.get(base)) else {
                continue;
            };
            match self.families[at].kind {
                MetricType::Histogram => return (at, suffix),
                MetricType::Summary if suffix != "_bucket" => return (at, suffix),
                _ => {}
            }
        }
        (self.family(name), "")
    }
}

#[cfg(test)]
mod tests;
