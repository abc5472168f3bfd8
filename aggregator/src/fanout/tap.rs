//! Reads one queue of the journal for one worker: a run of decoded frames, small enough for one request. Blocking.

use std::sync::Arc;

use ao_common::journal::{JournalError, Position, Reader, Record};

use super::decode::{self, Keyframes, Undecodable};
use crate::sink::api::{Decoded, Policy, Telemetry};

/// Frames that lie behind each other.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Those that could be decoded.
    pub(super) frames: Vec<Arc<Decoded>>,
    /// Those that could not, each with its end.
    pub(super) undecodable: Vec<(Position, Undecodable)>,
    /// Where the next run begins.
    pub(super) end: Position,
}

impl Run {
    /// Whether nothing was there to read.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.undecodable.is_empty()
    }
}

/// The reader, and the frame that did not fit into the last run.
pub(super) struct Tap {
    reader: Reader,
    keyframes: Keyframes,
    /// Frames that begin here or behind it are not ours.
    end: Option<Position>,
    carried: Option<Taken>,
}

struct Taken {
    end: Position,
    bytes: usize,
    frame: Result<Decoded, Undecodable>,
}

impl Tap {
    pub(super) fn new(reader: Reader, keyframes: Keyframes, end: Option<Position>) -> Self {
        Self { reader, keyframes, end, carried: None }
    }

    /// What is there, within the policy's bounds; one frame that is larger by itself comes alone.
    ///
    /// # Errors
    /// Where the disk fails; nothing is lost by calling again.
    pub(super) fn run(&mut self, policy: Policy) -> Result<Run, JournalError> {
        let (mut run, mut records, mut bytes) = (Run::default(), 0, 0);
        while let Some(taken) = self.take()? {
            let more = taken.frame.as_ref().map_or(0, |frame| frame.header.records as usize);
            let full = records + more > policy.max_records || bytes + taken.bytes > policy.max_bytes;
            if full && !run.is_empty() {
                self.carried = Some(taken);
                break;
            }
            records += more;
            bytes = bytes.saturating_add(taken.bytes);
            run.add(taken);
        }
        Ok(run)
    }

    /// Exactly the frames up to `end`, which the bounds of an earlier request were.
    ///
    /// # Errors
    /// Where the disk fails.
    pub(super) fn run_to(&mut self, end: Position) -> Result<Run, JournalError> {
        let mut run = Run::default();
        while run.end < end
            && let Some(taken) = self.take()?
        {
            // Frames in between were shed meanwhile.
            if taken.end > end {
                self.carried = Some(taken);
                break;
            }
            run.add(taken);
        }
        Ok(run)
    }

    fn take(&mut self) -> Result<Option<Taken>, JournalError> {
        if let Some(carried) = self.carried.take() {
            return Ok(Some(carried));
        }
        let Some(record) = self.reader.read()? else { return Ok(None) };
        if self.end.is_some_and(|end| record.position >= end) {
            return Ok(None);
        }
        Ok(Some(self.decode(&record)))
    }

    fn decode(&mut self, record: &Record) -> Taken {
        let frame = decode::decode(record, &self.keyframes, |key| self.reader.keyframe(key));
        // What it takes in a request is unknown until it is encoded; what it takes here is near enough for lines and
        // spans, and samples are bounded by their number.
        let bytes = frame.as_ref().map_or(0, |frame| match &frame.telemetry {
            Telemetry::Logs(lines) => lines.text.len(),
            _ => frame.header.raw_bytes as usize,
        });
        Taken { end: record.end, bytes, frame }
    }
}

impl Run {
    fn add(&mut self, taken: Taken) {
        self.end = taken.end;
        match taken.frame {
            Ok(frame) => self.frames.push(Arc::new(frame)),
            Err(undecodable) => self.undecodable.push((taken.end, undecodable)),
        }
    }
}
