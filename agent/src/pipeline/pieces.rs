//! Lines that a runtime wrote in pieces: each waits for the next of its stream.

use std::collections::HashMap;

use ao_proto::model::Labels;
use tokio::time::{Duration, Instant};

use super::api::{Entry, Place};

/// How long a piece waits for the next one.
const WAIT: Duration = Duration::from_secs(5);
/// Bytes of a line at most: then it goes on as it is.
const MOST_BYTES: usize = 1 << 20;

/// The lines of which pieces have come, by stream.
#[derive(Default)]
pub(super) struct Pieces(HashMap<Labels, (Entry, Instant)>);

impl Pieces {
    /// Takes a piece in; returns the line where this was its last one.
    pub(super) fn join(&mut self, mut piece: Entry, goes_on: bool, now: Instant) -> Option<Entry> {
        if let Some((mut first, _)) = self.0.remove(&piece.labels) {
            first.note(&piece);
            first.line.push_str(&piece.line);
            (piece.line, piece.place, piece.joined) = (first.line, first.place, first.joined);
        }
        if goes_on && piece.line.len() < MOST_BYTES {
            self.0.insert(piece.labels.clone(), (piece, now + WAIT));
            return None;
        }
        Some(piece)
    }

    /// See [`super::api::Stage::due`].
    pub(super) fn due(&self) -> Option<Instant> {
        self.0.values().map(|(_, due)| *due).min()
    }

    /// See [`super::api::Stage::release`].
    pub(super) fn release(&mut self, now: Option<Instant>) -> Vec<Entry> {
        let ended = self.0.extract_if(|_, (_, due)| now.is_none_or(|now| *due <= now));
        let mut ended: Vec<_> = ended.map(|(_, (entry, _))| entry).collect();
        ended.sort_by_key(|entry| entry.place.end);
        ended
    }

    /// See [`super::api::Stage::held`].
    pub(super) fn held(&self, each: &mut dyn FnMut(&Place)) {
        for (entry, _) in self.0.values() {
            each(&entry.place);
            entry.joined.iter().for_each(&mut *each);
        }
    }
}
