//! One class's way to the disk: chooses the lane, numbers, seals, appends, and waits for the fsync before the next
//! frames. What gathers meanwhile goes with the next fsync, all of it or nothing, so that a crash, a full disk or a
//! change of lanes never keeps a newer frame and loses an older one: the newest is a file's checkpoint.

use std::sync::Arc;
use std::time::Duration;

use ao_common::journal::{Append, Journal};
use ao_proto::frame::seal;
use ao_proto::model::FileId;
use ao_proto::queue::{Lane, QUEUES};
use ao_proto::v1::{Class, FrameHeader};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tracing::warn;

use crate::metrics::{Metrics, QueueLabel};
use crate::spool::acks::Acks;
use crate::spool::api::Draft;
use crate::spool::checkpoints::Checkpoints;
use crate::spool::lane::{Amount, Choice};

/// Frames and bytes that go to the journal at a time.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 1 << 20;

/// See the module.
pub(crate) struct Writer {
    pub(crate) journal: Journal,
    pub(crate) acks: Arc<Acks>,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) choice: Choice,
    /// Numbers of its queues, by lane.
    pub(crate) queues: [usize; Lane::ALL.len()],
    /// Epoch and next sequence, by lane.
    pub(crate) epochs: [(u64, u64); Lane::ALL.len()],
}

/// What a sink has to take of a frame. Lines are taken apart before they are compressed, so that a payload says little.
fn as_read(header: &FrameHeader) -> usize {
    let of_lines = matches!(Class::try_from(header.class), Ok(Class::Logs | Class::LogsLow));
    (if of_lines { header.bytes.max(header.raw_bytes) } else { header.raw_bytes }) as usize
}

/// A frame, and its share of the memory for those that wait.
pub(crate) type Waiting = (Draft, OwnedSemaphorePermit);

impl Writer {
    /// Runs until the senders are gone.
    pub(crate) async fn run(mut self, mut drafts: mpsc::Receiver<Waiting>) {
        while let Some(first) = drafts.recv().await {
            let mut bytes = first.0.payload.len();
            let mut batch = vec![first];
            while batch.len() < BATCH && bytes < BATCH_BYTES {
                let Ok(next) = drafts.try_recv() else { break };
                bytes += next.0.payload.len();
                batch.push(next);
            }
            self.store(batch).await;
        }
    }

    async fn store(&mut self, batch: Vec<Waiting>) {
        let now = Instant::now();
        let fresh = self.queues[Lane::Fresh.number() as usize];
        // Sealing adds next to nothing.
        let amount = Amount {
            bytes: batch.iter().map(|(draft, _)| draft.payload.len()).sum(),
            raw: batch.iter().map(|(draft, _)| as_read(&draft.header)).sum(),
        };
        let lane = self.choice.choose(now, self.acks.position(fresh), amount);
        let queue = self.queues[lane.number() as usize];
        let (epoch, next) = &mut self.epochs[lane.number() as usize];
        let (mut appends, mut stored, mut forget) = (Vec::new(), Vec::new(), Vec::new());
        // Their share of the memory is held until they are on disk.
        let mut held = Vec::new();
        for (draft, permit) in batch {
            let mut header = draft.header;
            header.epoch = *epoch;
            header.sequence = *next;
            header.lane = lane.number();
            *next += 1;
            appends.push(Append { frame: seal(&header, &draft.payload), keyframe: draft.keyframe });
            stored.extend(draft.stored);
            // What was forgotten and is known again is not forgotten.
            forget.retain(|file: &FileId| !header.files.iter().any(|range| range.file == file.0));
            forget.extend(draft.forget);
            held.push(permit);
        }
        let label = QueueLabel::of(QUEUES[queue]);
        let frames = appends.len() as u64;
        let bytes: usize = appends.iter().map(|append| append.frame.len()).sum();
        let mut wait = Duration::from_millis(100);
        // What the disk refuses is offered again until it is taken, under the same numbers: a full disk holds the
        // sources up and loses nothing.
        let end = loop {
            let Ok(pending) = self.journal.append(queue, appends.clone()).await else {
                // Only after close(), which comes behind the last append.
                warn!(frames, "the spool is closed; frames were not taken");
                return;
            };
            match pending.durable().await {
                Ok(end) => break end,
                Err(error) => {
                    self.metrics.spool_errors.inc();
                    warn!(%error, "cannot write to the spool; trying again in {wait:?}");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(10));
        };
        if lane == Lane::Fresh {
            self.choice.stored(now, end, Amount { bytes, ..amount });
        }
        for stored in stored {
            // The client that waited may have gone.
            let _gone = stored.send(());
        }
        self.checkpoints.forget(&forget);
        self.metrics.spool_frames.get_or_create(&label).inc_by(frames);
        self.metrics.spool_bytes.get_or_create(&label).inc_by(bytes as u64);
    }
}
