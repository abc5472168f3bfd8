//! Lines of many streams into one frame, closed by bytes, count or age.

use std::collections::HashMap;

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

    /// One more stream or file might be over the limit of a frame.
    pub(crate) fn is_crowded(&self) -> bool {
        self.streams.len() + 1 >= MAX_STREAMS || self.files.len() + 1 >= MAX_FILES
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
