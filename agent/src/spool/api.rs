//! What goes into the spool, and what is counted of it.

use ao_common::journal::Key;
use ao_proto::model::FileId;
use ao_proto::v1::{DroppedCount, FrameHeader};
use bytes::Bytes;
use tokio::sync::oneshot;

/// A frame that lacks its place in the spool.
pub(crate) struct Draft {
    /// All but lane, epoch and sequence.
    pub(crate) header: FrameHeader,
    /// Compressed.
    pub(crate) payload: Vec<u8>,
    /// The keyframe it needs, sealed.
    pub(crate) keyframe: Option<(Key, Bytes)>,
    /// Told once the frame is fsynced.
    pub(crate) stored: Vec<oneshot::Sender<()>>,
    /// Files whose checkpoints go once the frame is fsynced.
    pub(crate) forget: Vec<FileId>,
}

/// Records and their payload bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Samples, lines or spans.
    pub(crate) records: u64,
    /// Payload bytes as read at the source.
    pub(crate) bytes: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, more: Self) {
        self.records = self.records.saturating_add(more.records);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

/// Never below zero.
impl std::ops::Sub for Count {
    type Output = Self;

    fn sub(self, less: Self) -> Self {
        Self {
            records: self.records.saturating_sub(less.records),
            bytes: self.bytes.saturating_sub(less.bytes),
        }
    }
}

/// What the ledger knows of a frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    pub(crate) source: String,
    pub(crate) count: Count,
    /// What rules left out beside it, by reason.
    pub(crate) left_out: Vec<(String, Count)>,
    pub(crate) fate: Fate,
}

/// What the aggregator made of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It has it, or will have: until it says otherwise.
    #[default]
    Delivered,
    /// It will never take it.
    Refused,
}

impl Frame {
    /// Of a header.
    pub(crate) fn of(header: &FrameHeader) -> Self {
        Self {
            epoch: header.epoch,
            sequence: header.sequence,
            source: header.source.clone(),
            count: Count { records: header.records, bytes: header.bytes },
            left_out: header.dropped.iter().map(left_out).collect(),
            fate: Fate::default(),
        }
    }

    /// In its queue's log: epoch and sequence.
    pub(crate) fn place(&self) -> Option<(u64, u64)> {
        Some((self.epoch, self.sequence))
    }
}

fn left_out(dropped: &DroppedCount) -> (String, Count) {
    (dropped.reason.clone(), Count { records: dropped.records, bytes: dropped.bytes })
}
