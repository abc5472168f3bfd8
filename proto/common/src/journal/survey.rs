//! A look through a segment that a crash may have torn, and its good end.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::api::Position;
use super::catalog::{ClassLog, Segment};
use super::error::JournalError;
use super::record::{Kind, put};
use super::scan::{Entry, Found, Scan};
use super::storage::{File, read_full};

/// How much is held in memory where bytes are written again.
const SLICE: u64 = 256 << 10;

/// What a look through a segment found.
#[derive(Default)]
pub(super) struct Survey {
    pub(super) good: Good,
    /// Damaged parts, each with what was good before it.
    pub(super) damage: Vec<(Range<u64>, Good)>,
    /// How far the file was fsynced, as any head in it says.
    pub(super) synced: u64,
    /// Damage that a repair has put away.
    pub(super) gaps: Vec<Range<u64>>,
    /// The payload of the first record.
    pub(super) about: Option<Bytes>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Good {
    /// End of the last good record.
    pub(super) end: u64,
    /// Where the last good record begins.
    pub(super) last: u64,
    /// How far the file was fsynced, as good records say.
    pub(super) synced: u64,
    pub(super) frames: u64,
    pub(super) frames_end: u64,
    /// The last state.
    pub(super) state: Option<Entry>,
}

impl Survey {
    pub(super) fn of(scan: &mut Scan, size: u64) -> io::Result<Self> {
        let mut survey = Self::default();
        while let Some(found) = scan.next(size)? {
            let entry = match found {
                Found::Record(entry) => entry,
                Found::Damage(bytes) => {
                    survey.damage.push((bytes, survey.good));
                    continue;
                }
            };
            survey.synced = survey.synced.max(entry.head.synced);
            let Some(payload) = scan.payload(&entry)? else {
                survey.damage.push((entry.at..entry.end(), survey.good));
                continue;
            };
            survey.good.end = entry.end();
            survey.good.last = entry.at;
            survey.good.synced = survey.synced;
            match entry.head.kind {
                Kind::Segment => survey.about = Some(payload),
                Kind::State => survey.good.state = Some(entry),
                Kind::Frame | Kind::KeyedFrame => {
                    survey.good.frames += 1;
                    survey.good.frames_end = entry.end();
                }
                Kind::Gap => survey.gaps.push(entry.at..entry.end()),
                Kind::Keyframe | Kind::Mark => {}
            }
        }
        Ok(survey)
    }

    /// Forgets all from the first damage on that no fsync is known to have come after, from heads or as the witness
    /// says. A crash tears writes in any order, so that even a good record behind such damage belongs to a batch that
    /// nobody was told is durable; keeping it would let the fold (file positions) step over its lost predecessor. What
    /// was fsynced and is not there any more counts as damage.
    pub(super) fn cut_torn(&mut self, synced: u64) {
        let synced = synced.max(self.synced);
        if let Some(torn) = self.damage.iter().position(|(bytes, _)| bytes.start >= synced) {
            self.good = self.damage[torn].1;
            self.damage.truncate(torn);
            if let Some((bytes, _)) = self.damage.last() {
                self.good.end = self.good.end.max(bytes.end);
            }
        }
        let found = self.damage.last().map_or(0, |(bytes, _)| bytes.end).max(self.good.end);
        if synced > found {
            self.damage.push((found..synced, self.good));
        }
    }

    pub(super) fn is_void(&self) -> bool {
        self.good.frames == 0 && self.good.state.is_none() && self.damage.is_empty() && self.gaps.is_empty()
    }
}

/// Cuts what a crash tore, and marks what is left as good for all later starts. Returns the new end.
pub(super) fn end_well(
    file: &dyn File,
    log: &ClassLog,
    segment: &Segment,
    survey: &Survey,
    path: &Path,
) -> Result<u64, JournalError> {
    let (number, size, end) = (segment.number, segment.end().offset, survey.good.end);
    if end < size {
        // What was fsynced and is damaged is counted as that.
        let damaged = survey.damage.last().map_or(0, |(bytes, _)| bytes.end).clamp(end, size);
        let bytes = size - damaged;
        tracing::warn!(
            class = log.name,
            segment = number,
            end,
            bytes,
            "cutting off what a crash left half-written"
        );
        log.tally.torn_tails.fetch_add(u64::from(bytes > 0), Ordering::Relaxed);
        log.tally.corrupt_bytes.fetch_add(bytes, Ordering::Relaxed);
        file.truncate(end).map_err(JournalError::io("truncate", path))?;
    }
    if survey.good.synced >= survey.good.last {
        return Ok(end);
    }
    // An fsync that failed before the crash leaves pages that count as written and are not: these are written again.
    let mut again = vec![0; SLICE.min(end.saturating_sub(survey.good.synced)) as usize];
    let mut offset = survey.good.synced;
    while offset < end {
        again.truncate((end - offset) as usize);
        let got = read_full(file, &mut again, offset).map_err(JournalError::io("read", path))?;
        file.write_at(&again[..got], offset).map_err(JournalError::io("write", path))?;
        offset += got.max(1) as u64;
    }
    let mut mark = Vec::new();
    put(&mut mark, Position { segment: number, offset: end }, Kind::Mark, 0, end, &[]);
    match file.write_at(&mark, end) {
        Ok(()) => Ok(end + mark.len() as u64),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "cannot mark a segment as good");
            file.truncate(end).map_err(JournalError::io("truncate", path))?;
            Ok(end)
        }
    }
}
