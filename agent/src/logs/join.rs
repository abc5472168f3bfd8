//! Records into chunks: the lines of a part of a file, with its span.
//!
//! What is handed over is what must not be read again, so a span never ends inside something that is still open:
//!
//! - The spans of one file follow each other without gap or overlap, and chunks come in the order of their spans.
//! - While a partial line is open, nothing behind its first byte counts as handed over: what the other stream says
//!   meanwhile waits too (bounded in time and size), and leaves together with the joined line.
//! - A part of a file with lines of both streams makes two chunks: one with an **empty span** (start = end = where the
//!   part begins) and one with the span of the part. Whoever stores them keeps a chunk with lines and an empty span
//!   together with the next span of that file, in one frame. (Parted by a crash, its lines would be read twice; never
//!   lost, as spans come last.)
//! - A partial line that goes on in the next file of the same container (rotation) has bytes in two files: the lines
//!   leave with an empty span in the new file, then follows a chunk without lines whose span is what was open in the
//!   old file, then the span of the new one.

use std::borrow::Cow;
use std::sync::Arc;

use ao_proto::model::{FileId, FileSpan};

use super::api::{LogsStats, Origin, Record};
use crate::event::{ABANDONED, Dropped, Event, Line, LogChunk};

/// Text of one chunk after which the next one is begun.
const CHUNK: usize = 64 << 10;

/// Text that is held back for an open partial line, beyond the longest line, before it is given up.
pub(super) const HELD: usize = 1 << 20;

/// Joins what one name's files say.
pub(super) struct Joiner {
    origin: Arc<Origin>,
    stats: Arc<LogsStats>,
    max_line: usize,
    /// The file being read: from what was handed over to what was taken in.
    span: Option<FileSpan>,
    /// Parts of earlier files that are still open.
    behind: Vec<FileSpan>,
    runs: [Run; 2],
    open: [Option<Partial>; 2],
    last: [Last; 2],
}

/// Lines of one stream that become a chunk.
#[derive(Default)]
struct Run {
    lines: Vec<Line>,
    text: String,
}

/// Pieces of a line whose last piece has not come. Bytes, since a piece may end inside a character.
struct Partial {
    at_ns: i64,
    text: Vec<u8>,
    /// Bytes of its pieces as read.
    raw: usize,
}

/// The line before, of a stream.
#[derive(Default)]
struct Last {
    read_ns: i64,
    given_ns: i64,
    /// Its text, if it is not the last one of the current run.
    text: String,
    /// Size of the run before, which the next one is likely to have.
    lines: usize,
    bytes: usize,
}

impl Joiner {
    pub(super) fn new(origin: Arc<Origin>, max_line: usize, stats: Arc<LogsStats>) -> Self {
        Self {
            origin,
            stats,
            max_line,
            span: None,
            behind: Vec::new(),
            runs: Default::default(),
            open: [None, None],
            last: Default::default(),
        }
    }

    /// What follows was read from `file`, beginning at `at`.
    pub(super) fn begin(&mut self, file: FileId, at: u64, out: &mut Vec<Event>) {
        if let Some(old) = self.span {
            if old.file == file && old.end == at {
                return;
            }
            // Only the beginning of a file can go on with what the file before it left open.
            if at > 0 || old.file == file || self.behind.iter().any(|b| b.file == file) {
                self.give_up(out);
            }
            self.flush(out);
            self.behind.extend(self.span.filter(|s| s.start < s.end));
        }
        self.span = Some(FileSpan { file, start: at, end: at });
    }

    /// `file` is begun at `at`: says so with a chunk of no lines and no bytes, so that it is remembered.
    pub(super) fn mark(&mut self, file: FileId, at: u64, out: &mut Vec<Event>) {
        self.begin(file, at, out);
        out.push(self.chunk(0, FileSpan { file, start: at, end: at }));
    }

    /// Takes in one record and the `raw` bytes of the file that it took up.
    pub(super) fn record(&mut self, record: &Record<'_>, raw: usize, out: &mut Vec<Event>) {
        // Before it is taken in: what leaves together must fit into a frame.
        if self.is_open() && self.held() + record.text.len() > HELD + self.max_line {
            self.give_up(out);
        }
        let s = record.stream as usize;
        let mut before = self.open[s].take();
        let begin = self.taken();
        let end = begin + raw;
        if let Some(partial) = &before
            && partial.text.len() + record.text.len() > self.max_line
        {
            // As long as a line may be: what has come is one.
            LogsStats::add(&self.stats.cuts, 1);
            self.push(s, partial.at_ns, &partial.text, begin, partial.raw, &[]);
            before = None;
        }
        match (record.partial, before) {
            (false, None) => self.push(s, record.at_ns, record.text, end, raw, record.fields),
            (false, Some(mut partial)) => {
                partial.text.extend_from_slice(record.text);
                self.push(s, record.at_ns, &partial.text, end, partial.raw + raw, record.fields);
            }
            (true, None) => {
                // What came before it need not wait for it.
                self.flush(out);
                self.open[s] = Some(Partial { at_ns: record.at_ns, text: record.text.to_vec(), raw });
            }
            (true, Some(mut partial)) => {
                partial.at_ns = record.at_ns;
                partial.text.extend_from_slice(record.text);
                partial.raw += raw;
                self.open[s] = Some(partial);
            }
        }
        if let Some(span) = &mut self.span {
            span.end += raw as u64;
        }
        if !self.is_open() && self.held() >= CHUNK * 2 {
            self.close(out);
        }
    }

    /// The bytes of `file` from `from` to `to` are never read: says so, behind all that came before.
    pub(super) fn abandon(&mut self, file: FileId, from: u64, to: u64, out: &mut Vec<Event>) {
        self.begin(file, from, out);
        self.give_up(out);
        let span = FileSpan { file, start: from, end: to };
        out.push(Event::Logs(LogChunk {
            source: "logs",
            labels: self.origin.labels[0].clone(),
            shared: self.origin.shared.clone(),
            pod: self.origin.pod.clone(),
            file: Some(span),
            bytes: 0,
            lines: Vec::new(),
            text: String::new(),
            dropped: vec![Dropped { reason: ABANDONED.into(), records: 0, bytes: to - from }],
        }));
        self.span = Some(FileSpan { start: to, ..span });
    }

    /// Bytes of what was not handed over.
    fn held(&self) -> usize {
        let runs = self.runs.iter().map(|run| run.text.len() + run.lines.len() * size_of::<Line>());
        let open = self.open.iter().flatten().map(|partial| partial.text.len());
        runs.chain(open).sum()
    }

    /// Hands over all that may be.
    pub(super) fn flush(&mut self, out: &mut Vec<Event>) {
        if !self.is_open() {
            self.close(out);
        }
    }

    /// Whether a line waits for its rest.
    pub(super) fn is_open(&self) -> bool {
        self.open.iter().any(Option::is_some)
    }

    /// Whether something of `file` waits.
    pub(super) fn waits_in(&self, file: FileId) -> bool {
        self.is_open() && self.span.iter().chain(&self.behind).any(|s| s.file == file && s.start < s.end)
    }

    /// The rest of open lines will not come: hands them over as they are.
    pub(super) fn give_up(&mut self, out: &mut Vec<Event>) {
        for s in 0..self.open.len() {
            if let Some(partial) = self.open[s].take() {
                LogsStats::add(&self.stats.partials_split, 1);
                self.push(s, partial.at_ns, &partial.text, self.taken(), partial.raw, &[]);
            }
        }
        self.close(out);
    }

    /// Bytes taken in of the file being read since something was handed over.
    fn taken(&self) -> usize {
        self.span.map_or(0, |span| (span.end - span.start) as usize)
    }

    /// A line whose last byte is the one before `end`, counted from the start of the span, of `raw` bytes in all.
    fn push(
        &mut self,
        s: usize,
        at_ns: i64,
        text: &[u8],
        end: usize,
        raw: usize,
        fields: &[(&'static str, &str)],
    ) {
        let text: Cow<'_, str> = match std::str::from_utf8(text) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => {
                LogsStats::add(&self.stats.invalid_utf8, 1);
                String::from_utf8_lossy(text)
            }
        };
        let (run, last) = (&mut self.runs[s], &mut self.last[s]);
        if run.lines.is_empty() {
            run.lines.reserve(last.lines);
            run.text.reserve(last.bytes);
        }
        let mut given_ns = at_ns;
        if at_ns == last.read_ns || at_ns == last.given_ns {
            let before = match run.lines.last() {
                Some(line) => &run.text[run.text.len() - line.len as usize..],
                None => &last.text,
            };
            if before == text {
                given_ns = last.given_ns.saturating_add(1);
            }
        }
        (last.read_ns, last.given_ns) = (at_ns, given_ns);
        run.text.push_str(&text);
        let metadata = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let [len, end, raw] = [text.len(), end, raw].map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        run.lines.push(Line { at_ns: given_ns, len, end, raw, metadata });
    }

    /// Hands over all lines and all bytes up to here. Nothing may be open.
    fn close(&mut self, out: &mut Vec<Event>) {
        let Some(now) = self.span else { return };
        // The span that comes last, and that the lines before it belong to: the newest one that is not empty.
        let main = if now.start < now.end { now } else { self.behind.pop().unwrap_or(now) };
        let empty = FileSpan { end: main.start, ..main };
        let full = self.runs.iter().filter(|run| !run.lines.is_empty()).count();
        // One chunk may say lines and span at once.
        let together = if self.behind.is_empty() { full.checked_sub(1) } else { None };
        let mut nth = 0;
        for s in 0..self.runs.len() {
            if !self.runs[s].lines.is_empty() {
                let span = if Some(nth) == together { main } else { empty };
                out.push(self.chunk(s, span));
                nth += 1;
            }
        }
        for span in std::mem::take(&mut self.behind) {
            out.push(self.chunk(0, span));
        }
        if together.is_none() && main.start < main.end {
            out.push(self.chunk(0, main));
        }
        self.span = Some(FileSpan { start: now.end, ..now });
    }

    /// All lines of a stream with this span; none if there are none.
    fn chunk(&mut self, s: usize, span: FileSpan) -> Event {
        let run = std::mem::take(&mut self.runs[s]);
        if let Some(line) = run.lines.last() {
            let last = &mut self.last[s];
            last.text.clear();
            last.text.push_str(&run.text[run.text.len() - line.len as usize..]);
            (last.lines, last.bytes) = (run.lines.len(), run.text.len().min(CHUNK));
        }
        let bytes = span.end - span.start;
        LogsStats::add(&self.stats.lines, run.lines.len() as u64);
        LogsStats::add(&self.stats.bytes, bytes);
        Event::Logs(LogChunk {
            source: "logs",
            labels: self.origin.labels[s].clone(),
            shared: self.origin.shared.clone(),
            pod: self.origin.pod.clone(),
            file: Some(span),
            bytes,
            lines: run.lines,
            text: run.text,
            dropped: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests;
