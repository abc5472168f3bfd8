//! Answers in the order in which frames came: each once its fsync is done, several at once as one.

use std::sync::Arc;

use ao_common::journal::Pending;
use ao_proto::v1::{Ack, AggregatorMessage, aggregator_message::Message};
use tokio::sync::mpsc;
use tonic::Status;

use crate::journal::{Memory, Stream};

/// A frame whose answer is due.
pub(crate) struct Due {
    pub(crate) stream: Stream,
    pub(crate) sequence: u64,
    /// Frames that wait for nothing (they were there already) have none.
    pub(crate) pending: Option<Pending>,
    /// The frame was claimed by this call, which must settle it.
    pub(crate) claimed: bool,
}

/// Answers until the session ends. A frame that cannot be written ends the session, so that the agent sends it again.
pub(crate) async fn run(
    memory: Arc<Memory>,
    mut due: mpsc::Receiver<Due>,
    answers: mpsc::Sender<Result<AggregatorMessage, Status>>,
) -> Result<(), Status> {
    let mut newest: Option<Ack> = None;
    let mut failed = None;
    loop {
        // Answers are held only while more frames are done at once, and never across epochs.
        let next = match due.try_recv() {
            Ok(next) => Some(next),
            Err(_) => {
                say(&answers, newest.take()).await;
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
                if newest.as_ref().is_some_and(|held| held.epoch != ack.epoch) {
                    say(&answers, newest.take()).await;
                }
                newest = Some(ack);
            }
            Ok(()) => {}
            Err(error) => {
                say(&answers, newest.take()).await;
                due.close();
                failed.get_or_insert(error);
            }
        }
    }
    match failed {
        Some(error) => Err(Status::unavailable(format!("the aggregator cannot write its journal: {error}"))),
        None => Ok(()),
    }
}

async fn say(answers: &mpsc::Sender<Result<AggregatorMessage, Status>>, ack: Option<Ack>) {
    if let Some(ack) = ack {
        // The agent may have gone; what it has not heard it asks for when it comes back.
        let _gone = answers.send(Ok(AggregatorMessage { message: Some(Message::Ack(ack)) })).await;
    }
}
