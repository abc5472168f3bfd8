//! Reads one queue from the spool and sends it, as far as window and gate allow.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ao_common::journal::{Journal, JournalError, Key, Position, Reader, Record};
use ao_proto::frame;
use ao_proto::queue::{Lane, QUEUES};
use ao_proto::v1::{AgentMessage, Range, agent_message::Message};
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tracing::warn;

use crate::metrics::{Metrics, QueueLabel};
use crate::spool::{Acks, Frame, Newest};
use crate::uplink::api::SentBefore;
use crate::uplink::flight::{Done, Flight, Sent};
use crate::uplink::gate::Gate;

/// Frames read from the disk at a time, and bytes of them.
const READ_AHEAD: usize = 32;
const READ_AHEAD_BYTES: usize = 1 << 20;

/// What the feeders of one call share.
pub(crate) struct Shared {
    pub(crate) journal: Journal,
    pub(crate) out: mpsc::Sender<AgentMessage>,
    pub(crate) flight: Mutex<Flight>,
    /// Bytes that may still be sent before an ack.
    pub(crate) window: Semaphore,
    pub(crate) window_bytes: usize,
    /// What the aggregator has already, by epoch.
    pub(crate) have: HashMap<u64, Vec<Range>>,
    pub(crate) acks: Arc<Acks>,
    pub(crate) sent_before: Arc<SentBefore>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Shared {
    pub(crate) fn flight(&self) -> std::sync::MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the aggregator had a frame when it greeted.
    pub(crate) fn has(&self, epoch: u64, sequence: u64) -> bool {
        let ranges = self.have.get(&epoch);
        ranges.is_some_and(|ranges| ranges.iter().any(|r| (r.first..=r.last).contains(&sequence)))
    }

    /// The aggregator has a frame, and with it those before. Returns the queue and what is done.
    pub(crate) fn acked(&self, epoch: u64, sequence: u64) -> Option<(usize, Done)> {
        let mut flight = self.flight();
        let (queue, done) = flight.ack(epoch, sequence)?;
        self.done(&flight, queue, &done);
        Some((queue, done))
    }

    /// It will never take a frame. Returns that one's room in the window, and its queue.
    pub(crate) fn refused(&self, epoch: u64, sequence: u64) -> Option<(usize, usize)> {
        let mut flight = self.flight();
        let (room, queue, done) = flight.refused(epoch, sequence)?;
        self.done(&flight, queue, &done);
        Some((room, queue))
    }

    /// Reports what a queue is done with. What is under way is held meanwhile: whoever finds nothing of a queue there must
    /// find all of it settled, or would take the rest for damaged.
    fn done(&self, _held: &Flight, queue: usize, done: &Done) {
        let Some(end) = done.end() else { return };
        let frames: Vec<Frame> = done.sent.iter().map(|sent| sent.frame.clone()).collect();
        self.acks.done(queue, &frames, end);
        if let Some(newest) = done.read_out {
            self.acks.read_out(queue, newest, end);
        }
    }

    /// A queue was read to its end: said with the last frame under way, or now.
    pub(crate) fn read_out(&self, queue: usize, newest: Newest, end: Position) {
        let mut flight = self.flight();
        if !flight.read_out(queue, newest, end) {
            self.acks.read_out(queue, newest, end);
        }
    }
}

/// Feeds until the connection ends.
///
/// # Errors
/// Where the spool cannot be read.
pub(crate) async fn run(shared: Arc<Shared>, queue: usize) -> Result<(), JournalError> {
    shared.acks.connected(queue, |epoch, sequence| shared.has(epoch, sequence));
    let mut durable = shared.journal.durable(queue);
    let mut reader = shared.journal.reader(queue, shared.acks.position(queue));
    let feeder = Feeder::new(&shared, queue);
    loop {
        durable.borrow_and_update();
        let newest = shared.acks.newest(queue);
        let (records, back) = read(reader).await?;
        reader = back;
        if records.is_empty() {
            // What was damaged at the end is never acknowledged by itself.
            shared.read_out(queue, newest, reader.position());
            if durable.changed().await.is_err() {
                return Ok(());
            }
            continue;
        }
        let _busy = (feeder.lane == Lane::Fresh).then(|| shared.gate.busy());
        for (record, keyframe) in records {
            if !feeder.send(record, keyframe).await {
                return Ok(());
            }
        }
    }
}

/// One queue's.
struct Feeder<'a> {
    shared: &'a Shared,
    queue: usize,
    lane: Lane,
    sent: Counter,
    sent_bytes: Counter,
    skipped: Counter,
    resent: Counter,
}

impl<'a> Feeder<'a> {
    fn new(shared: &'a Shared, queue: usize) -> Self {
        let label = QueueLabel::of(QUEUES[queue]);
        let count = |family: &Family<QueueLabel, Counter>| Counter::clone(&family.get_or_create(&label));
        let m = &shared.metrics;
        Self {
            shared,
            queue,
            lane: QUEUES[queue].lane,
            sent: count(&m.sent_frames),
            sent_bytes: count(&m.sent_bytes),
            skipped: count(&m.skipped_frames),
            resent: count(&m.resent_frames),
        }
    }

    /// Sends a frame, unless the aggregator has it. False where the connection is gone.
    async fn send(&self, record: Record, keyframe: Option<Bytes>) -> bool {
        let shared = self.shared;
        let Ok(opened) = frame::open(&record.frame) else {
            // Guarded by the journal's own checksum: only a frame that another version sealed.
            warn!(position = ?record.position, "a frame of the spool cannot be read; it is left out");
            return true;
        };
        let header = opened.header;
        let frame = Frame::of(&header);
        if !shared.acks.send(self.queue, &frame) {
            return true;
        }
        let known = shared.has(header.epoch, header.sequence);
        let bytes = if known { 0 } else { record.frame.len().clamp(1, shared.window_bytes) };
        if bytes > 0 {
            // Never closed: the error cannot come.
            if let Ok(room) = shared.window.acquire_many(bytes as u32).await {
                room.forget();
            }
            shared.gate.enter(self.lane, bytes).await;
        }
        let keyframe_id = header.keyframe;
        if !known && shared.sent_before.note(self.queue, record.end) {
            self.resent.inc();
            shared.acks.resent(self.queue, &frame);
        }
        let under_way =
            Sent { frame, end: record.end, bytes, keyframe: keyframe_id, at: Instant::now(), last: None };
        // The keyframe goes before the frame, once per call.
        let mut messages = Vec::with_capacity(2);
        {
            let mut flight = shared.flight();
            if let Some(sealed) = keyframe.filter(|k| !known && flight.is_new_keyframe(keyframe_id, k)) {
                messages.push(Message::Keyframe(sealed));
            }
            let done = flight.push(self.queue, under_way);
            shared.done(&flight, self.queue, &done);
        }
        if known {
            self.skipped.inc();
            return true;
        }
        messages.push(Message::Frame(record.frame));
        for message in messages {
            let size = size_of(&message);
            if shared.out.send(AgentMessage { message: Some(message) }).await.is_err() {
                return false;
            }
            self.sent_bytes.inc_by(size as u64);
        }
        self.sent.inc();
        true
    }
}

type Found = (Record, Option<Bytes>);

/// Some records and their keyframes, read on a thread that may block.
async fn read(mut reader: Reader) -> Result<(Vec<Found>, Reader), JournalError> {
    let reading = tokio::task::spawn_blocking(move || {
        let (mut found, mut bytes) = (Vec::new(), 0);
        while found.len() < READ_AHEAD && bytes < READ_AHEAD_BYTES {
            let Some(record) = reader.read()? else { break };
            bytes += record.frame.len();
            let keyframe = record.key.and_then(|key: Key| reader.keyframe(key));
            found.push((record, keyframe));
        }
        Ok((found, reader))
    });
    match reading.await {
        Ok(result) => result,
        // The runtime is going down.
        Err(_) => std::future::pending().await,
    }
}

fn size_of(message: &Message) -> usize {
    match message {
        Message::Keyframe(bytes) | Message::Frame(bytes) => bytes.len(),
        Message::Hello(_) | Message::ClockAsk(_) => 0,
    }
}
