//! What outlives a queue's older segments: how far each log file is spooled, which epochs there are, and the ledger's
//! counts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ao_common::journal;
use ao_proto::frame;
use ao_proto::model::FileId;
use ao_proto::queue::Lane;
use ao_proto::v1::FrameHeader;
use bytes::Bytes;
use prost::Message;
use tracing::error;

use crate::metrics::{Metrics, SourceLabel};
use crate::spool::checkpoints::Checkpoints;

/// Epochs kept: as many restarts as a backlog may span.
const EPOCHS: usize = 64;

/// The state, for the writer's thread and for those who ask.
#[derive(Default)]
pub(crate) struct Shared(Mutex<State>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct State {
    /// Oldest first.
    pub(crate) epochs: VecDeque<u64>,
    /// By source: records and bytes spooled ("read" in the ledger), and shed unsent.
    counts: BTreeMap<String, [u64; 4]>,
}

/// How the state lies in a segment's head.
#[derive(Clone, PartialEq, Message)]
struct Stored {
    #[prost(message, repeated, tag = "1")]
    files: Vec<StoredFile>,
    #[prost(fixed64, repeated, tag = "2")]
    epochs: Vec<u64>,
    #[prost(message, repeated, tag = "3")]
    counts: Vec<StoredCount>,
    /// See [`Checkpoints`].
    #[prost(uint64, tag = "4")]
    turn: u64,
}

#[derive(Clone, PartialEq, Message)]
struct StoredFile {
    #[prost(bytes = "vec", tag = "1")]
    file: Vec<u8>,
    #[prost(uint64, tag = "2")]
    end: u64,
}

#[derive(Clone, PartialEq, Message)]
struct StoredCount {
    #[prost(string, tag = "1")]
    source: String,
    #[prost(uint64, tag = "2")]
    records: u64,
    #[prost(uint64, tag = "3")]
    bytes: u64,
    #[prost(uint64, tag = "4")]
    shed_records: u64,
    #[prost(uint64, tag = "5")]
    shed_bytes: u64,
}

/// Keeps [`Shared`] and [`Checkpoints`] in step with one queue's log.
pub(crate) struct Fold {
    pub(crate) lane: Lane,
    pub(crate) shared: Arc<Shared>,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Fold {
    fn count(&self, header: &FrameHeader, what: What) {
        let label = SourceLabel { source: header.source.clone() };
        let (records, bytes, place) = match what {
            What::Read => (&self.metrics.read_records, &self.metrics.read_bytes, 0),
            What::Shed => (&self.metrics.shed_records, &self.metrics.shed_bytes, 2),
        };
        records.get_or_create(&label).inc_by(header.records);
        bytes.get_or_create(&label).inc_by(header.bytes);
        let mut state = self.shared.lock();
        let counts = state.counts.entry(header.source.clone()).or_default();
        counts[place] += header.records;
        counts[place + 1] += header.bytes;
    }
}

enum What {
    Read,
    Shed,
}

impl journal::Fold for Fold {
    fn restore(&mut self, snapshot: &[u8]) {
        let stored = match Stored::decode(snapshot) {
            Ok(stored) => stored,
            Err(error) => {
                error!(%error, "the spool's state cannot be read; log files without a newer frame start again");
                return;
            }
        };
        let files = stored.files.into_iter().filter_map(|f| Some((FileId(f.file.try_into().ok()?), f.end)));
        self.checkpoints.restore(self.lane, stored.turn, files);
        let mut state = self.shared.lock();
        state.epochs = stored.epochs.into();
        for c in stored.counts {
            let label = SourceLabel { source: c.source.clone() };
            self.metrics.read_records.get_or_create(&label).inc_by(c.records);
            self.metrics.read_bytes.get_or_create(&label).inc_by(c.bytes);
            self.metrics.shed_records.get_or_create(&label).inc_by(c.shed_records);
            self.metrics.shed_bytes.get_or_create(&label).inc_by(c.shed_bytes);
            state.counts.insert(c.source, [c.records, c.bytes, c.shed_records, c.shed_bytes]);
        }
    }

    fn apply(&mut self, sealed: &[u8]) {
        // Only frames that we sealed are appended, and the journal guards them by a checksum of its own.
        let Ok(opened) = frame::open(&Bytes::copy_from_slice(sealed)) else { return };
        self.checkpoints.apply(self.lane, &opened.header.files);
        let mut state = self.shared.lock();
        if state.epochs.back() != Some(&opened.header.epoch) {
            state.epochs.push_back(opened.header.epoch);
            if state.epochs.len() > EPOCHS {
                state.epochs.pop_front();
            }
        }
        drop(state);
        self.count(&opened.header, What::Read);
    }

    fn shed(&mut self, sealed: &[u8], _unread_by: &[&str]) {
        if let Ok(opened) = frame::open(&Bytes::copy_from_slice(sealed)) {
            self.count(&opened.header, What::Shed);
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        let (turn, files) = self.checkpoints.snapshot();
        let state = self.shared.lock();
        let stored = Stored {
            turn,
            files: files.iter().map(|(file, end)| StoredFile { file: file.0.to_vec(), end: *end }).collect(),
            epochs: state.epochs.iter().copied().collect(),
            counts: state
                .counts
                .iter()
                .map(|(source, c)| StoredCount {
                    source: source.clone(),
                    records: c[0],
                    bytes: c[1],
                    shed_records: c[2],
                    shed_bytes: c[3],
                })
                .collect(),
        };
        stored.encode_to_vec()
    }
}
