//! The telemetry itself, in the sinks' own shapes: Prometheus series, Loki streams. Times are Unix times.

use std::fmt;
use std::sync::Arc;

use crate::limits::{MAX_LABEL_NAME_BYTES, MAX_LABEL_VALUE_BYTES, MAX_LABELS};

/// Prometheus' marker for "this series has ended" (prometheus model/value/value.go, `StaleNaN`).
pub const STALE_NAN: u64 = 0x7ff0_0000_0000_0002;

/// A label set, sorted by name, each name once; a metric's name is the label `__name__`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// Sorts the pairs; of a repeated name the last pair stays. Pairs with an empty value are left out, as
    /// Prometheus holds an empty label to be an absent one. What is over [`crate::limits`] is cut there: a receiver
    /// would refuse the whole frame for one path of 3,000 bytes in one label.
    pub fn new(mut pairs: Vec<(Arc<str>, Arc<str>)>) -> Self {
        for (name, value) in &mut pairs {
            cut(name, MAX_LABEL_NAME_BYTES);
            cut(value, MAX_LABEL_VALUE_BYTES);
        }
        pairs.reverse();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| later.0 == first.0);
        pairs.retain(|(_, value)| !value.is_empty());
        pairs.truncate(MAX_LABELS);
        Self(pairs.into())
    }

    /// The same from borrowed pairs.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self::new(pairs.into_iter().map(|(n, v)| (n.as_ref().into(), v.as_ref().into())).collect())
    }

    /// Pairs that are in order already, each name once, no value empty.
    pub(crate) fn from_sorted(pairs: Vec<(Arc<str>, Arc<str>)>) -> Self {
        debug_assert!(
            pairs.is_sorted_by(|a, b| a.0 < b.0) && pairs.iter().all(|(_, value)| !value.is_empty())
        );
        Self(pairs.into())
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.binary_search_by(|(n, _)| (**n).cmp(name)).ok().map(|i| &*self.0[i].1)
    }

    /// The pairs in order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (&**n, &**v))
    }

    /// The pairs themselves, to share their strings.
    pub fn pairs(&self) -> &[(Arc<str>, Arc<str>)] {
        &self.0
    }
}

fn cut(text: &mut Arc<str>, most: usize) {
    if text.len() > most {
        *text = text[..text.floor_char_boundary(most)].into();
    }
}

/// As a selector, `{name="value", ...}`, for people: what a backend parses is escaped by its sink.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{name}={value:?}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Type of a metric family, with OpenMetrics' meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum MetricType {
    /// Not known.
    #[default]
    Unknown = 0,
    /// Only goes up, or back to zero.
    Counter = 1,
    /// Goes up and down.
    Gauge = 2,
    /// Classic histogram: `_bucket{le}`, `_sum`, `_count`.
    Histogram = 3,
    /// `{quantile}`, `_sum`, `_count`.
    Summary = 4,
    /// Constant 1 with the information in labels.
    Info = 5,
}

impl MetricType {
    /// From its number on the wire.
    pub fn from_number(n: u8) -> Option<Self> {
        [Self::Unknown, Self::Counter, Self::Gauge, Self::Histogram, Self::Summary, Self::Info]
            .into_iter()
            .find(|kind| *kind as u8 == n)
    }
}

/// What is the same for all series of one name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Family {
    /// The family's name; its series may carry a suffix (`_bucket`, `_sum`, `_count`).
    pub name: Arc<str>,
    /// See [`MetricType`].
    pub kind: MetricType,
    /// One sentence for people.
    pub help: Arc<str>,
    /// Base unit ("seconds", "bytes"); empty where none is declared.
    pub unit: Arc<str>,
}

/// One series of a keyframe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// All labels, `__name__` among them.
    pub labels: Labels,
    /// Index into the keyframe's families.
    pub family: u32,
}

/// An example measurement behind a sample, most often a trace id.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Number of the series in the keyframe.
    pub series: u32,
    /// The exemplar's own labels (`trace_id`).
    pub labels: Labels,
    /// The measurement.
    pub value: f64,
    /// Milliseconds.
    pub at_ms: i64,
}

/// A file whose lines are read, by what it is and not by its name: inode, birth time (or, where there is none, the
/// device) and first line, hashed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FileId(pub [u8; 16]);

/// A part of a file, in bytes, `end` excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSpan {
    /// Which file.
    pub file: FileId,
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: labels out of order, twice, empty, too long (within a character) and too many.
    /// Guarantees: sorted, each name once with its last value, none empty, all within the limits.
    #[test]
    fn labels() {
        let labels = Labels::from_pairs([("b", "1"), ("a", "2"), ("b", "3"), ("c", "")]);
        assert_eq!(labels.to_string(), r#"{a="2", b="3"}"#);
        assert_eq!((labels.get("b"), labels.get("c")), (Some("3"), None));

        let long = "x".repeat(MAX_LABEL_VALUE_BYTES - 1) + "\u{e9}";
        let labels = Labels::from_pairs([(&*long, "name"), ("value", &long)]);
        let lengths: Vec<(usize, usize)> = labels.iter().map(|(n, v)| (n.len(), v.len())).collect();
        assert_eq!(lengths, [(5, MAX_LABEL_VALUE_BYTES - 1), (MAX_LABEL_NAME_BYTES, 4)]);

        let many = (0..100).map(|i| (format!("n{i:03}"), "v"));
        assert_eq!(Labels::from_pairs(many).iter().len(), MAX_LABELS);
    }
}
