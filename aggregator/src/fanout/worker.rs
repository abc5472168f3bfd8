//! The worker of one sink and one queue: reads a run of frames, leaves out what is known to be refused, notes the
//! request's bounds, delivers, counts, moves the cursor. It shares nothing with other workers that could make it wait.
//!
//! ```text
//! read -> check -> (wait for the clock) -> intent, Cursor::begin -> deliver -> dead letters, counts -> Cursor::advance
//! ```
//!
//! A request that was under way at a crash is built again from the same frames with the same records left out, and sent
//! before anything else. A frame that is larger than a request goes in several, each noted before it is sent.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ao_common::journal::{Cursor, Journal, Position};
use tokio::sync::watch;

use super::check::{self, Ahead, Verdict, now_ms};
use super::counts::Counts;
use super::dead_letter::DeadLetters;
use super::deliver::{Courier, Settled, Stopped, cut};
use super::intent::{Intent, LeftOut};
use super::status::State;
use super::tap::{Run, Tap};
use crate::sink::api::{Batch, DropReason, Part};

/// See the module.
pub(super) struct Worker {
    pub(super) courier: Courier,
    pub(super) ahead: Ahead,
    pub(super) journal: Journal,
    /// The queue's number in the journal.
    pub(super) queue: usize,
    pub(super) durable: watch::Receiver<Position>,
    pub(super) letters: Arc<DeadLetters>,
    /// Everything before it is done.
    pub(super) position: Position,
    /// Not here only while it is on a blocking thread.
    pub(super) desk: Option<Box<Desk>>,
}

/// What blocks on the disk; moved to a blocking thread and back.
pub(super) struct Desk {
    pub(super) tap: Tap,
    pub(super) cursor: Cursor,
    pub(super) intent: Intent,
    pub(super) counts: Counts,
}

/// What the disk made impossible, as a sentence.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

impl Worker {
    /// Works until the shutdown.
    pub(super) async fn run(mut self) {
        self.courier.report.enter(State::Ok);
        self.report_position();
        let Ok(pending) = self.disk(|desk| Ok(desk.cursor.pending())).await else { return };
        if let Some(end) = pending
            && let Err(Stopped) = self.resume(end).await
        {
            return;
        }
        while let Ok(()) = self.step().await {}
    }

    /// One run of frames, or waits for one.
    async fn step(&mut self) -> Result<(), Stopped> {
        if self.courier.shutdown.is_cancelled() {
            return Err(Stopped);
        }
        // Marked as seen before reading: what comes meanwhile wakes us.
        self.durable.borrow_and_update();
        let policy = self.courier.sink.policy();
        let run = self.disk(move |desk| Ok(desk.tap.run(policy)?)).await?;
        if run.is_empty() {
            tokio::select! {
                changed = self.durable.changed() => return changed.map_err(|_| Stopped),
                () = self.courier.shutdown.cancelled() => return Err(Stopped),
            }
        }
        let left_out = self.check(&run).await?;
        self.request(run, left_out, 0).await
    }

    /// The request that was under way when the last process ended.
    async fn resume(&mut self, end: Position) -> Result<(), Stopped> {
        let (run, (mut left_out, done)) =
            self.disk(move |desk| Ok((desk.tap.run_to(end)?, desk.intent.read(end)))).await?;
        left_out.resize(run.frames.len(), LeftOut::new());
        if let Some(in_flight) = self.requests(&run, &left_out, done).first() {
            self.courier.report.resent(in_flight);
        }
        self.request(Run { end, ..run }, left_out, done).await
    }

    /// What is still to be sent of a run, request by request.
    fn requests(&self, run: &Run, left_out: &[LeftOut], done: u64) -> Vec<Batch> {
        let (_, rest) = batch(run, left_out).split_at(usize::try_from(done).unwrap_or(usize::MAX));
        cut(rest, self.courier.sink.policy().max_records)
    }

    /// What is to be left out of each frame; waits for what is ahead of the clock.
    async fn check(&mut self, run: &Run) -> Result<Vec<LeftOut>, Stopped> {
        let sink = self.courier.sink.clone();
        loop {
            let now = now_ms();
            let verdicts: Vec<Verdict> =
                run.frames.iter().map(|frame| check::check(frame, &*sink, self.ahead, now)).collect();
            let Some(not_before) = verdicts.iter().filter_map(|verdict| verdict.not_before).max() else {
                return Ok(verdicts.into_iter().map(|verdict| verdict.left_out).collect());
            };
            let wait = Duration::from_millis(u64::try_from(not_before - now).unwrap_or(0).max(1));
            let reason = format!("data is ahead of the clock: waiting {wait:?} for its time to come");
            self.courier.report.retrying(&reason);
            // In steps: the clock may be set meanwhile.
            self.courier.wait(wait.min(Duration::from_secs(5))).await?;
        }
    }

    /// Delivers a run but for the records that are `done`, and moves the cursor behind it.
    async fn request(&mut self, run: Run, left_out: Vec<LeftOut>, mut done: u64) -> Result<(), Stopped> {
        let end = run.end;
        let mut settled = Settled::default();
        let requests = self.requests(&run, &left_out, done);
        for (place, request) in requests.into_iter().enumerate() {
            // What was refused is known to this process alone until the run is through: behind it nothing counts as done.
            if settled.is_empty() {
                let noted = left_out.clone();
                self.disk(move |desk| {
                    desk.intent.note(end, &noted, done)?;
                    if place == 0 {
                        desk.cursor.begin(end)?;
                    }
                    Ok(())
                })
                .await?;
            }
            done += request.records() as u64;
            settled.join(self.courier.deliver(request).await?);
        }
        self.bury(&settled).await;
        self.count(&run, &left_out, &settled);
        let tally = std::mem::take(&mut self.courier.report.tally);
        self.disk(move |desk| Ok(desk.counts.append(end, &tally)?)).await?;
        self.disk(move |desk| Ok(desk.cursor.advance(end)?)).await?;
        self.disk(move |desk| Ok(desk.counts.tidy(end)?)).await?;
        self.position = end;
        self.courier.report.enter(State::Ok);
        self.report_position();
        Ok(())
    }

    /// Writes what was refused to the dead-letter file. Where that fails they are still counted, and the log says so.
    async fn bury(&mut self, settled: &Settled) {
        if settled.refused.is_empty() {
            return;
        }
        let (letters, refused) = (self.letters.clone(), settled.refused.clone());
        let sink = self.courier.sink.name();
        let why = refused.first().map(|one| one.why.clone());
        tracing::error!(
            sink,
            records = refused.len(),
            why = why.as_deref(),
            "the backend refused records: dropped"
        );
        let written = tokio::task::spawn_blocking(move || letters.write(sink, now_ms(), &refused)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(sink, %error, "refused records are lost");
        }
    }

    /// Every frame of the run into the ledger: dropped, or else delivered.
    fn count(&mut self, run: &Run, left_out: &[LeftOut], settled: &Settled) {
        for undecodable in &run.undecodable {
            self.courier.report.undecodable(&undecodable.0, &undecodable.1);
        }
        let mut dropped: HashMap<*const _, BTreeMap<DropReason, u64>> = HashMap::new();
        for (frame, left_out) in run.frames.iter().zip(left_out) {
            let of_frame = dropped.entry(Arc::as_ptr(frame)).or_default();
            for reason in left_out.values() {
                *of_frame.entry(*reason).or_default() += 1;
            }
        }
        let refused = settled.refused.iter().map(|one| (&one.frame, one.reason, 1));
        let unnamed = settled.unnamed.iter().map(|(frame, count)| (frame, DropReason::Refused, *count));
        for (frame, reason, count) in refused.chain(unnamed) {
            *dropped.entry(Arc::as_ptr(frame)).or_default().entry(reason).or_default() += count;
        }
        for frame in &run.frames {
            let none = BTreeMap::new();
            let of_frame = dropped.get(&Arc::as_ptr(frame)).unwrap_or(&none);
            let records = frame.telemetry.records().len() as u64;
            self.courier.report.settled(&frame.header, records, of_frame);
        }
    }

    /// Does something that blocks; what the disk refuses is tried again until it does not.
    async fn disk<R: Send + 'static>(
        &mut self,
        mut work: impl FnMut(&mut Desk) -> Result<R, Trouble> + Send + 'static,
    ) -> Result<R, Stopped> {
        let mut troubled = false;
        loop {
            let Some(mut desk) = self.desk.take() else { return Err(Stopped) };
            let task = tokio::task::spawn_blocking(move || {
                let done = work(&mut desk);
                (desk, work, done)
            });
            let Ok((desk, again, done)) = task.await else {
                // It panicked, or the runtime ends.
                self.courier.report.held("the worker broke down: restart the aggregator");
                return Err(Stopped);
            };
            self.desk = Some(desk);
            work = again;
            match done {
                Ok(done) => {
                    if troubled {
                        self.courier.report.enter(State::Ok);
                    }
                    return Ok(done);
                }
                Err(trouble) => {
                    troubled = true;
                    self.courier.report.held(&trouble.to_string());
                    self.courier.wait(self.courier.patience.held_every).await?;
                }
            }
        }
    }

    fn report_position(&self) {
        let position = self.position;
        let durable = *self.durable.borrow();
        let lag = if durable.segment <= position.segment {
            durable.offset.saturating_sub(position.offset)
        } else {
            let stats = self.journal.stats(self.queue);
            let mean = stats.bytes / stats.segments.max(1);
            (mean.saturating_mul(durable.segment - position.segment) + durable.offset)
                .saturating_sub(position.offset)
        };
        self.courier.report.position(position, lag);
    }
}

/// The run without what is left out of it.
fn batch(run: &Run, left_out: &[LeftOut]) -> Batch {
    let parts = run.frames.iter().zip(left_out).map(|(frame, left_out)| {
        let mut records = frame.telemetry.records();
        records.retain(|record| !left_out.contains_key(record));
        Part { frame: frame.clone(), records }
    });
    Batch { parts: parts.filter(|part| !part.records.is_empty()).collect() }
}
