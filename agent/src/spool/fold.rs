//! What outlives a queue's older segments: how far each log file is spooled, which epochs there are, and the ledger's
//! counts.

use std::sync::Arc;

use ao_common::journal;
use ao_proto::frame;
use ao_proto::model::FileId;
use ao_proto::queue::QUEUES;
use ao_proto::v1::DroppedCount;
use bytes::Bytes;
use prost::Message;
use tracing::error;

use crate::spool::api::{Count, Frame};
use crate::spool::checkpoints::Checkpoints;
use crate::spool::ledger::{Ledger, Logged};

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
    #[prost(message, repeated, tag = "6")]
    left_out: Vec<DroppedCount>,
}

/// Keeps the ledger and [`Checkpoints`] in step with one queue's log.
pub(crate) struct Fold {
    pub(crate) queue: usize,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) checkpoints: Arc<Checkpoints>,
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
        self.checkpoints.restore(QUEUES[self.queue].lane, stored.turn, files);
        let mut book = self.ledger.book(self.queue);
        book.epochs = stored.epochs.into();
        for c in stored.counts {
            let read = Count { records: c.records, bytes: c.bytes };
            let shed = Count { records: c.shed_records, bytes: c.shed_bytes };
            let sum = |d: DroppedCount| (d.reason, Count { records: d.records, bytes: d.bytes });
            let left_out = c.left_out.into_iter().map(sum).collect();
            book.logged.insert(c.source, Logged { read, shed, left_out });
        }
    }

    fn apply(&mut self, sealed: &[u8]) {
        // Only frames that we sealed are appended, and the journal guards them by a checksum of its own.
        let Ok(opened) = frame::open(&Bytes::copy_from_slice(sealed)) else { return };
        self.checkpoints.apply(QUEUES[self.queue].lane, &opened.header.files);
        self.ledger.book(self.queue).read(&Frame::of(&opened.header));
    }

    fn shed(&mut self, sealed: &[u8], _unread_by: &[&str]) {
        if let Ok(opened) = frame::open(&Bytes::copy_from_slice(sealed)) {
            self.ledger.book(self.queue).shed(&Frame::of(&opened.header));
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        let (turn, files) = self.checkpoints.snapshot();
        let book = self.ledger.book(self.queue);
        let dropped = |(reason, count): (&String, &Count)| DroppedCount {
            reason: reason.clone(),
            records: count.records,
            bytes: count.bytes,
        };
        let count = |(source, logged): (&String, &Logged)| StoredCount {
            source: source.clone(),
            records: logged.read.records,
            bytes: logged.read.bytes,
            shed_records: logged.shed.records,
            shed_bytes: logged.shed.bytes,
            left_out: logged.left_out.iter().map(dropped).collect(),
        };
        let stored = Stored {
            files: files.iter().map(|(file, end)| StoredFile { file: file.0.to_vec(), end: *end }).collect(),
            epochs: book.epochs.iter().copied().collect(),
            counts: book.logged.iter().map(count).collect(),
            turn,
        };
        stored.encode_to_vec()
    }
}
