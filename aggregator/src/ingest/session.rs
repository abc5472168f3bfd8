//! One stream of one agent.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ao_common::clock::now_ms;
use ao_common::journal::Append;
use ao_proto::frame;
use ao_proto::limits::WIRE_VERSION;
use ao_proto::queue;
use ao_proto::v1::{
    AgentMessage, AggregatorMessage, EpochRanges, FrameHeader, Hello, NeedKeyframe, Range, Refused, Welcome,
    agent_message, aggregator_message::Message,
};
use bytes::Bytes;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::ingest::acks::{self, Due};
use crate::ingest::api::Ingest;
use crate::journal::{Known, Stream, keyframe_key};

/// Answers on their way to the agent.
pub(crate) const ANSWERS: usize = 64;
/// Frames on their way to the disk; more are not read from the connection.
const DUE: usize = 256;
/// A stream that does not greet is ended.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of keyframes that a stream keeps; the oldest go first and are asked for again.
const KEYFRAME_BYTES: usize = 32 << 20;
/// Bytes of frames that wait for one keyframe; an agent's window is smaller.
const WAITING_BYTES: usize = 64 << 20;

type Answers = mpsc::Sender<Result<AggregatorMessage, Status>>;

/// Runs the stream to its end.
///
/// # Errors
/// The status with which the stream is ended.
pub(crate) async fn run(
    ingest: &Ingest,
    mut incoming: Streaming<AgentMessage>,
    answers: &Answers,
) -> Result<(), Status> {
    let hello = match tokio::time::timeout(PATIENCE, incoming.message()).await {
        Ok(Ok(Some(AgentMessage { message: Some(agent_message::Message::Hello(hello)) }))) => hello,
        Ok(Ok(_)) => return Err(Status::invalid_argument("a stream begins with a hello")),
        Ok(Err(status)) => return Err(status),
        Err(_) => return Err(Status::deadline_exceeded("no hello came")),
    };
    let agent = check(&hello)?;
    say(answers, Message::Welcome(welcome(ingest, agent, &hello))).await?;
    ingest.nodes.greeted(agent, &hello);
    tracing::info!(node = hello.node, build = hello.build, "an agent is connected");
    let directives = tokio::spawn(push_directives(ingest.clone(), hello.clone(), answers.clone()));
    let (due, dues) = mpsc::channel(DUE);
    let acks = tokio::spawn(acks::run(Arc::clone(&ingest.memory), dues, answers.clone()));

    let session = Session {
        ingest,
        agent,
        lane: hello.lane,
        answers,
        due,
        keyframes: HashMap::new(),
        order: VecDeque::new(),
        keyframe_bytes: 0,
        waiting: VecDeque::new(),
        waiting_bytes: 0,
    };
    let ended = session.take_all(incoming).await;
    directives.abort();
    ingest.nodes.left(agent);
    // The frames in hand are answered; a failure of theirs is the better reason.
    match acks.await {
        Ok(Err(status)) => Err(status),
        _ => ended,
    }
}

fn check(hello: &Hello) -> Result<[u8; 16], Status> {
    if hello.version == 0 || hello.version > WIRE_VERSION {
        let text = format!("this aggregator speaks wire version {WIRE_VERSION}, the agent {}", hello.version);
        return Err(Status::failed_precondition(text + "; upgrade the aggregator first"));
    }
    if hello.node.is_empty() || hello.node.len() > 253 {
        return Err(Status::invalid_argument("the node's name is empty or longer than 253 bytes"));
    }
    let agent = hello.agent.as_slice().try_into();
    agent.map_err(|_| Status::invalid_argument("the agent's id is not 16 bytes"))
}

fn welcome(ingest: &Ingest, agent: [u8; 16], hello: &Hello) -> Welcome {
    let have = ingest.memory.welcome(agent, hello.lane, &hello.epochs);
    let range = |(first, last)| Range { first, last };
    Welcome {
        version: WIRE_VERSION,
        aggregator: ingest.name.clone(),
        have: have
            .into_iter()
            .map(|(epoch, ranges)| EpochRanges { epoch, ranges: ranges.iter().map(range).collect() })
            .collect(),
        now_ms: now_ms(),
    }
}

/// Sends the node's directives now, where the agent holds others, and at every change.
async fn push_directives(ingest: Ingest, hello: Hello, answers: Answers) {
    let mut plans = ingest.plans.subscribe();
    let mut held = hello.directives;
    loop {
        let plan = plans.borrow_and_update().for_node(&hello.node);
        if plan.version != held {
            held = plan.version;
            if say(&answers, Message::Directives(plan)).await.is_err() {
                return;
            }
        }
        if plans.changed().await.is_err() {
            return;
        }
    }
}

async fn say(answers: &Answers, message: Message) -> Result<(), Status> {
    let gone = |_| Status::cancelled("the agent has gone");
    answers.send(Ok(AggregatorMessage { message: Some(message) })).await.map_err(gone)
}

struct Session<'a> {
    ingest: &'a Ingest,
    agent: [u8; 16],
    lane: u32,
    answers: &'a Answers,
    due: mpsc::Sender<Due>,
    /// Sealed, by id.
    keyframes: HashMap<u64, Bytes>,
    /// Oldest first.
    order: VecDeque<u64>,
    keyframe_bytes: usize,
    /// Frames behind one whose keyframe was asked for, that one first: the order must stay.
    waiting: VecDeque<(Bytes, FrameHeader)>,
    waiting_bytes: usize,
}

impl Session<'_> {
    async fn take_all(mut self, mut incoming: Streaming<AgentMessage>) -> Result<(), Status> {
        loop {
            let message = tokio::select! {
                () = self.ingest.shutdown.cancelled() => {
                    return Err(Status::unavailable("the aggregator is stopping"));
                }
                // The answering task ends early only where the journal cannot be written.
                () = self.due.closed() => return Ok(()),
                message = incoming.message() => message?,
            };
            let Some(message) = message else { return Ok(()) };
            self.ingest.nodes.heard(self.agent);
            match message.message {
                Some(agent_message::Message::Frame(sealed)) => self.frame(sealed).await?,
                Some(agent_message::Message::Keyframe(sealed)) => self.keyframe(sealed).await?,
                Some(agent_message::Message::Hello(_)) => {
                    return Err(Status::invalid_argument("a stream has one hello"));
                }
                // A message of a newer version.
                Some(agent_message::Message::ClockAsk(_)) | None => {}
            }
        }
    }

    async fn frame(&mut self, sealed: Bytes) -> Result<(), Status> {
        let metrics = &self.ingest.metrics;
        metrics.frames.inc();
        metrics.bytes.inc_by(sealed.len() as u64);
        let header = match frame::open(&sealed) {
            Ok(opened) => opened.header,
            // Without a header there is nobody to refuse; the stream cannot be trusted.
            Err(error) => {
                metrics.refused("damaged");
                return Err(Status::data_loss(error.to_string()));
            }
        };
        if header.agent != self.agent || header.lane != self.lane {
            metrics.refused("identity");
            return Err(Status::permission_denied("the frame is another agent's or another lane's"));
        }
        if !self.waiting.is_empty() {
            return self.wait(sealed, header);
        }
        if header.keyframe != 0 && !self.keyframes.contains_key(&header.keyframe) {
            let keyframe = header.keyframe;
            self.wait(sealed, header)?;
            return say(self.answers, Message::NeedKeyframe(NeedKeyframe { keyframe })).await;
        }
        self.store(sealed, header).await
    }

    fn wait(&mut self, sealed: Bytes, header: FrameHeader) -> Result<(), Status> {
        self.waiting_bytes += sealed.len();
        if self.waiting_bytes > WAITING_BYTES {
            return Err(Status::failed_precondition("a keyframe that was asked for does not come"));
        }
        self.waiting.push_back((sealed, header));
        Ok(())
    }

    async fn keyframe(&mut self, sealed: Bytes) -> Result<(), Status> {
        let header = match frame::open(&sealed) {
            Ok(opened) if opened.header.agent == self.agent => opened.header,
            Ok(_) => return Err(Status::permission_denied("the keyframe is another agent's")),
            Err(error) => return Err(Status::data_loss(error.to_string())),
        };
        self.ingest.metrics.bytes.inc_by(sealed.len() as u64);
        self.keyframe_bytes += sealed.len();
        if let Some(was) = self.keyframes.insert(header.keyframe, sealed) {
            self.keyframe_bytes -= was.len();
        } else {
            self.order.push_back(header.keyframe);
        }
        while self.keyframe_bytes > KEYFRAME_BYTES && self.order.len() > 1 {
            if let Some(was) = self.order.pop_front().and_then(|oldest| self.keyframes.remove(&oldest)) {
                self.keyframe_bytes -= was.len();
            }
        }
        // What waited goes on as far as it can.
        while let Some((_, next)) = self.waiting.front() {
            if next.keyframe != 0 && !self.keyframes.contains_key(&next.keyframe) {
                let keyframe = next.keyframe;
                return say(self.answers, Message::NeedKeyframe(NeedKeyframe { keyframe })).await;
            }
            if let Some((sealed, header)) = self.waiting.pop_front() {
                self.waiting_bytes -= sealed.len();
                self.store(sealed, header).await?;
            }
        }
        Ok(())
    }

    async fn store(&mut self, sealed: Bytes, header: FrameHeader) -> Result<(), Status> {
        let number = queue::number(header.class, header.lane);
        let (Some(stream), Some(queue)) = (Stream::of(&header), number) else {
            self.ingest.metrics.refused("class");
            let reason =
                format!("class {} in lane {} is not known to this aggregator", header.class, header.lane);
            let refused = Refused { epoch: header.epoch, sequence: header.sequence, reason };
            return say(self.answers, Message::Refused(refused)).await;
        };
        let known = self.ingest.memory.claim(stream, header.lane, header.sequence);
        let frames = match known {
            Known::New => {
                let keyframe = keyframe_key(&header).zip(self.keyframes.get(&header.keyframe).cloned());
                vec![Append { frame: sealed, keyframe }]
            }
            // Of the claimed one: another call of this agent has just handed it to the journal, and an empty batch
            // resolves behind it.
            Known::Claimed | Known::Durable => Vec::new(),
        };
        if known != Known::New {
            self.ingest.metrics.duplicates.inc();
        }
        let pending = match known {
            Known::Durable => None,
            _ => match self.ingest.journal.append(queue, frames).await {
                Ok(pending) => Some(pending),
                Err(error) => {
                    if known == Known::New {
                        self.ingest.memory.settle(stream, header.sequence, false);
                    }
                    return Err(Status::unavailable(format!("the aggregator's journal is closed: {error}")));
                }
            },
        };
        let claimed = known == Known::New;
        let due = Due { stream, sequence: header.sequence, pending, claimed };
        if let Err(unsent) = self.due.send(due).await {
            // The answering task has ended: nobody else settles this one.
            let due = unsent.0;
            if let Some(pending) = due.pending.filter(|_| due.claimed) {
                let written = pending.durable().await.is_ok();
                self.ingest.memory.settle(due.stream, due.sequence, written);
            }
        }
        Ok(())
    }
}
