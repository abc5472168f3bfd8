//! What entries say into chunks of lines with spans. A chunk holds entries that follow each other in their file and are
//! of one stream, so that it covers by itself what it was read from.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ao_proto::model::{FileId, FileSpan, Labels};

use super::super::api::LogsStats;
use super::said::Said;
use crate::event::{ABANDONED, Dropped, Event, Line, LogChunk};

/// Text of a chunk after which the next one is begun.
const CHUNK: usize = 256 << 10;
/// Bytes of a file that a chunk covers, which its lines' places can say.
const SPAN: u64 = 1 << 30;
/// Streams that are remembered.
const STREAMS: usize = 1_024;

/// Entries that say nothing.
const NO_MESSAGE: &str = "no_message";
/// Messages that are packed in a way that is not read.
const UNREADABLE: &str = "unreadable";

/// Values of the fields that are labels.
type Key = Vec<Option<Arc<str>>>;

/// Gathers entries.
pub(super) struct Chunks {
    stats: Arc<LogsStats>,
    max_line: usize,
    /// Labels of all lines.
    labels: BTreeMap<String, String>,
    /// Names of those that fields are.
    fields: Vec<String>,
    streams: HashMap<Key, Stream>,
    open: Option<Open>,
    note: Option<FileSpan>,
}

/// One that was met before.
struct Stream {
    labels: Labels,
    /// Of the line before: the time that it had, the one that it was given, its text.
    read_ns: i64,
    given_ns: i64,
    text: String,
}

/// The chunk under way.
struct Open {
    span: FileSpan,
    /// `None`: no lines yet.
    key: Option<Key>,
    lines: Vec<Line>,
    text: String,
    dropped: Vec<Dropped>,
    note: Option<FileSpan>,
}

impl Chunks {
    /// `labels`: of all lines; `fields`: names of the labels that [`Said::labels`] are the values of.
    pub(super) fn new(
        stats: Arc<LogsStats>,
        max_line: usize,
        labels: BTreeMap<String, String>,
        fields: Vec<String>,
    ) -> Self {
        Self { stats, max_line, labels, fields, streams: HashMap::new(), open: None, note: None }
    }

    /// What is to be stored with the entries that come, in one frame with them.
    pub(super) fn note(&mut self, note: Option<FileSpan>) {
        self.note = note;
    }

    /// An entry of `span`, which begins where the one before it ended.
    pub(super) fn take(&mut self, span: FileSpan, said: Said, out: &mut Vec<Event>) {
        let Some(message) = said.message else {
            let reason = if said.unread.is_some() { UNREADABLE } else { NO_MESSAGE };
            self.leave_out(span, reason, 1, out);
            return;
        };
        let text = String::from_utf8(message).unwrap_or_else(|error| {
            LogsStats::add(&self.stats.invalid_utf8, 1);
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        });
        let key = said.labels;
        let level = said.level.map(|level| (Box::from("level"), Box::from(level.name())));
        let pairs = said.metadata.iter().map(|(name, value)| (Box::from(*name), Box::from(&**value)));
        let metadata: Box<[_]> = pairs.chain(level).collect();
        let mut rest = text.strip_suffix('\n').unwrap_or(&text);
        while rest.len() > self.max_line {
            let (piece, behind) = rest.split_at(rest.floor_char_boundary(self.max_line));
            LogsStats::add(&self.stats.cuts, 1);
            self.flush(out);
            // Covered with the last piece.
            self.push(FileSpan { end: span.start, ..span }, &key, said.at_ns, piece, metadata.clone(), out);
            self.flush(out);
            rest = behind;
        }
        self.push(span, &key, said.at_ns, rest, metadata, out);
    }

    /// Entries of `span` are not wanted, and no loss.
    pub(super) fn cover(&mut self, span: FileSpan, out: &mut Vec<Event>) {
        self.open(span, None, out).span.end = span.end;
    }

    /// Bytes that are gone before anybody read them.
    pub(super) fn abandon(&mut self, span: FileSpan, out: &mut Vec<Event>) {
        self.leave_out(span, ABANDONED, 0, out);
        self.flush(out);
    }

    /// Says how far a file is, without lines and bytes, so that it is remembered.
    pub(super) fn mark(&mut self, file: FileId, at: u64, out: &mut Vec<Event>) {
        self.flush(out);
        self.open(FileSpan { file, start: at, end: at }, None, out);
        self.flush(out);
    }

    /// Hands over all that there is.
    pub(super) fn flush(&mut self, out: &mut Vec<Event>) {
        let Some(open) = self.open.take() else { return };
        let stream = open.key.as_ref().and_then(|key| self.streams.get(key));
        let bytes = open.span.end - open.span.start;
        LogsStats::add(&self.stats.lines, open.lines.len() as u64);
        LogsStats::add(&self.stats.bytes, bytes);
        let dropped: u64 = open.dropped.iter().map(|dropped| dropped.bytes).sum();
        let chunk = LogChunk {
            source: "logs",
            labels: stream.map(|stream| stream.labels.clone()).unwrap_or_default(),
            shared: Labels::default(),
            pod: None,
            file: Some(open.span),
            bytes: bytes.saturating_sub(dropped),
            lines: open.lines,
            text: open.text,
            dropped: open.dropped,
        };
        let Some(note) = open.note.filter(|_| !chunk.lines.is_empty()) else {
            out.push(Event::Logs(chunk));
            return;
        };
        // Lines wait in their frame for the span that covers them, and so does the note between them.
        let (span, bytes, labels) = (open.span, chunk.bytes, chunk.labels.clone());
        let lines = LogChunk { file: Some(FileSpan { end: span.start, ..span }), bytes: 0, ..chunk };
        let cover = LogChunk { bytes, ..LogChunk::of_file(span, labels.clone()) };
        out.extend([lines, LogChunk::of_file(note, labels), cover].map(Event::Logs));
    }

    fn push(
        &mut self,
        span: FileSpan,
        key: &Key,
        at_ns: i64,
        text: &str,
        metadata: Box<[(Box<str>, Box<str>)]>,
        out: &mut Vec<Event>,
    ) {
        if self.streams.len() >= STREAMS && !self.streams.contains_key(key) {
            self.flush(out);
            self.streams.clear();
        }
        let stream =
            self.streams.entry(key.clone()).or_insert_with(|| Stream::new(key, &self.fields, &self.labels));
        // A store takes the same text at the same time for the same line.
        let again = stream.text == text && (stream.read_ns == at_ns || stream.given_ns == at_ns);
        stream.read_ns = at_ns;
        stream.given_ns = if again { stream.given_ns.saturating_add(1) } else { at_ns };
        stream.text.clear();
        stream.text.push_str(text);
        let at_ns = stream.given_ns;
        let open = self.open(span, Some(key), out);
        open.span.end = span.end;
        open.text.push_str(text);
        let [len, end, raw] = [text.len() as u64, span.end - open.span.start, span.end - span.start]
            .map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        open.lines.push(Line { at_ns, len, end, raw, metadata });
    }

    fn leave_out(&mut self, span: FileSpan, reason: &str, records: u64, out: &mut Vec<Event>) {
        let open = self.open(span, None, out);
        let bytes = span.end - span.start;
        open.span.end = span.end;
        match open.dropped.iter_mut().find(|sum| &*sum.reason == reason) {
            Some(sum) => {
                sum.records += records;
                sum.bytes += bytes;
            }
            None => open.dropped.push(Dropped { reason: reason.into(), records, bytes }),
        }
    }

    /// The chunk that takes in what begins with `span`: of this stream, if it is a line.
    fn open(&mut self, span: FileSpan, key: Option<&Key>, out: &mut Vec<Event>) -> &mut Open {
        let fits = |open: &Open| {
            let follows = open.span.file == span.file && open.span.end == span.start;
            let same = key.is_none() || open.key.is_none() || open.key.as_ref() == key;
            follows && same && open.text.len() < CHUNK && span.end - open.span.start < SPAN
        };
        if !self.open.as_ref().is_some_and(fits) {
            self.flush(out);
        }
        let fresh = || Open {
            span: FileSpan { end: span.start, ..span },
            key: None,
            lines: Vec::new(),
            text: String::new(),
            dropped: Vec::new(),
            note: None,
        };
        let note = self.note;
        let open = self.open.get_or_insert_with(fresh);
        open.note = note.or(open.note);
        if open.key.is_none() {
            open.key = key.cloned();
        }
        open
    }
}

impl Stream {
    fn new(key: &Key, fields: &[String], labels: &BTreeMap<String, String>) -> Self {
        let values = fields.iter().zip(key).filter_map(|(name, value)| Some((&**name, value.as_deref()?)));
        let configured = labels.iter().map(|(name, value)| (&**name, &**value));
        let all: BTreeMap<&str, &str> =
            [("job", "systemd-journal")].into_iter().chain(values).chain(configured).collect();
        let labels = Labels::from_pairs(all);
        Self { labels, read_ns: i64::MIN, given_ns: i64::MIN, text: String::new() }
    }
}
