//! Lines of plain files that a container runtime wrote, in pieces perhaps: each is read, and a piece waits for the next
//! one of its stream.

use std::collections::HashMap;

use ao_proto::model::Labels;
use tokio::time::{Duration, Instant};

use super::api::{Entry, Out, Place, Stage};

/// How long a piece waits for the next one.
const WAIT: Duration = Duration::from_secs(5);
/// Bytes of a line at most: then it goes on as it is.
const MOST_BYTES: usize = 1 << 20;

/// A stage for one form of lines. What has the label `stream` was read already, and stays.
pub(super) struct Pieces {
    /// Reads a line into its entry; whether it goes on in the next one, none where it is of another form.
    pub(super) read: fn(&mut Entry) -> Option<bool>,
    /// The lines of which pieces have come, by stream.
    pub(super) open: HashMap<Labels, (Entry, Instant)>,
}

impl Pieces {
    /// Takes a piece in; returns the line where this was its last one.
    fn join(&mut self, mut piece: Entry, goes_on: bool, now: Instant) -> Option<Entry> {
        if let Some((mut first, _)) = self.open.remove(&piece.labels) {
            first.note(&piece);
            first.line.push_str(&piece.line);
            (piece.line, piece.place, piece.joined) = (first.line, first.place, first.joined);
        }
        if goes_on && piece.line.len() < MOST_BYTES {
            self.open.insert(piece.labels.clone(), (piece, now + WAIT));
            return None;
        }
        Some(piece)
    }
}

impl Stage for Pieces {
    fn pass(&mut self, out: &mut Out) {
        for mut entry in std::mem::take(&mut out.entries) {
            let is_read = entry.labels.get("stream").is_some();
            match if is_read { None } else { (self.read)(&mut entry) } {
                Some(goes_on) => out.entries.extend(self.join(entry, goes_on, out.now)),
                None => out.entries.push(entry),
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        self.open.values().map(|(_, due)| *due).min()
    }

    fn release(&mut self, now: Option<Instant>, out: &mut Out) {
        let ended = self.open.extract_if(|_, (_, due)| now.is_none_or(|now| *due <= now));
        let mut ended: Vec<_> = ended.map(|(_, (entry, _))| entry).collect();
        ended.sort_by_key(|entry| entry.place.end);
        out.entries.extend(ended);
    }

    fn held(&self, each: &mut dyn FnMut(&Place)) {
        self.open.values().flat_map(|(entry, _)| entry.places()).for_each(each);
    }
}
