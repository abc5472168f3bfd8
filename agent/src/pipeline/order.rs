//! Lines back into chunks. A span is handed on only up to the first line that a stage still holds, since what it covers
//! is never read again; what was read behind that line waits with it.

use std::collections::HashMap;
use std::sync::Arc;

use ao_proto::model::{FileId, FileSpan, Labels};

use super::api::{Entry, Extracted, Out, Place, Stage};
use crate::event::{Dropped, Line, LogChunk};

/// Bytes on their way at most: beyond it, stages must let go what they hold.
const MOST_BYTES: u64 = 16 << 20;

/// Bytes of a chunk at most, as stages may make more of a line than was read: with a longer line, several.
const MOST_OF_CHUNK: usize = 2 << 20;

/// What is on its way through the stages, and what waits behind it.
#[derive(Default)]
pub(super) struct Order {
    spans: Vec<FileSpan>,
    entries: Vec<Entry>,
    dropped: Vec<Gone>,
    /// Bytes that were read for what is on its way.
    bytes: u64,
    /// Bytes of lines that were dropped with the spans of more than one file, and not yet taken off these.
    owed: u64,
}

/// A line that a stage dropped, or bytes that were never read.
struct Gone {
    reason: Arc<str>,
    file: FileId,
    end: u64,
    records: u64,
    bytes: u64,
}

/// By file, where its first line begins that a stage holds back.
type Cuts = HashMap<FileId, u64>;

impl Order {
    /// The chunk's lines; its span is kept for [`Order::gather`].
    pub(super) fn split(&mut self, chunk: LogChunk) -> Vec<Entry> {
        self.spans.extend(chunk.file.filter(|span| span.start < span.end));
        if let Some(span) = chunk.file {
            self.dropped.extend(chunk.dropped.iter().map(|sum| {
                let Dropped { reason, records, bytes } = sum.clone();
                Gone { reason, file: span.file, end: span.end, records, bytes }
            }));
        }
        self.bytes += chunk.lines.iter().map(|line| u64::from(line.raw)).sum::<u64>();
        entries(chunk)
    }

    /// What waits must go on before this chunk: it is too much, or the file was emptied and is read anew.
    pub(super) fn is_urgent(&self, next: &LogChunk) -> bool {
        let begins_anew =
            |next: &FileSpan| self.spans.iter().any(|span| span.file == next.file && next.start < span.start);
        self.bytes >= MOST_BYTES || next.file.as_ref().is_some_and(begins_anew)
    }

    /// What can go on: entries by stream, then spans up to what `stages` hold back.
    pub(super) fn gather(&mut self, mut out: Out, stages: &dyn Stage) -> Vec<LogChunk> {
        self.entries.append(&mut out.entries);
        for (reason, entry) in out.dropped {
            let bytes = entry.places().map(|place| place.bytes).sum();
            self.bytes = self.bytes.saturating_sub(bytes);
            self.dropped.push(Gone {
                reason,
                file: entry.place.file,
                end: entry.place.end,
                records: 1,
                bytes,
            });
        }
        let mut cuts = Cuts::new();
        stages.held(&mut |place| {
            cuts.entry(place.file).and_modify(|cut| *cut = place.start.min(*cut)).or_insert(place.start);
        });
        let mut chunks = Streams::default();
        for entry in std::mem::take(&mut self.entries) {
            if is_free(&entry, &cuts) {
                self.bytes = self.bytes.saturating_sub(entry.places().map(|place| place.bytes).sum());
                chunks.add(entry);
            } else {
                self.entries.push(entry);
            }
        }
        let mut all: Vec<_> = chunks.all.into_iter().map(|(chunk, _)| chunk).collect();
        let spans = std::mem::take(&mut self.spans);
        let mut turns = HashMap::new();
        for span in &spans {
            let next = turns.len();
            turns.entry(span.file).or_insert(next);
        }
        for span in spans {
            let cut = cuts.get(&span.file).map_or(span.end, |cut| (*cut).clamp(span.start, span.end));
            if span.start < cut {
                all.push(self.cover(FileSpan { end: cut, ..span }));
            }
            if cut < span.end {
                self.spans.push(FileSpan { start: cut, ..span });
            }
        }
        // Each file by itself, so that a frame may end between two; those first that were read first, since a joined
        // line may end in a later one.
        if turns.len() > 1 {
            let turn = |chunk: &LogChunk| chunk.file.and_then(|span| turns.get(&span.file).copied());
            all.sort_by_key(|chunk| turn(chunk).unwrap_or(usize::MAX));
        }
        all
    }

    /// Something of this file waits.
    pub(super) fn holds(&self, file: FileId) -> bool {
        self.spans.iter().any(|span| span.file == file)
            || self.entries.iter().any(|entry| entry.place.file == file)
    }

    /// A chunk of no lines that covers a part of a file. What was dropped is no part of its bytes.
    fn cover(&mut self, span: FileSpan) -> LogChunk {
        let mut chunk = LogChunk::of_file(span, Labels::default());
        chunk.dropped = self.dropped_in(span.file, span.end);
        let gone = self.owed + chunk.dropped.iter().map(|sum| sum.bytes).sum::<u64>();
        let here = gone.min(span.end - span.start);
        self.owed = gone - here;
        chunk.bytes = span.end - span.start - here;
        chunk
    }

    /// What stages left out of a file before `end`, by reason.
    fn dropped_in(&mut self, file: FileId, end: u64) -> Vec<Dropped> {
        let mut sums = Vec::<Dropped>::new();
        self.dropped.retain(|gone| {
            let here = gone.file == file && gone.end <= end;
            if here {
                match sums.iter_mut().find(|sum| sum.reason == gone.reason) {
                    Some(sum) => {
                        sum.records += gone.records;
                        sum.bytes += gone.bytes;
                    }
                    None => {
                        let reason = Arc::clone(&gone.reason);
                        sums.push(Dropped { reason, records: gone.records, bytes: gone.bytes });
                    }
                }
            }
            !here
        });
        sums
    }
}

/// The lines of a chunk.
pub(super) fn entries(chunk: LogChunk) -> Vec<Entry> {
    let span = chunk.file.unwrap_or(FileSpan { file: FileId([0; 16]), start: 0, end: 0 });
    let mut from = 0;
    let entry = |line: Line| {
        let text = &chunk.text[from..from + line.len as usize];
        from += line.len as usize;
        Entry {
            line: text.to_owned(),
            at_ns: line.at_ns,
            labels: chunk.labels.clone(),
            shared: chunk.shared.clone(),
            place: place(&span, &line),
            metadata: line.metadata.into_vec(),
            extracted: Extracted::new(chunk.labels.clone()),
            joined: Vec::new(),
        }
    };
    chunk.lines.into_iter().map(entry).collect()
}

fn place(span: &FileSpan, line: &Line) -> Place {
    let (end, bytes) = (span.start + u64::from(line.end), u64::from(line.raw));
    Place { file: span.file, start: end.saturating_sub(bytes), end, bytes }
}

/// Nothing that was read before it is held back.
fn is_free(entry: &Entry, cuts: &Cuts) -> bool {
    cuts.is_empty() || entry.places().all(|place| cuts.get(&place.file).is_none_or(|cut| place.end <= *cut))
}

/// Chunks under way, one a stream of a file, in the order of their first lines.
#[derive(Default)]
struct Streams {
    /// With about the bytes of each.
    all: Vec<(LogChunk, usize)>,
    /// Where in `all`.
    known: HashMap<(FileId, Labels), usize>,
    /// Neighbours mostly share their stream.
    last: usize,
}

impl Streams {
    fn add(&mut self, mut entry: Entry) {
        let place = entry.place;
        let metadata: Box<[_]> = std::mem::take(&mut entry.metadata).into_boxed_slice();
        let pairs: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        let mut rest = &*entry.line;
        loop {
            let (text, behind) = rest.split_at(rest.floor_char_boundary(MOST_OF_CHUNK));
            let chunk = self.chunk(&entry, pairs + text.len());
            chunk.text.push_str(text);
            chunk.lines.push(Line {
                at_ns: entry.at_ns,
                len: u32::try_from(text.len()).unwrap_or(u32::MAX),
                metadata: metadata.clone(),
                end: 0,
                raw: u32::try_from(place.bytes).unwrap_or(u32::MAX),
            });
            rest = behind;
            if rest.is_empty() {
                return;
            }
        }
    }

    /// The chunk of a stream that has room for so many bytes more.
    fn chunk(&mut self, entry: &Entry, bytes: usize) -> &mut LogChunk {
        let Entry { labels, place, .. } = entry;
        let is_same = |(chunk, _): &(LogChunk, usize)| {
            chunk.labels == *labels && chunk.file.is_some_and(|span| span.file == place.file)
        };
        let next = self.all.len();
        if !self.all.get(self.last).is_some_and(is_same) {
            self.last = *self.known.entry((place.file, labels.clone())).or_insert(next);
        }
        let bytes = bytes + size_of::<Line>();
        if self.all.get(self.last).is_none_or(|(_, known)| known + bytes > MOST_OF_CHUNK + (64 << 10)) {
            let span = FileSpan { file: place.file, start: place.end, end: place.end };
            // What its lines share is the file's.
            let shared = entry.shared.clone();
            self.all.push((LogChunk { shared, ..LogChunk::of_file(span, labels.clone()) }, 0));
            self.known.insert((place.file, labels.clone()), next);
            self.last = next;
        }
        let (chunk, known) = &mut self.all[self.last];
        *known += bytes;
        chunk
    }
}
