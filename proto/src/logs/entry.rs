//! A line of a frame, beside its text.

/// A pair of structured metadata: name and value.
pub type Pair = (Box<str>, Box<str>);

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LogEntry {
    /// Number of its stream.
    pub stream: u32,
    /// Nanoseconds.
    pub at_ns: i64,
    /// Bytes of the line; it begins where the line before it ends.
    pub len: u32,
    /// Pairs of metadata; they begin where those of the entry before end.
    pub metadata: u32,
}
