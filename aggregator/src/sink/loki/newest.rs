//! Each stream's newest timestamp: Loki drops lines that are too far behind it (pkg/ingester/stream.go: half of
//! max_chunk_age), and does not always say so.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::encode::Stream;
use crate::sink::api::RecordRef;

/// Streams that are remembered: 16 MiB. Beyond it the half that has been silent longest is forgotten, which is about
/// what Loki does with streams that nobody writes to.
const MAX_STREAMS: usize = 1 << 19;

/// By the hash of the stream's selector.
pub(super) struct Newest {
    max_behind_ns: i64,
    hasher: RandomState,
    newest: Mutex<HashMap<u64, i64>>,
}

impl Newest {
    pub(super) fn new(max_behind: Duration) -> Self {
        let max_behind_ns = i64::try_from(max_behind.as_nanos()).unwrap_or(i64::MAX);
        Self { max_behind_ns, hasher: RandomState::new(), newest: Mutex::default() }
    }

    /// The oldest time that the stream still takes.
    pub(super) fn floor(&self, selector: &str) -> i64 {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest
            .get(&self.hasher.hash_one(selector))
            .map_or(i64::MIN, |at| at.saturating_sub(self.max_behind_ns))
    }

    /// The backend took these, but for some.
    pub(super) fn note(&self, streams: &[Stream<'_>], but: &[RecordRef]) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in streams {
            let Some(last) = stream.entries.iter().rev().find(|entry| !but.contains(&entry.record)) else {
                continue;
            };
            let at = newest.entry(self.hasher.hash_one(&stream.selector)).or_insert(i64::MIN);
            *at = last.at_ns.max(*at);
        }
        if newest.len() > MAX_STREAMS {
            let mut times: Vec<i64> = newest.values().copied().collect();
            let half = times.len() / 2;
            let (_, median, _) = times.select_nth_unstable(half);
            let median = *median;
            newest.retain(|_, at| *at > median);
        }
    }
}
