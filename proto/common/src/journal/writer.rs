//! The one thread that writes: takes what is queued, writes it, makes one fsync per segment touched, and only then
//! lets the waiting know (group commit).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::active::{Active, cost};
use super::api::{Append, Fold, Options, Position};
use super::catalog::{Segment, Shared, locked};
use super::error::JournalError;
use super::witness::Witness;

/// Bytes that may wait in the queue; what is larger goes alone.
pub(super) const QUEUE_BYTES: usize = 8 << 20;
/// Calls that may wait in the queue.
pub(super) const QUEUE_CALLS: usize = 256;
/// Room for encoding that is kept between writes.
const BUF_BYTES: usize = 1 << 20;

/// What the others ask of the writer.
pub(super) enum Request {
    /// Frames of one call.
    Append {
        class: usize,
        frames: Vec<Append>,
        done: oneshot::Sender<Result<Position, JournalError>>,
        /// Its share of the queue.
        room: OwnedSemaphorePermit,
    },
    /// A cursor has passed a segment, or waits for a state to be stored.
    Sweep,
    /// Write what is queued, then end.
    Close,
}

/// The thread's own.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) options: Options,
    pub(super) classes: Vec<Writing>,
    pub(super) buf: Vec<u8>,
}

/// What the thread knows of a class.
pub(super) struct Writing {
    pub(super) fold: Box<dyn Fold>,
    pub(super) witness: Witness,
    pub(super) active: Option<Active>,
    /// Written, not yet fsynced.
    pub(super) staged: Vec<Staged>,
    /// Number of the next segment.
    pub(super) next: u64,
    /// Frames in the newest segment.
    pub(super) newest_frames: u64,
    /// No segment's state is as new as it should be: frames were shed since, or damage has hit it.
    pub(super) state_due: bool,
    /// Shed segments that stay until that state is stored.
    pub(super) doomed: Vec<Arc<Segment>>,
}

/// One call's frames between write and fsync.
pub(super) struct Staged {
    frames: Vec<Append>,
    end: Position,
    done: oneshot::Sender<Result<Position, JournalError>>,
    _room: OwnedSemaphorePermit,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, options: Options, classes: Vec<Writing>) -> Self {
        Self { shared, options, classes, buf: Vec::new() }
    }

    /// The thread's life: until it is told to close, or until nobody is left who could ask. Whoever waits for the end
    /// waits for `_ended` to be dropped.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>, _ended: watch::Sender<()>) {
        while let Some(first) = queue.blocking_recv() {
            self.round(first, &mut queue);
        }
        self.finish();
        // From here on another process may write.
        self.shared.lock.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// What opening has left to do.
    pub(super) fn begin(&mut self) {
        for class in 0..self.classes.len() {
            self.sweep(class);
        }
    }

    /// What must not wait for the next process.
    pub(super) fn finish(&mut self) {
        for class in 0..self.classes.len() {
            self.catch_up(class);
        }
    }

    /// Writes and fsyncs all that is queued.
    pub(super) fn round(&mut self, first: Request, queue: &mut mpsc::Receiver<Request>) {
        let mut next = Some(first);
        // Not longer, lest those at its beginning wait for ever: what is queued meanwhile is the next round's.
        for more in (0..QUEUE_CALLS).rev() {
            let Some(request) = next.take() else { break };
            match request {
                Request::Append { class, frames, done, room } => match self.write(class, &frames) {
                    Ok(end) => self.classes[class].staged.push(Staged { frames, end, done, _room: room }),
                    Err(error) => answer(done, Err(error)),
                },
                Request::Sweep => {}
                Request::Close => queue.close(),
            }
            if more > 0 {
                next = queue.try_recv().ok();
            }
        }
        for class in 0..self.classes.len() {
            // A failure was told to those who wait, and logged.
            drop(self.commit(class));
            self.sweep(class);
            if queue.is_empty()
                && let Writing { active: Some(active), witness, .. } = &mut self.classes[class]
                && active.mark(&self.shared.classes[class], &mut self.buf)
            {
                witness.note(active.segment.end());
            }
        }
        self.buf.clear();
        self.buf.shrink_to(BUF_BYTES);
    }

    /// Writes one call's frames into the segment that they belong into, making room if need be.
    fn write(&mut self, class: usize, frames: &[Append]) -> Result<Position, JournalError> {
        self.settle(class)?;
        if let Some(active) = &self.classes[class].active
            && active.is_due(active.cost(frames), &self.options)
            && self.frames_in_newest(class) > 0
        {
            // A failure was told to those whom it concerns; this call's frames go into a new segment.
            drop(self.roll(class));
            self.settle(class)?;
        }
        let more = match &self.classes[class].active {
            Some(active) => active.cost(frames),
            None => cost(frames, |_| false),
        };
        self.make_room(class, more);
        // A disk that is full before the budget is refuses them: whoever appends can wait, and has them still.
        self.try_write(class, frames)
    }

    fn try_write(&mut self, class: usize, frames: &[Append]) -> Result<Position, JournalError> {
        self.ensure_active(class)?;
        self.catch_up(class);
        self.ensure_active(class)?;
        let writing = &mut self.classes[class];
        let Some(active) = &mut writing.active else { unreachable!("ensured above") };
        active.stage(&self.shared.classes[class], frames, &mut self.buf)
    }

    /// A segment to write to, with the state at its head.
    pub(super) fn ensure_active(&mut self, class: usize) -> Result<(), JournalError> {
        self.settle(class)?;
        let writing = &mut self.classes[class];
        if writing.active.is_none() {
            // The number is spent even if the file cannot be made, since something of it may be left.
            let number = writing.next;
            writing.next += 1;
            let state = writing.fold.snapshot();
            let shared = &self.shared;
            let active =
                Active::create(&*shared.storage, &shared.classes[class], number, &state, &mut self.buf)?;
            writing.active = Some(active);
            writing.newest_frames = 0;
            writing.state_due = false;
        }
        Ok(())
    }

    /// Leaves a segment behind whose fsync failed. Fails where that segment cannot even be cut.
    pub(super) fn settle(&mut self, class: usize) -> Result<(), JournalError> {
        let log = &self.shared.classes[class];
        let writing = &mut self.classes[class];
        if let Some(active) = &mut writing.active
            && active.retired
        {
            active.repair(log)?;
            active.segment.seal();
            let void = active.is_void().then(|| active.segment.clone());
            writing.active = None;
            if let Some(segment) = void {
                locked(&log.log).segments.remove(&segment.number);
                log.remove(&*self.shared.storage, &segment);
                // What is the newest now may have some.
                writing.newest_frames = 1;
            }
        }
        Ok(())
    }

    /// Ends the active segment: all of it is durable, and applied to the fold, before the next one's state is taken.
    pub(super) fn roll(&mut self, class: usize) -> Result<(), JournalError> {
        self.commit(class)?;
        let shared = &self.shared;
        let writing = &mut self.classes[class];
        if let Some(active) = &mut writing.active {
            // The mark at its end: sealed segments are durable to their last byte.
            active.sync(&*shared.storage, &shared.classes[class])?;
            active.segment.seal();
            writing.active = None;
        }
        Ok(())
    }

    /// Fsyncs what a class has written and lets the waiting know.
    ///
    /// # Errors
    /// Those who wait have been told already.
    pub(super) fn commit(&mut self, class: usize) -> Result<(), JournalError> {
        let log = &self.shared.classes[class];
        let writing = &mut self.classes[class];
        let Some(active) = writing.active.as_mut().filter(|active| !active.is_synced()) else {
            return Ok(());
        };
        let done = active.sync(&*self.shared.storage, log);
        if let Err(error) = &done {
            tracing::error!(class = log.name, %error, "the journal's fsync failed; going on in a new segment");
        }
        for Staged { frames, end, done: waiting, .. } in writing.staged.drain(..) {
            if done.is_ok() {
                for append in &frames {
                    writing.fold.apply(&append.frame);
                }
                writing.newest_frames += frames.len() as u64;
                log.tally.appended.fetch_add(frames.len() as u64, Ordering::Relaxed);
                active.segment.note_frames(end.offset);
                log.durable.send_replace(end);
            }
            answer(waiting, done.clone().map(|()| end));
        }
        if done.is_ok() && !writing.state_due {
            locked(&log.log).note_counted();
            for segment in writing.doomed.drain(..) {
                log.remove(&*self.shared.storage, &segment);
            }
        }
        if let Err(error) = self.settle(class) {
            tracing::error!(%error, "cannot cut what was not fsynced; trying again with the next write");
        }
        done
    }

    /// Stores a state that is overdue.
    fn catch_up(&mut self, class: usize) {
        if self.classes[class].state_due
            && let Err(error) = self.keep_state(class)
        {
            tracing::warn!(class = self.shared.classes[class].name, %error, "cannot store the journal's state yet");
        }
    }

    /// Deletes what every cursor has passed.
    fn sweep(&mut self, class: usize) {
        self.catch_up(class);
        if self.classes[class].state_due {
            // What is read may hold the only good state.
            return;
        }
        let log = &self.shared.classes[class];
        let passed = locked(&log.log).take_passed();
        for segment in passed {
            log.remove(&*self.shared.storage, &segment);
        }
    }

    pub(super) fn frames_in_newest(&self, class: usize) -> u64 {
        let writing = &self.classes[class];
        let staged: usize = writing.staged.iter().map(|staged| staged.frames.len()).sum();
        writing.newest_frames + staged as u64
    }
}

/// Nobody may be waiting any more, which is fine.
fn answer(waiting: oneshot::Sender<Result<Position, JournalError>>, result: Result<Position, JournalError>) {
    drop(waiting.send(result));
}
