//! Lines of many streams into one frame, closed by bytes, count or age.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use ao_proto::frame::compress;
use ao_proto::limits::{
    MAX_FILES, MAX_HEADER_BYTES, MAX_LABELS, MAX_METADATA, MAX_RECORDS, MAX_SEALED_BYTES, MAX_STREAMS,
    MAX_SYMBOLS,
};
use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::model::{FileId, FileSpan, Labels};
use ao_proto::v1::{Class, DroppedCount, FileRange, FrameHeader};

use crate::event::{Dropped, Line, LogChunk, MOST_TOGETHER};
use crate::spool::Draft;

/// The frame under way of one source.
#[derive(Default)]
pub(crate) struct LogBatch {
    frame: LogFrame,
    /// By labels and what their lines share.
    streams: HashMap<(Labels, Labels), u32>,
    files: Vec<FileSpan>,
    /// Where each file's newest span stands in `files`.
    newest: HashMap<FileId, usize>,
    bytes: u64,
    /// Labels of all streams.
    labels: usize,
    /// See [`weight`].
    weight: usize,
    dropped: Vec<Dropped>,
    forget: Vec<FileId>,
    /// Files whose lines are in, and whose span that covers them is not (see [`LogChunk::file`]).
    parted: HashSet<FileId>,
}

impl LogBatch {
    /// Nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.frame.entries.is_empty()
            && self.files.is_empty()
            && self.dropped.is_empty()
            && self.forget.is_empty()
    }

    /// Bytes of text so far.
    pub(crate) fn text_bytes(&self) -> usize {
        self.frame.text.len()
    }

    /// Lines so far.
    pub(crate) fn lines(&self) -> usize {
        self.frame.entries.len()
    }

    /// A few chunks more might be over a limit of a frame.
    pub(crate) fn is_crowded(&self) -> bool {
        let pairs = self.frame.metadata.len();
        self.streams.len() + 8 >= MAX_STREAMS
            || self.files.len() + 8 >= MAX_FILES
            || self.lines() >= MAX_RECORDS / 2
            || pairs >= MAX_METADATA / 4
            // Symbols: every label and every pair may have names and values of its own.
            || 2 * (self.labels + pairs + 8 * MAX_LABELS) >= MAX_SYMBOLS
    }

    /// Whether a frame with this chunk, and with those that belong to it, fits onto the wire: else this one must be
    /// closed before. It is closed in the midst of chunks that belong together only where those are more than
    /// [`MOST_TOGETHER`], as of several files at once.
    pub(crate) fn has_room(&self, chunk: &LogChunk) -> bool {
        let parted = chunk.file.is_some_and(|span| span.start == span.end) && !chunk.lines.is_empty();
        let least = if parted && self.is_whole() { MOST_TOGETHER } else { 0 };
        self.is_empty() || self.weight + weight(chunk).max(least) <= MOST_WEIGHT
    }

    /// Whether all lines are in that the spans cover, and the other way round: only then may the frame be closed.
    pub(crate) fn is_whole(&self) -> bool {
        self.parted.is_empty()
    }

    /// Adds a chunk.
    pub(crate) fn add(&mut self, chunk: LogChunk) {
        self.weight += weight(&chunk);
        match chunk.file {
            Some(span) if span.start < span.end => {
                self.parted.remove(&span.file);
            }
            Some(span) if !chunk.lines.is_empty() => {
                self.parted.insert(span.file);
            }
            _ => {}
        }
        if !chunk.lines.is_empty() {
            self.add_lines((chunk.labels, chunk.shared), chunk.lines, &chunk.text);
        }
        self.bytes += chunk.bytes;
        for more in chunk.dropped {
            match self.dropped.iter_mut().find(|sum| sum.reason == more.reason) {
                Some(sum) => {
                    sum.records += more.records;
                    sum.bytes += more.bytes;
                }
                None => self.dropped.push(more),
            }
        }
        if let Some(span) = chunk.file {
            self.cover(span);
        }
    }

    fn add_lines(&mut self, stream: (Labels, Labels), lines: Vec<Line>, text: &str) {
        let next = self.streams.len() as u32;
        let stream = match self.streams.entry(stream) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let (labels, shared) = new.key();
                self.labels += labels.pairs().len() + shared.pairs().len();
                self.frame.streams.push(labels.clone());
                self.frame.shared.push(shared.clone());
                *new.insert(next)
            }
        };
        self.frame.text.push_str(text);
        for line in lines {
            let metadata = line.metadata.len() as u32;
            self.frame.entries.push(LogEntry { stream, at_ns: line.at_ns, len: line.len, metadata });
            self.frame.metadata.extend(line.metadata.into_vec());
        }
    }

    /// The file is gone; its checkpoint may go once this frame is stored.
    pub(crate) fn forget(&mut self, file: FileId) {
        self.forget.push(file);
    }

    /// A file's spans come gapless and in order, so they join into one.
    fn cover(&mut self, span: FileSpan) {
        // A file that was emptied and begun anew with the same first line: forgotten, and known again.
        self.forget.retain(|file| *file != span.file);
        match self.newest.get(&span.file).map(|&at| &mut self.files[at]) {
            Some(last) if last.end == span.start => last.end = span.end,
            _ => {
                self.newest.insert(span.file, self.files.len());
                self.files.push(span);
            }
        }
    }

    /// Closes the frame.
    pub(crate) fn take(&mut self, agent: [u8; 16], source: &'static str) -> Draft {
        let batch = std::mem::take(self);
        let raw = batch.frame.encode();
        let times = batch.frame.entries.iter().map(|e| e.at_ns.div_euclid(1_000_000));
        let (first, last) =
            times.fold((i64::MAX, i64::MIN), |(first, last), at| (first.min(at), last.max(at)));
        let range =
            |span: &FileSpan| FileRange { file: span.file.0.to_vec(), start: span.start, end: span.end };
        let dropped = |sum: &Dropped| DroppedCount {
            reason: sum.reason.to_string(),
            records: sum.records,
            bytes: sum.bytes,
        };
        Draft {
            header: FrameHeader {
                agent: agent.to_vec(),
                class: Class::Logs.into(),
                source: source.to_owned(),
                records: batch.frame.entries.len() as u64,
                bytes: batch.bytes,
                first_ms: if first > last { 0 } else { first },
                span_ms: last.saturating_sub(first).max(0) as u64,
                raw_bytes: raw.len() as u64,
                files: batch.files.iter().map(range).collect(),
                dropped: batch.dropped.iter().map(dropped).collect(),
                ..FrameHeader::default()
            },
            payload: compress(&raw),
            keyframe: None,
            stored: Vec::new(),
            forget: batch.forget,
        }
    }
}

/// A frame of this weight fits onto the wire with its header, where zstd makes it no smaller.
const MOST_WEIGHT: usize = MAX_SEALED_BYTES - MAX_HEADER_BYTES - (64 << 10);
const _: () = assert!(MOST_TOGETHER <= MOST_WEIGHT);

/// About the bytes of a chunk once compressed, at the worst. A character that stands for a byte that was none (U+FFFD)
/// has three bytes, and is about as likely again as one.
fn weight(chunk: &LogChunk) -> usize {
    let pair = |(name, value): (&str, &str)| name.len() + value.len() + 8;
    let labels: usize = chunk.labels.iter().chain(chunk.shared.iter()).map(pair).sum();
    let metadata: usize = chunk.lines.iter().flat_map(|line| &line.metadata).map(|(n, v)| pair((n, v))).sum();
    let replaced = memchr::memmem::find_iter(chunk.text.as_bytes(), "\u{fffd}").count();
    // A time and a length have at most 12 bytes.
    labels + metadata + 12 * chunk.lines.len() + chunk.text.len() - 2 * replaced
}

#[cfg(test)]
mod tests {
    use ao_proto::frame::{open, seal};
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Fills batches as the batcher does, and takes what is open at the end.
    fn frames(chunks: impl IntoIterator<Item = LogChunk>, bytes: usize) -> Vec<Draft> {
        let (mut batch, mut done) = (LogBatch::default(), Vec::new());
        for chunk in chunks {
            if !batch.has_room(&chunk) {
                assert!(batch.is_whole());
                done.push(batch.take([7; 16], "logs"));
            }
            batch.add(chunk);
            if batch.is_whole() && (batch.text_bytes() >= bytes || batch.is_crowded()) {
                done.push(batch.take([7; 16], "logs"));
            }
        }
        done.push(batch.take([7; 16], "logs"));
        done
    }

    /// What the aggregator does first with every frame. Gives the lines.
    fn taken(drafts: &[Draft]) -> Vec<String> {
        let mut lines = Vec::new();
        for draft in drafts {
            let opened = open(&seal(&draft.header, &draft.payload)).unwrap();
            let raw = opened.decompress().unwrap();
            LogFrame::check(&raw).unwrap();
            lines.extend(LogFrame::decode(&raw).unwrap().iter().map(|(_, text, _)| text.to_owned()));
        }
        lines
    }

    fn lines(labels: Labels, texts: Vec<String>) -> LogChunk {
        LogChunk {
            source: "logs",
            labels,
            shared: Labels::default(),
            pod: None,
            file: None,
            bytes: texts.iter().map(|text| text.len() as u64 + 1).sum(),
            lines: texts.iter().map(|text| Line { len: text.len() as u32, ..Line::default() }).collect(),
            text: texts.concat(),
            dropped: Vec::new(),
        }
    }

    /// Scenario: every line has a stream of its own, with as many and as long labels as there may be; lines that zstd
    /// makes no smaller, at the largest size that may be configured.
    /// Guarantees: the aggregator takes every frame; no line is missing, and the bytes add up.
    #[test]
    fn the_most_that_can_come() {
        let mut random = 1_u64;
        let mut noise = |length: usize| -> String {
            let mut one = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(33 + (random >> 33) as u8 % 94)
            };
            (0..length).map(|_| one()).collect()
        };
        let long: Vec<_> = (0..3_000)
            .map(|n| {
                let labels = (0..20).map(|l| (format!("{n}_{l}"), noise(80)));
                lines(Labels::from_pairs(labels), vec![format!("line {n}")])
            })
            .collect();
        assert_eq!(taken(&frames(long, 4 << 20)).len(), 3_000);
        let streams = (0..20_000).map(|n| {
            let labels = (0..MAX_LABELS).map(|l| (format!("l{l}"), format!("{n}{l}")));
            lines(Labels::from_pairs(labels), vec![String::new()])
        });
        assert_eq!(taken(&frames(streams, 4 << 20)).len(), 20_000);
        let texts: Vec<LogChunk> = (0..5).map(|_| lines(Labels::default(), vec![noise(2 << 20)])).collect();
        let bytes: u64 = texts.iter().map(|chunk| chunk.bytes).sum();
        let drafts = frames(texts, 4 << 20);
        assert_eq!(taken(&drafts).len(), 5);
        assert_eq!(drafts.iter().map(|draft| draft.header.bytes).sum::<u64>(), bytes);
    }

    /// Scenario: files of two streams, a line of the largest size on each, of any bytes, behind one of medium size.
    /// Guarantees: the aggregator takes every frame, and the lines before a span are in its frame.
    #[test]
    fn noise_of_two_streams() {
        let mut random = StdRng::seed_from_u64(7);
        let mut noise = |length: usize| {
            let bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let mut chunks = Vec::new();
        for (at, (alone, together)) in
            (0..).zip([(100 << 10, [2 << 20, 1 << 20]), (600 << 10, [1 << 20, 2 << 20]), (3 << 20, [1, 1])])
        {
            let file = FileId([at; 16]);
            for (length, start, end) in [(alone, 0, 10), (together[0], 10, 10), (together[1], 10, 20)] {
                let span = FileSpan { file, start, end };
                chunks.push(LogChunk { file: Some(span), ..lines(Labels::default(), vec![noise(length)]) });
            }
        }
        let drafts = frames(chunks, 4 << 20);
        assert_eq!(taken(&drafts).len(), 9);
        let files = drafts.iter().flat_map(|draft| &draft.header.files);
        let files: Vec<_> = files.map(|range| (range.file[0], range.start, range.end)).collect();
        assert_eq!(files, [(0, 0, 20), (1, 0, 20), (2, 0, 10), (2, 10, 20)]);
    }

    proptest! {
        /// Scenario: any chunks of lines, closed at any size.
        /// Guarantees: the aggregator takes every frame, and all lines are in them, in order.
        #[test]
        fn no_frame_is_refused(
            chunks in proptest::collection::vec((0..40_usize, 0..70_usize, proptest::collection::vec(".{0,30}", 0..20)), 0..40),
            bytes in 1..4_000_usize,
        ) {
            let all: Vec<String> = chunks.iter().flat_map(|(_, _, texts)| texts.clone()).collect();
            let events = chunks.into_iter().map(|(stream, labels, texts)| {
                let pairs = (0..labels).map(|n| (format!("l{n}"), format!("v{stream}")));
                lines(Labels::from_pairs(pairs), texts)
            });
            prop_assert_eq!(taken(&frames(events, bytes)), all);
        }
    }

    /// Scenario: lines of pods that differ in their UID alone, as an old and a new one of a StatefulSet.
    /// Guarantees: each line keeps the one of its pod; it stands once a frame, however many lines there are.
    #[test]
    fn what_lines_share_stands_once() {
        let chunk = |uid: &str, count: usize| LogChunk {
            shared: Labels::from_pairs([("pod_uid", uid)]),
            ..lines(Labels::from_pairs([("pod", "db-0")]), vec!["a line".to_owned(); count])
        };
        let sizes = [1, 500].map(|count| {
            let uids = ["0bc1-old", "0bc1-new", "0bc1-old"];
            let drafts = frames(uids.map(|uid| chunk(uid, count)), 1 << 20);
            let raw = open(&seal(&drafts[0].header, &drafts[0].payload)).unwrap().decompress().unwrap();
            let frame = LogFrame::decode(&raw).unwrap();
            let of = |entry: &LogEntry| frame.shared_by(entry).and_then(|shared| shared.get("pod_uid"));
            let found: Vec<_> = frame.entries.iter().map(of).collect();
            let expect: Vec<_> = uids.into_iter().flat_map(|uid| vec![Some(uid); count]).collect();
            assert_eq!(found, expect);
            raw.windows(8).filter(|part| part.starts_with(b"0bc1")).count()
        });
        assert_eq!(sizes, [2, 2]);
    }

    /// Scenario: lines whose span comes with a later chunk, as of a file with two streams; a file that was forgotten
    /// and begun anew.
    /// Guarantees: a frame is whole only with both; what is known again is not forgotten.
    #[test]
    fn parted_lines() {
        let chunk = |start, end, lines: usize| LogChunk {
            source: "logs",
            labels: Labels::default(),
            shared: Labels::default(),
            pod: None,
            file: Some(FileSpan { file: FileId([1; 16]), start, end }),
            bytes: end - start,
            lines: vec![Line::default(); lines],
            text: String::new(),
            dropped: Vec::new(),
        };
        let mut batch = LogBatch::default();
        for (start, end, lines, whole) in
            [(0, 10, 1, true), (10, 10, 0, true), (10, 10, 2, false), (10, 10, 1, false), (10, 20, 0, true)]
        {
            batch.add(chunk(start, end, lines));
            assert_eq!(batch.is_whole(), whole, "{start}..{end}");
        }
        batch.forget(FileId([1; 16]));
        batch.add(chunk(0, 5, 1));
        assert!(batch.forget.is_empty());
        assert_eq!(batch.files.last().map(|span| span.end), Some(5));
    }
}
