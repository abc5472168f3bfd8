//! The ranges of the journal that fresh workers left behind: bounded cursors `SINK.late.N`, the oldest first.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ao_common::journal::{Cursor, Journal, JournalError, Position};
use tokio::sync::Notify;

use super::lag::bytes_between;
use super::opening::Owed;
use crate::journal::{late_number, reader_of};

/// Ranges of one sink and class that wait. Where there are so many, the fresh worker goes on in order.
const MAX_RANGES: usize = 16;

/// What a fresh worker left behind.
pub(super) struct Range {
    /// The cursor's name.
    pub(super) name: String,
    /// Bounded.
    pub(super) cursor: Cursor,
}

/// The ranges of one sink and class, the oldest first.
pub(super) struct Ranges {
    waiting: Mutex<VecDeque<Range>>,
    added: Notify,
}

impl Ranges {
    /// Those that earlier processes left.
    ///
    /// # Errors
    /// Where a cursor's file cannot be used.
    pub(super) fn find(journal: &Journal, queue: usize, sink: &str) -> Result<Self, JournalError> {
        let mut names = journal.cursors(queue);
        names.retain(|name| late_number(name).is_some() && reader_of(name) == sink);
        names.sort_by_key(|name| late_number(name));
        let range = |name: String| Ok(Range { cursor: journal.cursor(queue, &name)?, name });
        let waiting: Result<_, JournalError> = names.into_iter().map(range).collect();
        Ok(Self { waiting: Mutex::new(waiting?), added: Notify::new() })
    }

    /// Whether the fresh worker may leave one more.
    pub(super) fn has_room(&self) -> bool {
        self.lock().len() < MAX_RANGES
    }

    /// One more.
    pub(super) fn push(&self, range: Range) {
        self.lock().push_back(range);
        self.added.notify_one();
    }

    /// The oldest; waits for one.
    pub(super) async fn next(&self) -> Range {
        loop {
            let oldest = self.lock().pop_front();
            match oldest {
                Some(range) => return range,
                None => self.added.notified().await,
            }
        }
    }

    /// Bytes of the journal in those that wait.
    pub(super) fn bytes(&self, journal: &Journal, queue: usize) -> u64 {
        let waiting = self.lock();
        let bytes = |Range { cursor, .. }: &Range| {
            bytes_between(journal, queue, cursor.position(), cursor.end().unwrap_or_default())
        };
        waiting.iter().map(bytes).sum()
    }

    /// What is to be read of those that wait.
    pub(super) fn owed(&self, queue: usize) -> Vec<Owed> {
        self.lock().iter().map(|range| (queue, range.cursor.position(), range.cursor.end())).collect()
    }

    /// Where the oldest begins.
    pub(super) fn first(&self) -> Option<Position> {
        self.lock().front().map(|range| range.cursor.position())
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Range>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name for the next range: behind all that there are.
pub(super) fn next_name(journal: &Journal, queue: usize, sink: &str) -> String {
    let names = journal.cursors(queue);
    let mine = names.iter().filter(|name| reader_of(name) == sink);
    let last = mine.filter_map(|name| late_number(name)).max().unwrap_or(0);
    format!("{sink}.late.{}", last + 1)
}
