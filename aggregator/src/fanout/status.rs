//! How each sink is doing, for the console: a cheap handle that can be read at any time.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::sink::api::Lane;

/// What a worker is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// Sends, or has nothing to send.
    #[default]
    Ok,
    /// The backend does not answer as it should; tried again with growing waits.
    Retrying {
        /// A sentence for the user.
        reason: String,
    },
    /// A person must act (or a clock must catch up): nothing is dropped, nothing goes on.
    Held {
        /// A sentence for the user.
        reason: String,
    },
}

/// One sink, one class, one lane.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// "prometheus", ...
    pub sink: &'static str,
    /// "metrics", ...
    pub class: &'static str,
    /// "fresh", "backlog" or "late".
    pub lane: &'static str,
    /// See [`State`].
    #[serde(flatten)]
    pub state: State,
    /// Segment and offset of the journal up to which all is done.
    pub position: (u64, u64),
    /// Bytes of the journal behind it: exact within a segment, else reckoned with the segments' mean size.
    pub lag_bytes: u64,
    /// Unix milliseconds of the last request that was accepted.
    pub last_success_ms: Option<i64>,
    /// Requests sent since the start, accepted or not.
    pub requests: u64,
    /// Records accepted since the start.
    pub records: u64,
    /// Records sent again since the start.
    pub resent_records: u64,
    /// Records given up since the start.
    pub dropped_records: u64,
    /// The backend's last words that were no acceptance.
    pub last_error: Option<String>,
}

/// The statuses of all workers, in the order of the table of sinks. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Statuses {
    all: Arc<Mutex<Vec<Status>>>,
}

impl Statuses {
    /// As of now.
    pub fn list(&self) -> Vec<Status> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A place for one more worker.
    pub(super) fn add(&self, sink: &'static str, class: &'static str, lane: Lane) -> Entry {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Status { sink, class, lane: lane.name(), ..Status::default() });
        Entry { all: self.clone(), index: all.len() - 1 }
    }
}

/// One worker's place.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    all: Statuses,
    index: usize,
}

impl Entry {
    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.all.all.lock().unwrap_or_else(PoisonError::into_inner)[self.index]);
    }
}
