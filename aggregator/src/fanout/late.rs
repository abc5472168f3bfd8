//! What a sink did not take in time. A fresh worker that finds itself behind leaves what is old to a bounded cursor and
//! goes on with what is new; the late worker beside it drains such ranges, the oldest first, so that the records of its
//! streams are in order as well, and removes each when it is done.

use std::sync::Arc;

use super::counts::Counts;
use super::deliver::Stopped;
use super::intent::Intent;
use super::ranges::{Range, Ranges};
use super::status::State;
use super::worker::{Desk, Worker};

/// The late worker: its files are the same for all ranges, since these lie behind each other in the journal.
pub(super) async fn run(mut worker: Worker, ranges: Arc<Ranges>, intent: Intent, counts: Counts) {
    worker.courier.report.enter(State::Ok);
    let mut files = Some((intent, counts));
    let shutdown = worker.courier.shutdown.clone();
    loop {
        worker.report_position();
        let range = tokio::select! {
            range = ranges.next() => range,
            () = shutdown.cancelled() => return,
        };
        let Some((intent, counts)) = files.take() else { return };
        worker.take_place(range.cursor, intent, counts);
        let Ok(()) = worker.drain().await else { return };
        let Some(desk) = worker.desk.take() else { return };
        let Desk { cursor, intent, counts, .. } = *desk;
        files = Some((intent, counts));
        if forget(&worker, Range { name: range.name, cursor }).await.is_err() {
            return;
        }
    }
}

/// Removes a range that is done. One that cannot be removed is found, done, at the next start.
async fn forget(worker: &Worker, Range { name, cursor }: Range) -> Result<(), Stopped> {
    let (journal, queue) = (worker.journal.clone(), worker.queue);
    let removed = tokio::task::spawn_blocking(move || {
        drop(cursor);
        journal.remove_cursor(queue, &name).map_err(|error| (name, error))
    });
    match removed.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err((cursor, error))) => {
            tracing::warn!(cursor, %error, "a range that is done cannot be removed");
            Ok(())
        }
        Err(_) => Err(Stopped),
    }
}
