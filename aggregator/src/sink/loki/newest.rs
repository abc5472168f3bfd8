//! Each stream's newest timestamp: Loki drops lines that are too far behind it (pkg/ingester/stream.go: half of
//! max_chunk_age), and does not always say so. A restart of ours changes nothing for Loki, so they are kept on disk, noted
//! before a cursor moves: `book` is the file.

mod book;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::encode::Stream;
use crate::sink::api::{KeepError, RecordRef};
use book::Book;

/// Streams that are remembered: 32 MiB. Beyond it the half that has been silent longest is forgotten, which is about
/// what Loki does with streams that nobody writes to.
const MAX_STREAMS: usize = 1 << 19;

/// By the hash of the stream's selector.
pub(super) struct Newest {
    max_behind_ns: i64,
    times: Mutex<Times>,
    /// Once there is a folder for it.
    book: Mutex<Option<Book>>,
}

#[derive(Default)]
struct Times {
    newest: HashMap<u64, i64>,
    /// Those that are not on disk yet.
    changed: HashMap<u64, i64>,
}

impl Newest {
    pub(super) fn new(max_behind: Duration) -> Self {
        let max_behind_ns = i64::try_from(max_behind.as_nanos()).unwrap_or(i64::MAX);
        Self { max_behind_ns, times: Mutex::default(), book: Mutex::default() }
    }

    /// Remembers what an earlier process noted in the folder, and notes there from now on. Blocking.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub(super) fn keep_in(&self, dir: &Path) -> Result<(), KeepError> {
        let (book, noted) = Book::open(dir)?;
        let mut times = self.times();
        for (stream, at) in noted {
            raise(&mut times.newest, stream, at);
        }
        times.forget_silent();
        *self.book.lock().unwrap_or_else(PoisonError::into_inner) = Some(book);
        Ok(())
    }

    /// Notes on disk what has changed. Blocking.
    ///
    /// # Errors
    /// Where the disk refuses; it may be called again.
    pub(super) fn keep(&self) -> Result<(), KeepError> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(book) = &mut *book else { return Ok(()) };
        let changed = std::mem::take(&mut self.times().changed);
        let kept = book.append(&changed).and_then(|()| {
            if !book.is_long(self.times().newest.len()) {
                return Ok(());
            }
            let all = self.times().newest.clone();
            book.replace(&all)
        });
        if kept.is_err() {
            let mut times = self.times();
            for (stream, at) in changed {
                raise(&mut times.changed, stream, at);
            }
        }
        kept
    }

    /// The oldest time that the stream still takes.
    pub(super) fn floor(&self, selector: &str) -> i64 {
        let newest = self.times().newest.get(&hash(selector)).copied();
        newest.map_or(i64::MIN, |at| at.saturating_sub(self.max_behind_ns))
    }

    /// The backend took these, but for some.
    pub(super) fn note(&self, streams: &[Stream<'_>], but: &[RecordRef]) {
        let mut times = self.times();
        for stream in streams {
            let Some(last) = stream.entries.iter().rev().find(|entry| !but.contains(&entry.record)) else {
                continue;
            };
            let stream = hash(&stream.selector);
            if raise(&mut times.newest, stream, last.at_ns) {
                times.changed.insert(stream, last.at_ns);
            }
        }
        times.forget_silent();
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Times {
    fn forget_silent(&mut self) {
        if self.newest.len() > MAX_STREAMS {
            let mut times: Vec<i64> = self.newest.values().copied().collect();
            let half = times.len() / 2;
            let (_, median, _) = times.select_nth_unstable(half);
            let median = *median;
            self.newest.retain(|_, at| *at > median);
        }
    }
}

/// Whether it is newer than what there was.
fn raise(times: &mut HashMap<u64, i64>, stream: u64, to: i64) -> bool {
    let at = times.entry(stream).or_insert(i64::MIN);
    let newer = to > *at;
    *at = to.max(*at);
    newer
}

/// The same in every process (FNV-1a).
fn hash(selector: &str) -> u64 {
    selector
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
