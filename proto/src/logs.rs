//! Log frames, column by column.
//!
//! ```text
//! symbols and shapes (symbols.rs) | streams: count | labels of each (a row of symbols.rs)
//! streams whose lines have metadata in common (a subset) | it, for each (a row)
//! lines: count
//! streams of the lines, in runs: number, minus that of the run before; lines in the run
//! unit u8: times are multiples of 10^unit ns | times in units, each minus the one before
//! lines with metadata (a subset) | pairs of each
//! pairs: count | name by symbol, length of the value | the values, one behind the other
//! texts (templates.rs), to the end
//! ```
//!
//! Numbers are variable-length, signed ones zigzag; subsets and rows as in columns.rs and symbols.rs. Columns of like
//! things are what zstd does well on, and so are the numbers and ids within lines, nearly all that differs from one line
//! to the next.

mod column;
mod cuts;
mod entry;
mod rebuild;
mod templates;
mod values;

#[cfg(test)]
mod tests;

pub use self::entry::{LogEntry, Pair};
use crate::columns::{Reader, put, put_signed, put_subset};
use crate::frame::{FrameError, limit};
use crate::limits::{MAX_METADATA, MAX_RAW_BYTES, MAX_RECORDS, MAX_STREAM_LABELS, MAX_STREAMS};
use crate::model::Labels;
use crate::symbols::{Keep, Table, Writer};

/// Lines of several streams, self-contained. Texts lie together in one arena.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LogFrame {
    /// Labels of each stream, by number.
    pub streams: Vec<Labels>,
    /// Structured metadata that all lines of a stream have, by its number, such as the UID of their pod. May be shorter
    /// than `streams`: the rest have none.
    pub shared: Vec<Labels>,
    /// In the order in which they were read.
    pub entries: Vec<LogEntry>,
    /// All lines, one behind the other, without line ends.
    pub text: String,
    /// Structured metadata pairs of all entries, one behind the other.
    pub metadata: Vec<Pair>,
}

impl LogFrame {
    /// The payload, not yet compressed.
    pub fn encode(&self) -> Vec<u8> {
        let entries = &self.entries;
        let mut out = Vec::with_capacity(256 + self.streams.len() * 64 + entries.len() * 8 + self.text.len());
        let mut symbols = Writer::default();
        let mut rows = Vec::new();
        put(&mut rows, self.streams.len() as u64);
        for labels in &self.streams {
            symbols.row(labels, &mut rows);
        }
        let shares = |(n, labels): (u32, &Labels)| (!labels.pairs().is_empty()).then_some(n);
        let sharing: Vec<u32> =
            (0..).zip(self.shared.iter().take(self.streams.len())).filter_map(shares).collect();
        put_subset(&mut rows, &sharing, self.streams.len());
        for &n in &sharing {
            symbols.row(&self.shared[n as usize], &mut rows);
        }
        let mut pairs = Vec::new();
        put(&mut pairs, self.metadata.len() as u64);
        for (name, value) in &self.metadata {
            put(&mut pairs, u64::from(symbols.symbol(name)));
            put(&mut pairs, value.len() as u64);
        }
        symbols.finish(&mut out);
        out.append(&mut rows);

        put(&mut out, entries.len() as u64);
        let mut stream = 0;
        for run in entries.chunk_by(|a, b| a.stream == b.stream) {
            put_signed(&mut out, i64::from(run[0].stream) - stream);
            put(&mut out, run.len() as u64);
            stream = i64::from(run[0].stream);
        }
        put_times(&mut out, entries);
        let with: Vec<u32> = (0..).zip(entries).filter(|(_, e)| e.metadata > 0).map(|(i, _)| i).collect();
        put_subset(&mut out, &with, entries.len());
        for &i in &with {
            put(&mut out, u64::from(entries[i as usize].metadata));
        }
        out.append(&mut pairs);
        for (_, value) in &self.metadata {
            out.extend_from_slice(value.as_bytes());
        }
        templates::put_texts(&mut out, entries, &self.text);
        out
    }

    /// # Errors
    /// Any byte string gives a frame or an error, with memory bounded by [`crate::limits`].
    pub fn decode(raw: &[u8]) -> Result<Self, FrameError> {
        Self::read(raw, Keep::All)
    }

    /// Whether [`LogFrame::decode`] can read a payload, at a fraction of its memory: labels, metadata and texts are looked
    /// at, and not kept.
    ///
    /// # Errors
    /// As [`LogFrame::decode`].
    pub fn check(raw: &[u8]) -> Result<(), FrameError> {
        Self::read(raw, Keep::Nothing).map(drop)
    }

    fn read(raw: &[u8], keep: Keep) -> Result<Self, FrameError> {
        let mut reader = Reader::new("log lines", raw);
        let reader = &mut reader;
        let mut table = Table::read(reader, keep, MAX_STREAM_LABELS)?;
        let n = reader.count("the number of streams", MAX_STREAMS, 1)?;
        let mut streams = Vec::with_capacity(n);
        for _ in 0..n {
            streams.push(table.row(reader)?);
        }
        let sharing = reader.subset(n)?;
        let mut shared = vec![Labels::default(); sharing.last().map_or(0, |&last| last as usize + 1)];
        for stream in sharing {
            shared[stream as usize] = table.row(reader)?;
        }
        // A frame has one form: none where there is none.
        while shared.pop_if(|labels| labels.pairs().is_empty()).is_some() {}

        // A time and a length.
        let n = reader.count("the number of lines", MAX_RECORDS, 2)?;
        let mut entries = Vec::with_capacity(n);
        let mut stream = 0_i64;
        while entries.len() < n {
            stream = stream.wrapping_add(reader.signed()?);
            if !usize::try_from(stream).is_ok_and(|stream| stream < streams.len()) {
                return Err(reader.error("a line's stream is not in the table"));
            }
            let run = reader.below(n - entries.len() + 1, "a run of lines is too long")?;
            if run == 0 {
                return Err(reader.error("a run of lines is empty"));
            }
            let entry = LogEntry { stream: stream as u32, ..LogEntry::default() };
            entries.resize(entries.len() + run, entry);
        }
        read_times(reader, &mut entries)?;
        let with = reader.subset(n)?;
        let mut n_pairs = 0_u64;
        for i in with {
            let pairs = reader.below(MAX_METADATA + 1, "a line has too much metadata")? as u32;
            entries[i as usize].metadata = pairs;
            n_pairs += u64::from(pairs);
        }
        let metadata = read_metadata(reader, &table, n_pairs, keep)?;
        let text = rebuild::read_texts(reader, &mut entries, keep == Keep::All)?;
        reader.done()?;
        Ok(Self { streams, shared, entries, text, metadata })
    }

    /// The metadata that all lines of an entry's stream have.
    pub fn shared_by(&self, entry: &LogEntry) -> Option<&Labels> {
        self.shared.get(entry.stream as usize)
    }

    /// Each entry with its line and its own metadata.
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

/// Powers of ten that times are multiples of: journald counts in microseconds, Docker in nanoseconds.
const UNITS: [(u8, i64); 4] = [(9, 1_000_000_000), (6, 1_000_000), (3, 1_000), (0, 1)];

fn put_times(out: &mut Vec<u8>, entries: &[LogEntry]) {
    let mut units = UNITS.iter();
    let mut unit = units.next();
    for entry in entries {
        while unit.is_some_and(|(_, ns)| entry.at_ns % ns != 0) {
            unit = units.next();
        }
    }
    let &(exponent, ns) = unit.unwrap_or(&(0, 1));
    out.push(exponent);
    let mut before = 0_i64;
    for entry in entries {
        let at = if ns == 1 { entry.at_ns } else { entry.at_ns / ns };
        put_signed(out, at.wrapping_sub(before));
        before = at;
    }
}

fn read_times(reader: &mut Reader<'_>, entries: &mut [LogEntry]) -> Result<(), FrameError> {
    let exponent = reader.byte()?;
    let Some((_, ns)) = UNITS.iter().find(|(e, _)| *e == exponent) else {
        return Err(reader.error("the unit of its times is not known"));
    };
    let mut at = 0_i64;
    for entry in entries {
        at = at.wrapping_add(reader.signed()?);
        entry.at_ns = at.checked_mul(*ns).ok_or_else(|| reader.error("a time is out of range"))?;
    }
    Ok(())
}

fn read_metadata(
    reader: &mut Reader<'_>,
    table: &Table,
    expected: u64,
    keep: Keep,
) -> Result<Vec<Pair>, FrameError> {
    let n = reader.count("the number of metadata pairs", MAX_METADATA, 2)?;
    if n as u64 != expected {
        return Err(reader.error("its metadata does not match its lines"));
    }
    let mut heads = Vec::with_capacity(n);
    for _ in 0..n {
        heads.push((table.symbol(reader)?, reader.number()? as usize));
    }
    // Every pair has a copy of its name: a long one named by many pairs must not add up.
    limit(
        "the metadata's names",
        heads.iter().map(|(name, _)| name.len() as u64).sum(),
        MAX_RAW_BYTES as u64,
    )?;
    let keeps = keep == Keep::All;
    let mut metadata = Vec::with_capacity(if keeps { n } else { 0 });
    for (name, length) in heads {
        let value = reader.text(length)?;
        if keeps {
            metadata.push(((&*name).into(), value.into()));
        }
    }
    Ok(metadata)
}
