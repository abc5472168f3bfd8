//! Lines of many streams into one frame, closed by bytes, count or age.

use std::collections::{HashMap, HashSet};

use ao_proto::frame::compress;
use ao_proto::limits::{MAX_FILES, MAX_STREAMS};
use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::model::{FileId, FileSpan, Labels};
use ao_proto::v1::{Class, FileRange, FrameHeader};

use crate::event::LogChunk;
use crate::spool::Draft;

/// The frame under way of one source.
#[derive(Default)]
pub(crate) struct LogBatch {
    frame: LogFrame,
    streams: HashMap<Labels, u32>,
    files: Vec<FileSpan>,
    /// Where each file's newest span stands in `files`.
    newest: HashMap<FileId, usize>,
    bytes: u64,
    forget: Vec<FileId>,
    /// Files whose lines are in, and whose span that covers them is not (see [`LogChunk::file`]).
    parted: HashSet<FileId>,
}

impl LogBatch {
    /// Nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.frame.entries.is_empty() && self.files.is_empty() && self.forget.is_empty()
    }

    /// Bytes of text so far.
    pub(crate) fn text_bytes(&self) -> usize {
        self.frame.text.len()
    }

    /// Lines so far.
    pub(crate) fn lines(&self) -> usize {
        self.frame.entries.len()
    }

    /// A few more streams or files might be over the limit of a frame.
    pub(crate) fn is_crowded(&self) -> bool {
        self.streams.len() + 8 >= MAX_STREAMS || self.files.len() + 8 >= MAX_FILES
    }

    /// Whether all lines are in that the spans cover, and the other way round: only then may the frame be closed.
    pub(crate) fn is_whole(&self) -> bool {
        self.parted.is_empty()
    }

    /// Adds a chunk.
    pub(crate) fn add(&mut self, chunk: LogChunk) {
        let next = self.streams.len() as u32;
        let stream = match self.streams.get(&chunk.labels) {
            Some(&known) => known,
            None => {
                self.frame.streams.push(chunk.labels.clone());
                self.streams.insert(chunk.labels, next);
                next
            }
        };
        match chunk.file {
            Some(span) if span.start < span.end => {
                self.parted.remove(&span.file);
            }
            Some(span) if !chunk.lines.is_empty() => {
                self.parted.insert(span.file);
            }
            _ => {}
        }
        self.frame.text.push_str(&chunk.text);
        for line in chunk.lines {
            let metadata = line.metadata.len() as u32;
            self.frame.entries.push(LogEntry { stream, at_ns: line.at_ns, len: line.len, metadata });
            self.frame.metadata.extend(line.metadata.into_vec());
        }
        self.bytes += chunk.bytes;
        if let Some(span) = chunk.file {
            self.cover(span);
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
                ..FrameHeader::default()
            },
            payload: compress(&raw),
            keyframe: None,
            stored: Vec::new(),
            forget: batch.forget,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: lines whose span comes with a later chunk, as of a file with two streams; a file that was forgotten
    /// and begun anew.
    /// Guarantees: a frame is whole only with both; what is known again is not forgotten.
    #[test]
    fn parted_lines() {
        let chunk = |start, end, lines: usize| LogChunk {
            source: "logs",
            labels: Labels::default(),
            pod: None,
            file: Some(FileSpan { file: FileId([1; 16]), start, end }),
            bytes: end - start,
            lines: vec![crate::event::Line::default(); lines],
            text: String::new(),
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
