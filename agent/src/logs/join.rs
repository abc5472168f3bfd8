//! Records into chunks: runs of lines of one stream, with the span of the file that they were read from.
//!
//! What is handed over is what must not be read again, so a span never ends inside something that is still open:
//!
//! - The spans of one file follow each other without gap or overlap, and chunks come in the order of their spans.
//! - While a partial line is open, nothing behind its first byte may count as handed over. Lines of the other stream
//!   that come meanwhile are **held**, in chunks with an empty span (start = end = what was handed over before). They
//!   leave together: first the held chunks, then the chunk with the joined line, whose span covers all of it. Whoever
//!   stores them should not part a chunk with an empty span from the one behind it; if it does, and the machine dies
//!   just there, the held lines are read twice, never lost.
//! - A partial line that goes on in the next file of the same container (rotation): the joined line leaves with the
//!   span of the new file, and right behind it comes a chunk without lines whose span covers what was open in the
//!   old file. If the machine dies between the two, the beginning of the line is read again, never lost.

use std::borrow::Cow;
use std::sync::Arc;

use ao_proto::model::{FileId, FileSpan};

use super::api::{LogsStats, Origin, Record, Stream};
use crate::event::{Event, Line, LogChunk};

/// Text of one chunk after which the next one is begun.
const CHUNK: usize = 256 << 10;

/// Text that is held back for an open partial line, beyond the longest line, before it is given up.
const HELD: usize = 1 << 20;

/// Joins what one name's files say.
pub(super) struct Joiner {
    origin: Arc<Origin>,
    stats: Arc<LogsStats>,
    max_line: usize,
    /// The file being read: from what was handed over to what was taken in.
    span: Option<FileSpan>,
    /// Parts of earlier files that are still open.
    behind: Vec<FileSpan>,
    run: Option<Run>,
    held: Vec<LogChunk>,
    held_text: usize,
    open: [Option<Partial>; 2],
    last: [Last; 2],
}

/// Lines of one stream that become a chunk.
struct Run {
    stream: Stream,
    lines: Vec<Line>,
    text: String,
}

/// Pieces of a line whose last piece has not come. Bytes, since a piece may end inside a character.
struct Partial {
    at_ns: i64,
    text: Vec<u8>,
}

/// The line before, of a stream.
#[derive(Default)]
struct Last {
    read_ns: i64,
    given_ns: i64,
    /// Its text, if it is not the last one of the current run.
    text: String,
}

impl Joiner {
    pub(super) fn new(origin: Arc<Origin>, max_line: usize, stats: Arc<LogsStats>) -> Self {
        Self {
            origin,
            stats,
            max_line,
            span: None,
            behind: Vec::new(),
            run: None,
            held: Vec::new(),
            held_text: 0,
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
            if self.is_open() {
                self.hold_run();
                self.behind.extend(self.span.filter(|s| s.start < s.end));
            } else {
                self.close_run(out);
            }
        }
        self.span = Some(FileSpan { file, start: at, end: at });
    }

    /// `file` is begun at `at`: says so with a chunk of no lines and no bytes, so that it is remembered.
    pub(super) fn mark(&mut self, file: FileId, at: u64, out: &mut Vec<Event>) {
        self.begin(file, at, out);
        let chunk = self.chunk(None, FileSpan { file, start: at, end: at });
        out.push(Event::Logs(chunk));
    }

    /// Takes in one record and the `raw` bytes of the file that it took up.
    pub(super) fn record(&mut self, record: &Record<'_>, raw: usize, out: &mut Vec<Event>) {
        let s = record.stream as usize;
        match (record.partial, self.open[s].take()) {
            (false, None) => self.line(record.stream, record.at_ns, record.text, out),
            (false, Some(mut partial)) => {
                if partial.text.len() + record.text.len() > self.max_line {
                    self.full(s, partial, out);
                    self.line(record.stream, record.at_ns, record.text, out);
                } else {
                    partial.text.extend_from_slice(record.text);
                    // Still open while the run is changed: what the run held until now does not take the span along.
                    let text = std::mem::take(&mut partial.text);
                    self.open[s] = Some(partial);
                    self.turn_to(record.stream, out);
                    self.open[s] = None;
                    self.push(record.stream, record.at_ns, &text);
                }
            }
            (true, None) => {
                if !self.is_open() {
                    self.close_run(out);
                }
                self.open[s] = Some(Partial { at_ns: record.at_ns, text: record.text.to_vec() });
            }
            (true, Some(mut partial)) => {
                if partial.text.len() + record.text.len() > self.max_line {
                    self.full(s, partial, out);
                    self.open[s] = Some(Partial { at_ns: record.at_ns, text: record.text.to_vec() });
                } else {
                    partial.at_ns = record.at_ns;
                    partial.text.extend_from_slice(record.text);
                    self.open[s] = Some(partial);
                }
            }
        }
        if let Some(span) = &mut self.span {
            span.end += raw as u64;
        }
        if self.is_open() {
            let open: usize = self.open.iter().flatten().map(|p| p.text.len()).sum();
            let run = self.run.as_ref().map_or(0, |r| r.text.len() + r.lines.len() * size_of::<Line>());
            if self.held_text + run + open > HELD + self.max_line {
                self.give_up(out);
            }
        } else if self.run.as_ref().is_some_and(|r| r.text.len() >= CHUNK) {
            self.close_run(out);
        }
    }

    /// Hands over all that may be.
    pub(super) fn flush(&mut self, out: &mut Vec<Event>) {
        if !self.is_open() {
            self.close_run(out);
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
        for (s, stream) in [Stream::Stdout, Stream::Stderr].into_iter().enumerate() {
            if self.open[s].is_some() {
                self.turn_to(stream, out);
                if let Some(partial) = self.open[s].take() {
                    LogsStats::add(&self.stats.partials_split, 1);
                    self.push(stream, partial.at_ns, &partial.text);
                }
            }
        }
        self.close_run(out);
    }

    /// Pieces as long as a line may be become one; the span may follow, if nothing else is open.
    fn full(&mut self, s: usize, mut partial: Partial, out: &mut Vec<Event>) {
        LogsStats::add(&self.stats.cuts, 1);
        let stream = if s == 0 { Stream::Stdout } else { Stream::Stderr };
        let text = std::mem::take(&mut partial.text);
        let at_ns = partial.at_ns;
        self.open[s] = Some(partial);
        self.turn_to(stream, out);
        self.open[s] = None;
        self.push(stream, at_ns, &text);
        if !self.is_open() {
            self.close_run(out);
        }
    }

    fn line(&mut self, stream: Stream, at_ns: i64, text: &[u8], out: &mut Vec<Event>) {
        self.turn_to(stream, out);
        self.push(stream, at_ns, text);
    }

    /// Makes the run one of `stream`.
    fn turn_to(&mut self, stream: Stream, out: &mut Vec<Event>) {
        if self.run.as_ref().is_some_and(|run| run.stream != stream) {
            if self.is_open() {
                self.hold_run();
            } else {
                self.close_run(out);
            }
        }
    }

    fn push(&mut self, stream: Stream, at_ns: i64, text: &[u8]) {
        let text: Cow<'_, str> = match std::str::from_utf8(text) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => {
                LogsStats::add(&self.stats.invalid_utf8, 1);
                String::from_utf8_lossy(text)
            }
        };
        let last = &mut self.last[stream as usize];
        let run = self.run.get_or_insert_with(|| Run {
            stream,
            lines: Vec::with_capacity(64),
            text: String::new(),
        });
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
        run.lines.push(Line { at_ns: given_ns, len: text.len() as u32, metadata: Box::default() });
    }

    /// Puts the run aside, as lines whose bytes do not count yet.
    fn hold_run(&mut self) {
        if let (Some(run), Some(span)) = (self.run.take(), self.span) {
            self.held_text += run.text.len() + run.lines.len() * size_of::<Line>();
            let chunk = self.chunk(Some(run), FileSpan { end: span.start, ..span });
            self.held.push(chunk);
        }
    }

    /// Hands over the run and all bytes up to here. Nothing may be open.
    fn close_run(&mut self, out: &mut Vec<Event>) {
        let run = self.run.take();
        let Some(span) = self.span else { return };
        if run.is_some() || span.start < span.end {
            out.extend(self.held.drain(..).map(Event::Logs));
            self.held_text = 0;
            let chunk = self.chunk(run, span);
            out.push(Event::Logs(chunk));
            self.span = Some(FileSpan { start: span.end, ..span });
        }
        for span in std::mem::take(&mut self.behind) {
            let chunk = self.chunk(None, span);
            out.push(Event::Logs(chunk));
        }
    }

    fn chunk(&mut self, run: Option<Run>, span: FileSpan) -> LogChunk {
        let run = run.unwrap_or(Run { stream: Stream::Stdout, lines: Vec::new(), text: String::new() });
        if let Some(line) = run.lines.last() {
            let last = &mut self.last[run.stream as usize].text;
            last.clear();
            last.push_str(&run.text[run.text.len() - line.len as usize..]);
        }
        let bytes = span.end - span.start;
        LogsStats::add(&self.stats.lines, run.lines.len() as u64);
        LogsStats::add(&self.stats.bytes, bytes);
        LogChunk {
            source: "logs",
            labels: self.origin.labels[run.stream as usize].clone(),
            pod: self.origin.pod.clone(),
            file: Some(span),
            bytes,
            lines: run.lines,
            text: run.text,
        }
    }
}

#[cfg(test)]
mod tests;
