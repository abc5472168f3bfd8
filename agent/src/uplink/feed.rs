//! Reads one class from the spool and sends it, as far as the window allows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ao_common::journal::{Journal, JournalError, Key, Reader, Record};
use ao_proto::class::{self, CLASSES};
use ao_proto::frame;
use ao_proto::v1::{AgentMessage, Range, agent_message::Message};
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tracing::warn;

use crate::metrics::{ClassLabel, Metrics};
use crate::uplink::api::Progress;
use crate::uplink::flight::{Flight, Sent};

/// Frames read from the disk at a time, and bytes of them.
const READ_AHEAD: usize = 32;
const READ_AHEAD_BYTES: usize = 1 << 20;

/// What the feeders of one connection share.
pub(crate) struct Shared {
    pub(crate) journal: Journal,
    pub(crate) out: mpsc::Sender<AgentMessage>,
    pub(crate) flight: Mutex<Flight>,
    /// Bytes that may still be sent before an ack.
    pub(crate) window: Semaphore,
    pub(crate) window_bytes: usize,
    /// What the aggregator has already, by epoch.
    pub(crate) have: HashMap<u64, Vec<Range>>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) metrics: Arc<Metrics>,
    /// Bytes per second that the aggregator asked for, and until when.
    pub(crate) throttle: watch::Receiver<Option<(u64, Instant)>>,
}

impl Shared {
    pub(crate) fn flight(&self) -> std::sync::MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Feeds until the connection ends.
///
/// # Errors
/// Where the spool cannot be read.
pub(crate) async fn run(shared: Arc<Shared>, class: usize) -> Result<(), JournalError> {
    let mut durable = shared.journal.durable(class);
    let from = *shared.progress.acked[class].borrow();
    let mut reader = shared.journal.reader(class, from);
    let label = ClassLabel { class: class::name(CLASSES[class]) };
    let count = |family: &prometheus_client::metrics::family::Family<ClassLabel, _>| {
        prometheus_client::metrics::counter::Counter::clone(&family.get_or_create(&label))
    };
    let m = &shared.metrics;
    let (sent, sent_bytes) = (count(&m.sent_frames), count(&m.sent_bytes));
    let (skipped, resent) = (count(&m.skipped_frames), count(&m.resent_frames));
    loop {
        durable.borrow_and_update();
        let (records, back) = read(reader).await?;
        reader = back;
        if records.is_empty() && durable.changed().await.is_err() {
            return Ok(());
        }
        for (record, keyframe) in records {
            let Ok(opened) = frame::open(&record.frame) else {
                // Guarded by the journal's own checksum: only a frame that another version sealed.
                warn!(position = ?record.position, "a frame of the spool cannot be read; it is left out");
                continue;
            };
            let header = opened.header;
            let ranges = shared.have.get(&header.epoch);
            let known =
                ranges.is_some_and(|r| r.iter().any(|r| (r.first..=r.last).contains(&header.sequence)));
            let bytes = if known { 0 } else { record.frame.len().clamp(1, shared.window_bytes) };
            if bytes > 0 {
                // Never closed: the error cannot come.
                if let Ok(room) = shared.window.acquire_many(bytes as u32).await {
                    room.forget();
                }
            }
            let under_way = Sent {
                epoch: header.epoch,
                sequence: header.sequence,
                end: record.end,
                bytes,
                keyframe: header.keyframe,
                source: header.source,
                records: header.records,
                payload_bytes: header.bytes,
            };
            // The keyframe goes before the frame, once per connection.
            let mut messages = Vec::with_capacity(2);
            let done = {
                let mut flight = shared.flight();
                if let Some(sealed) =
                    keyframe.filter(|k| !known && flight.is_new_keyframe(header.keyframe, k))
                {
                    messages.push(Message::Keyframe(sealed));
                }
                flight.push(class, under_way)
            };
            if let Some(end) = done {
                shared.progress.acked[class].send_replace(end);
            }
            if known {
                skipped.inc();
                continue;
            }
            let is_new = shared.progress.sent[class].send_if_modified(|sent| {
                let newer = record.end > *sent;
                *sent = record.end.max(*sent);
                newer
            });
            resent.inc_by(u64::from(!is_new));
            messages.push(Message::Frame(record.frame));
            for message in messages {
                let size = size_of(&message);
                slow_down(&shared, size).await;
                if shared.out.send(AgentMessage { message: Some(message) }).await.is_err() {
                    return Ok(());
                }
                sent_bytes.inc_by(size as u64);
            }
            sent.inc();
        }
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

/// Waits as long as the aggregator's wish for a lower rate demands.
async fn slow_down(shared: &Shared, bytes: usize) {
    let wish = *shared.throttle.borrow();
    let Some((rate, until)) = wish.filter(|(rate, until)| *rate > 0 && *until > Instant::now()) else {
        return;
    };
    let wait = Duration::from_secs_f64(bytes as f64 / rate as f64);
    tokio::time::sleep_until(until.min(Instant::now() + wait)).await;
}
