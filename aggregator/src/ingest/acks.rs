//! Answers in the order in which frames came: each once its fsync is done, several at once as one.

use std::sync::Arc;

use std::time::Duration;

use ao_common::journal::Pending;
use ao_proto::v1::{Ack, AggregatorMessage, aggregator_message::Message};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tonic::Status;

use crate::ingest::pressure::Pressure;
use crate::journal::{Memory, Stream};

/// An agent that reads nothing for so long is ended.
pub(crate) const UNREAD: Duration = Duration::from_secs(30);

/// A frame whose answer is due.
pub(crate) struct Due {
    pub(crate) stream: Stream,
    pub(crate) sequence: u64,
    /// Frames that wait for nothing (they were there already) have none.
    pub(crate) pending: Option<Pending>,
    /// The frame was claimed by this call, which must settle it.
    pub(crate) claimed: bool,
}

/// Answers until the session ends. A frame that cannot be written ends the session, so that the agent sends it again;
/// so does an agent that does not read its answers.
pub(crate) async fn run(
    memory: Arc<Memory>,
    pressure: Pressure,
    mut due: mpsc::Receiver<Due>,
    answers: mpsc::Sender<Result<AggregatorMessage, Status>>,
) -> Result<(), Status> {
    let mut newest: Option<Ack> = None;
    let mut failed: Option<Status> = None;
    loop {
        // Answers are held only while more frames are done at once, and never across epochs.
        let next = match due.try_recv() {
            Ok(next) => Some(next),
            Err(_) => {
                if let Err(unread) = say(&answers, newest.take()).await {
                    due.close();
                    failed.get_or_insert(unread);
                }
                due.recv().await
            }
        };
        let Some(frame) = next else { break };
        let written = match frame.pending {
            Some(pending) => pending.durable().await.map(|_| ()),
            None => Ok(()),
        };
        if frame.claimed {
            memory.settle(frame.stream, frame.sequence, written.is_ok());
        }
        match written {
            // Behind a failure nothing is acknowledged any more: acks speak for all before them.
            Ok(()) if failed.is_none() => {
                let ack = Ack { epoch: frame.stream.epoch, sequence: frame.sequence };
                if newest.as_ref().is_some_and(|held| held.epoch != ack.epoch)
                    && let Err(unread) = say(&answers, newest.take()).await
                {
                    due.close();
                    failed.get_or_insert(unread);
                } else {
                    newest = Some(ack);
                }
            }
            Ok(()) => {}
            Err(error) => {
                pressure.failed();
                let said = say(&answers, newest.take()).await;
                due.close();
                let text = format!("the aggregator cannot write its journal: {error}");
                failed.get_or_insert(said.err().unwrap_or_else(|| Status::unavailable(text)));
            }
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn say(
    answers: &mpsc::Sender<Result<AggregatorMessage, Status>>,
    ack: Option<Ack>,
) -> Result<(), Status> {
    let Some(ack) = ack else { return Ok(()) };
    let message = AggregatorMessage { message: Some(Message::Ack(ack)) };
    match answers.send_timeout(Ok(message), UNREAD).await {
        Err(SendTimeoutError::Timeout(_)) => Err(unread()),
        // The agent may have gone; what it has not heard it asks for when it comes back.
        Ok(()) | Err(SendTimeoutError::Closed(_)) => Ok(()),
    }
}

/// The agent does not read.
pub(crate) fn unread() -> Status {
    Status::deadline_exceeded(format!("the agent has read none of its answers for {UNREAD:?}"))
}
