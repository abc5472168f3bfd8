//! Log frames, column by column.

use crate::frame::FrameError;
use crate::model::Labels;

/// Lines of several streams, self-contained. Texts lie together in one arena.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LogFrame {
    /// Labels of each stream, by number.
    pub streams: Vec<Labels>,
    /// In the order in which they were read.
    pub entries: Vec<LogEntry>,
    /// All lines, one behind the other, without line ends.
    pub text: String,
    /// Structured metadata pairs of all entries, one behind the other.
    pub metadata: Vec<Pair>,
}

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

impl LogFrame {
    /// The payload, not yet compressed.
    pub fn encode(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// # Errors
    /// Any byte string gives a frame or an error, with memory bounded by [`crate::limits`].
    pub fn decode(_raw: &[u8]) -> Result<Self, FrameError> {
        unimplemented!()
    }

    /// Each entry with its line and its metadata.
    pub fn iter(&self) -> impl Iterator<Item = (&LogEntry, &str, &[Pair])> {
        let (mut line, mut pair) = (0, 0);
        self.entries.iter().map(move |entry| {
            let (from, first) = (line, pair);
            line += entry.len as usize;
            pair += entry.metadata as usize;
            (entry, &self.text[from..line], &self.metadata[first..pair])
        })
    }
}
