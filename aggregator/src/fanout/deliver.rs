//! Delivers one batch until nothing of it is left: sends, waits, sends again, halves what is too large, and bisects what
//! is refused until the guilty records stand alone. Pieces that were accepted are not sent again.
//!
//! | answer | what follows |
//! |---|---|
//! | accepted | done |
//! | retry | full-jitter backoff, not before Retry-After; else ended by another worker's success |
//! | throttled four times | two halves: one that is larger than the backend's burst never passes |
//! | 500 three times, while a small test request passes | taken for refused data; a record is given up for two of them |
//! | configuration | held, alarmed, tried again slowly |
//! | too large, refused | two halves; one record alone is given up |

use std::sync::Arc;
use std::time::Duration;

use ao_common::backoff::Backoff;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::report::Report;
use super::status::State;
use super::tally::{Tally, add_to};
use crate::sink::api::{Accepted, Answer, Batch, Decoded, DropReason, Refusal, RetryKind, Sink};

/// Answers of 500 after which the data is suspected.
const SUSPECT_AFTER: u32 = 3;
/// Answers of 429 after which the request is made smaller.
const HALVE_AFTER: u32 = 4;

/// The shutdown came first; what was not accepted is sent again by the next process.
#[derive(Debug)]
pub(super) struct Stopped;

/// A record that the backend refused.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) frame: Arc<Decoded>,
    pub(super) record: u32,
    pub(super) reason: DropReason,
    /// The backend's words.
    pub(super) why: Arc<str>,
}

/// What was not delivered of a batch.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) refused: Vec<Refused>,
    /// Records that the backend left out without naming them, by frame as far as that can be told.
    pub(super) unnamed: Vec<(Arc<Decoded>, u64)>,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// The first wait after a failure is up to this.
    pub(super) retry_base: Duration,
    /// And no wait is longer than up to this.
    pub(super) retry_cap: Duration,
    /// Between attempts while held.
    pub(super) held_every: Duration,
    /// For the request in flight at the shutdown.
    pub(super) drain: Duration,
}

/// Delivers for one worker.
pub(super) struct Courier {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) patience: Patience,
    pub(super) report: Report,
    pub(super) shutdown: CancellationToken,
    /// Between the workers of a sink: one of them has found that it takes requests again.
    pub(super) well: watch::Sender<()>,
    /// Time that was not spent working.
    pub(super) waited: Duration,
}

/// Notes on disk what is sent again, before it is: a crash then forgets none of it.
pub(super) trait Notes: Send {
    /// False where it could not be noted.
    fn resent<'a>(&'a mut self, tally: &Tally) -> BoxFuture<'a, bool>;
}

/// A part of the batch on its way.
struct Piece {
    batch: Batch,
    /// Failures since it was made.
    failures: u32,
    /// Its whole got a 500 while a test request passed.
    suspect: bool,
    /// Sent before, and nobody knows whether it was taken.
    unclear: bool,
}

enum Next {
    Again,
    Halve { suspect: bool },
    GiveUp(DropReason),
}

impl Courier {
    /// Delivers the batch: one request, or more where the backend wants it smaller.
    ///
    /// # Errors
    /// At the shutdown.
    pub(super) async fn deliver(&mut self, batch: Batch, notes: &mut dyn Notes) -> Result<Settled, Stopped> {
        let mut settled = Settled::default();
        let mut backoff = Backoff::new(self.patience.retry_base, self.patience.retry_cap);
        // The last one is the next.
        let mut pieces = vec![Piece::new(batch)];
        while let Some(mut piece) = pieces.pop() {
            if self.shutdown.is_cancelled() {
                return Err(Stopped);
            }
            if piece.unclear {
                self.resent(&piece.batch, notes).await;
            }
            // From before the request on: what the others find while it fails counts.
            let mut well = self.well.subscribe();
            match self.send(&piece.batch).await? {
                Ok(accepted) => {
                    backoff.reset();
                    if self.report.state != State::Ok {
                        self.well.send_replace(());
                    }
                    self.report.accepted();
                    settled.add(&piece.batch, accepted);
                }
                Err(refusal) => match self.judge(&refusal, &mut piece, &mut backoff, &mut well).await? {
                    Next::Again => pieces.push(piece),
                    Next::Halve { suspect } => {
                        let half = piece.batch.records().div_ceil(2);
                        let (first, rest) = piece.batch.split_at(half);
                        let half = |batch| Piece { suspect, unclear: piece.unclear, ..Piece::new(batch) };
                        pieces.extend([rest, first].map(half));
                    }
                    Next::GiveUp(reason) => settled.give_up(&piece.batch, reason, refusal.why()),
                },
            }
        }
        Ok(settled)
    }

    /// Counts a batch that is sent again.
    pub(super) async fn resent(&mut self, batch: &Batch, notes: &mut dyn Notes) {
        let tally = self.report.resent(batch);
        if !notes.resent(&tally).await {
            // With the counts of the whole, then.
            for (key, count) in tally {
                add_to(&mut self.report.resent, key, count);
            }
        }
    }

    /// Decides, and waits where waiting is the answer.
    async fn judge(
        &mut self,
        refusal: &Refusal,
        piece: &mut Piece,
        backoff: &mut Backoff,
        well: &mut watch::Receiver<()>,
    ) -> Result<Next, Stopped> {
        let alone = piece.batch.records() <= 1;
        let smaller = |reason, suspect| if alone { Next::GiveUp(reason) } else { Next::Halve { suspect } };
        // A clear no: nothing of it was taken.
        piece.unclear = false;
        match refusal {
            Refusal::TooLarge { .. } => Ok(smaller(DropReason::TooLarge, false)),
            Refusal::Data { .. } => Ok(smaller(DropReason::Refused, false)),
            Refusal::Configuration { why } => {
                self.report.held(why);
                let wait =
                    Backoff::new(Duration::ZERO, Duration::ZERO).next_at_least(self.patience.held_every);
                self.wait_until_well(wait, well).await?;
                Ok(Next::Again)
            }
            Refusal::Retry { kind, after, why } => {
                piece.failures += 1;
                piece.unclear = !matches!(kind, RetryKind::Unavailable | RetryKind::Throttled);
                // Once the whole was suspected, each half is asked once; but nothing is given up for one bad moment.
                let enough = match (piece.suspect, alone) {
                    (true, false) => 1,
                    (true, true) => 2,
                    (false, _) => SUSPECT_AFTER,
                };
                if *kind == RetryKind::Server && piece.failures >= enough && self.is_well().await? {
                    backoff.reset();
                    return Ok(smaller(DropReason::Refused, true));
                }
                if *kind == RetryKind::Throttled && piece.failures >= HALVE_AFTER && !alone {
                    return Ok(Next::Halve { suspect: piece.suspect });
                }
                self.report.retrying(why);
                if *kind == RetryKind::Throttled || after.is_some() {
                    self.wait(backoff.next_at_least(after.unwrap_or_default())).await?;
                } else if self.wait_until_well(backoff.next(), well).await? {
                    backoff.reset();
                }
                Ok(Next::Again)
            }
        }
    }

    /// Whether a small request of our own passes.
    async fn is_well(&self) -> Result<bool, Stopped> {
        tokio::select! {
            answer = self.sink.test() => Ok(answer.is_ok()),
            () = self.overdue() => Err(Stopped),
        }
    }

    async fn send(&self, batch: &Batch) -> Result<Answer, Stopped> {
        let started = Instant::now();
        let answer = tokio::select! {
            biased;
            answer = self.sink.send(batch) => answer,
            () = self.overdue() => return Err(Stopped),
        };
        self.report.request(answer.as_ref().err(), started.elapsed());
        Ok(answer)
    }

    /// Waits, but not beyond the shutdown.
    ///
    /// # Errors
    /// At the shutdown.
    pub(super) async fn wait(&mut self, time: Duration) -> Result<(), Stopped> {
        self.waited += time;
        self.until_shutdown(tokio::time::sleep(time)).await
    }

    /// Waits, but no longer than until another worker of the sink finds that it takes requests again: true then.
    async fn wait_until_well(
        &mut self,
        time: Duration,
        well: &mut watch::Receiver<()>,
    ) -> Result<bool, Stopped> {
        let (begin, mut is_well) = (Instant::now(), false);
        let waiting =
            async { is_well = matches!(tokio::time::timeout(time, well.changed()).await, Ok(Ok(()))) };
        self.until_shutdown(waiting).await?;
        self.waited += begin.elapsed();
        Ok(is_well)
    }

    /// Does something that ends at the shutdown.
    ///
    /// # Errors
    /// At the shutdown.
    pub(super) async fn until_shutdown(&self, something: impl Future<Output = ()>) -> Result<(), Stopped> {
        tokio::select! {
            () = something => Ok(()),
            () = self.shutdown.cancelled() => Err(Stopped),
        }
    }

    /// Ends a while after the shutdown: the request in flight may still be answered.
    async fn overdue(&self) {
        self.shutdown.cancelled().await;
        tokio::time::sleep(self.patience.drain).await;
    }
}

/// The batch in requests of so many records: frames that are larger than a request come in several.
pub(super) fn cut(mut batch: Batch, max_records: usize) -> Vec<Batch> {
    let mut requests = Vec::new();
    while batch.records() > 0 {
        let (first, rest) = batch.split_at(max_records.max(1));
        requests.push(first);
        batch = rest;
    }
    requests
}

impl Piece {
    fn new(batch: Batch) -> Self {
        Self { batch, failures: 0, suspect: false, unclear: false }
    }
}

impl Settled {
    fn add(&mut self, batch: &Batch, accepted: Accepted) {
        let why: Arc<str> = accepted.why.into();
        for (place, record) in accepted.refused {
            let Some(part) = batch.parts.get(place) else { continue };
            let (frame, why) = (part.frame.clone(), why.clone());
            self.refused.push(Refused { frame, record, reason: DropReason::Refused, why });
        }
        let mut left = accepted.refused_unnamed;
        for part in &batch.parts {
            let of_part = left.min(part.records.len() as u64);
            if of_part > 0 {
                self.unnamed.push((part.frame.clone(), of_part));
                left -= of_part;
            }
        }
        if accepted.refused_unnamed > 0 {
            tracing::warn!(count = accepted.refused_unnamed, why = &*why, "the backend left records out");
        }
    }

    fn give_up(&mut self, batch: &Batch, reason: DropReason, why: &str) {
        for part in &batch.parts {
            for record in &part.records {
                let frame = part.frame.clone();
                self.refused.push(Refused { frame, record: *record, reason, why: why.into() });
            }
        }
    }
}

#[cfg(test)]
mod tests;
