//! The worker of one sink and one queue: reads a run of frames, leaves out what is known to be refused, notes the
//! request's bounds, delivers, counts, moves the cursor. It shares nothing with other workers that could make it wait.
//!
//! ```text
//! (leave behind what is late) -> read -> check -> (wait for the clock) -> intent, Cursor::begin -> deliver
//!     -> dead letters, counts -> Cursor::advance -> (leave the fresh worker its share)
//! ```
//!
//! A request that was under way at a crash is built again from the same frames with the same records left out, and sent
//! before anything else. A frame that is larger than a request goes in several, each noted before it is sent.

use std::sync::Arc;
use std::time::Duration;

use ao_common::journal::{Cursor, Journal, Position};
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use super::arrivals::Arrivals;
use super::check::{self, Ahead, Verdict, now_ms};
use super::counts::Counts;
use super::dead_letter::DeadLetters;
use super::decode::Keyframes;
use super::deliver::{Courier, Notes, Settled, Stopped, cut};
use super::intent::{Intent, LeftOut, Noted};
use super::lag::bytes_between;
use super::outcome::Outcome;
use super::ranges::{self, Range, Ranges};
use super::share::Share;
use super::status::State;
use super::tally::Tally;
use super::tap::{Run, Tap};
use crate::sink::api::{Batch, Lane, Part};

/// See the module.
pub(super) struct Worker {
    pub(super) courier: Courier,
    pub(super) lane: Lane,
    pub(super) share: Arc<Share>,
    pub(super) ahead: Ahead,
    pub(super) journal: Journal,
    /// The queue's number in the journal.
    pub(super) queue: usize,
    pub(super) durable: watch::Receiver<Position>,
    pub(super) keyframes: Keyframes,
    pub(super) letters: Arc<DeadLetters>,
    /// Of a fresh worker that may leave behind what is late.
    pub(super) arrivals: Option<Arc<Arrivals>>,
    /// What it leaves behind, or, for the late worker, what there is to drain.
    pub(super) ranges: Arc<Ranges>,
    /// The backend has taken a request since the start.
    pub(super) proven: bool,
    /// Everything before it is done.
    pub(super) position: Position,
    /// Where the range ends that is drained.
    pub(super) end: Option<Position>,
    /// Not here only while it is on a blocking thread, or while the late worker has nothing to do.
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

/// Whether there may be more to do.
#[derive(PartialEq)]
enum Step {
    More,
    Drained,
}

impl Worker {
    /// Where it works from now on.
    pub(super) fn take_place(&mut self, cursor: Cursor, intent: Intent, counts: Counts) {
        (self.position, self.end) = (cursor.position(), cursor.end());
        let tap = Tap::new(self.journal.reader(self.queue, self.position), self.keyframes.clone(), self.end);
        self.desk = Some(Box::new(Desk { tap, cursor, intent, counts }));
    }

    /// Works until the shutdown.
    pub(super) async fn run(mut self) {
        self.courier.report.enter(State::Ok);
        // At the shutdown.
        let _stopped = self.drain().await;
    }

    /// Works until the end of the cursor's range; one that has none is drained at the shutdown only.
    pub(super) async fn drain(&mut self) -> Result<(), Stopped> {
        self.report_position();
        let pending = self.disk(|desk| Ok(desk.cursor.pending())).await?;
        if let Some(end) = pending {
            self.resume(end).await?;
        }
        while self.step().await? == Step::More {}
        Ok(())
    }

    /// One run of frames, or waits for one.
    async fn step(&mut self) -> Result<Step, Stopped> {
        if self.courier.shutdown.is_cancelled() {
            return Err(Stopped);
        }
        self.leave_behind().await?;
        let (begin, waited) = (Instant::now(), self.courier.waited);
        // Marked as seen before reading: what comes meanwhile wakes us.
        self.durable.borrow_and_update();
        let policy = self.courier.sink.policy();
        let run = self.disk(move |desk| Ok(desk.tap.run(policy)?)).await?;
        if self.lane == Lane::Fresh {
            self.share.fresh(!run.is_empty());
        }
        if run.is_empty() {
            if let Some(end) = self.end {
                self.disk(move |desk| Ok(desk.cursor.advance(end)?)).await?;
                return Ok(Step::Drained);
            }
            tokio::select! {
                changed = self.durable.changed() => return changed.map(|()| Step::More).map_err(|_| Stopped),
                () = self.courier.shutdown.cancelled() => return Err(Stopped),
            }
        }
        let left_out = self.check(&run).await?;
        self.request(run, Noted { left_out, ..Noted::default() }).await?;
        if self.lane != Lane::Fresh {
            let worked = begin.elapsed().saturating_sub(self.courier.waited - waited);
            let share = self.share.clone();
            self.courier.until_shutdown(share.pause(worked)).await?;
        }
        Ok(Step::More)
    }

    /// Leaves what came long ago to the late worker, and goes on with what comes now: once the backend takes requests, and
    /// with none under way.
    async fn leave_behind(&mut self) -> Result<(), Stopped> {
        let late = self.arrivals.as_ref().is_some_and(|arrivals| arrivals.is_late(self.position));
        if !late || !self.proven || !self.ranges.has_room() {
            return Ok(());
        }
        let (journal, queue, keyframes) = (self.journal.clone(), self.queue, self.keyframes.clone());
        let (sink, to) = (self.courier.sink.name(), *self.durable.borrow());
        let range = self.disk(move |desk| {
            let name = ranges::next_name(&journal, queue, sink);
            let cursor = desk.cursor.leave_behind(&name, to)?;
            desk.tap = Tap::new(journal.reader(queue, to), keyframes.clone(), None);
            Ok(Range { name, cursor })
        });
        let range = range.await?;
        let bytes = bytes_between(&self.journal, self.queue, self.position, to);
        tracing::warn!(
            sink,
            cursor = range.name,
            bytes,
            "the sink is behind: what is new goes first from here on"
        );
        self.ranges.push(range);
        self.position = to;
        self.report_position();
        Ok(())
    }

    /// The request that was under way when the last process ended.
    async fn resume(&mut self, end: Position) -> Result<(), Stopped> {
        let (run, mut noted) =
            self.disk(move |desk| Ok((desk.tap.run_to(end)?, desk.intent.read(end)))).await?;
        if noted.left_out.len() != run.frames.len() {
            // Nothing was left out, or the journal has given up a part of it meanwhile and nothing fits any more.
            noted = Noted { left_out: vec![LeftOut::new(); run.frames.len()], ..Noted::default() };
        }
        if let Some(in_flight) = self.requests(&run, &noted).first() {
            let mut notes = Ledgering { desk: &mut self.desk, position: self.position };
            self.courier.resent(in_flight, &mut notes).await;
        }
        self.request(Run { end, ..run }, noted).await
    }

    /// What is still to be sent of a run, request by request.
    fn requests(&self, run: &Run, noted: &Noted) -> Vec<Batch> {
        let done = usize::try_from(noted.done).unwrap_or(usize::MAX);
        let (_, rest) = batch(run, &noted.left_out, self.lane).split_at(done);
        cut(rest, self.courier.sink.policy().max_records)
    }

    /// What is to be left out of each frame; waits for what is ahead of the clock.
    async fn check(&mut self, run: &Run) -> Result<Vec<LeftOut>, Stopped> {
        let (sink, lane) = (self.courier.sink.clone(), self.lane);
        loop {
            let now = now_ms();
            let verdicts: Vec<Verdict> =
                run.frames.iter().map(|frame| check::check(frame, &*sink, lane, self.ahead, now)).collect();
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

    /// Delivers a run but for what is noted as done, and moves the cursor behind it.
    async fn request(&mut self, run: Run, mut noted: Noted) -> Result<(), Stopped> {
        let end = run.end;
        for (place, request) in self.requests(&run, &noted).into_iter().enumerate() {
            let note = noted.clone();
            self.disk(move |desk| {
                desk.intent.note(end, &note)?;
                if place == 0 {
                    desk.cursor.begin(end)?;
                }
                Ok(())
            })
            .await?;
            noted.done += request.records() as u64;
            let mut notes = Ledgering { desk: &mut self.desk, position: self.position };
            let settled = self.courier.deliver(request, &mut notes).await?;
            noted.add(&run.frames, settled);
        }
        let left_out = std::mem::take(&mut noted.left_out);
        let settled = noted.settled(&run.frames);
        self.bury(&settled).await;
        self.close(Outcome { run, left_out, settled }).await
    }

    /// Counts a run that is through, and moves the cursor behind it.
    async fn close(&mut self, outcome: Outcome) -> Result<(), Stopped> {
        let (sink, start, end) = (self.courier.sink.clone(), self.position, outcome.run.end);
        let outcome = Arc::new(outcome);
        let run = outcome.clone();
        let resent = std::mem::take(&mut self.courier.report.resent);
        let mut tally = outcome.tally(sink.name(), Position::default());
        let (mut counted, mut moved) = (false, false);
        let tally = self.disk(move |desk| {
            sink.keep()?;
            // Each step once, however often the disk refuses what comes behind it.
            if !counted {
                desk.counts.append(end, &[&tally, &resent])?;
                counted = true;
            }
            if !moved {
                let stood = desk.cursor.advance(end)?;
                moved = true;
                if stood > start {
                    // The journal gave up a part of it meanwhile, and has counted that.
                    let right = run.tally(sink.name(), stood);
                    desk.counts.correct(&tally, &right);
                    tally = right;
                }
            }
            desk.counts.tidy(end)?;
            Ok(tally.clone())
        });
        let tally = tally.await?;
        for (_, undecodable) in &outcome.run.undecodable {
            self.courier.report.undecodable(&undecodable.0, &undecodable.1);
        }
        self.courier.report.settled(&tally);
        (self.position, self.proven) = (end, true);
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

    pub(super) fn report_position(&self) {
        let to = self.end.unwrap_or_else(|| *self.durable.borrow());
        let mut lag = bytes_between(&self.journal, self.queue, self.position, to);
        if self.lane == Lane::Late {
            lag += self.ranges.bytes(&self.journal, self.queue);
        }
        self.courier.report.position(self.position, lag);
    }
}

/// Notes what is sent again among the counts, as done: the cursor need not move for it to count.
struct Ledgering<'a> {
    desk: &'a mut Option<Box<Desk>>,
    position: Position,
}

impl Notes for Ledgering<'_> {
    fn resent<'a>(&'a mut self, tally: &Tally) -> BoxFuture<'a, bool> {
        let (tally, position) = (tally.clone(), self.position);
        Box::pin(async move {
            let Some(mut desk) = self.desk.take() else { return false };
            let task = tokio::task::spawn_blocking(move || {
                let noted = desk.counts.append(position, &[&tally]);
                (desk, noted)
            });
            let Ok((desk, noted)) = task.await else { return false };
            *self.desk = Some(desk);
            noted.is_ok()
        })
    }
}

/// The run without what is left out of it.
fn batch(run: &Run, left_out: &[LeftOut], lane: Lane) -> Batch {
    let parts = run.frames.iter().zip(left_out).map(|(frame, left_out)| {
        let mut records = frame.telemetry.records();
        records.retain(|record| !left_out.contains_key(record));
        Part { frame: frame.clone(), records }
    });
    Batch { lane, parts: parts.filter(|part| !part.records.is_empty()).collect() }
}
