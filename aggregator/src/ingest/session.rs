//! One stream of one agent.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ao_common::clock::{now_ms, now_ns};
use ao_common::journal::{Append, Key};
use ao_common::tls::read::NodeCertificate;
use ao_proto::frame::{self, Opened};
use ao_proto::limits::{MAX_EPOCHS, MAX_NAME_BYTES, MAX_WELCOME_RANGES, WIRE_VERSION};
use ao_proto::queue::{self, Lane};
use ao_proto::v1::{
    AgentMessage, AggregatorMessage, Canary, ClockAnswer, ClockAsk, EpochRanges, FrameHeader, Hello,
    NeedKeyframe, Range, Refused, Welcome, agent_message, aggregator_message::Message,
};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use crate::identity::{Presence, Refusal};
use crate::ingest::acks::{self, Due};
use crate::ingest::content::Reason;
use crate::ingest::door::Conn;
use crate::ingest::guests::Stay;
use crate::ingest::keyframes::{self, Keyframes};
use crate::ingest::meter::{Held, Meter};
use crate::ingest::pressure::{Level, Open};
use crate::ingest::shared::Ingest;
use crate::journal::{Known, Ranges, Stream, keyframe_key};
use crate::nodes::AUTHOR;

/// Answers on their way to the agent.
pub(crate) const ANSWERS: usize = 64;
/// Frames on their way to the disk; more are not read from the connection.
const DUE: usize = 256;
/// A stream that does not greet is ended.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of frames that wait for one keyframe; an agent's window is smaller.
const WAITING_BYTES: usize = 32 << 20;
/// How long they wait.
const KEYFRAME_PATIENCE: Duration = Duration::from_secs(30);
/// Frames below it are copied out of the buffer that they came in.
const SMALL: usize = 64 << 10;

type Answers = mpsc::Sender<Result<AggregatorMessage, Status>>;

/// The messages of a stream, each with the memory that it holds.
pub(crate) struct Messages {
    pub(crate) stream: Streaming<AgentMessage>,
    pub(crate) meter: Meter,
}

impl Messages {
    async fn next(&mut self) -> Result<Option<(AgentMessage, Option<Held>)>, Status> {
        let message = self.stream.message().await?;
        Ok(message.map(|message| (message, self.meter.next())))
    }
}

/// Runs the stream to its end.
///
/// # Errors
/// The status with which the stream is ended.
pub(crate) async fn run(
    ingest: &Ingest,
    caller: Option<NodeCertificate>,
    mut messages: Messages,
    conn: Option<&Conn>,
    answers: &Answers,
) -> Result<(), Status> {
    let refused = |_: &Status| ingest.metrics.refused("hello");
    let hello = hello(&mut messages).await.inspect_err(refused)?;
    let agent = check(&hello).inspect_err(refused)?;
    // First of all: the agent's id counts only where the certificate says it too.
    let presence = match (&ingest.identity, caller) {
        (Some(identity), Some(caller)) => {
            Some(identity.admit(&caller, &hello).map_err(|refusal| ingest.refuse(&refusal))?)
        }
        _ => None,
    };
    let stay = ingest.guests.greet(agent, hello.lane, ingest.config.max_agents);
    let stay = stay.inspect_err(|_| ingest.metrics.refused("agents"))?;
    messages.meter.greeted();
    conn.into_iter().for_each(Conn::greeted);
    say(answers, Message::Welcome(welcome(ingest, agent, &hello))).await?;
    ingest.nodes.greeted(agent, &hello);
    tracing::info!(node = hello.node, build = hello.build, "an agent is connected");
    let directives = tokio::spawn(push_directives(ingest.clone(), hello.clone(), answers.clone()));
    let throttle = tokio::spawn(throttle(ingest.clone(), ingest.pressure.open(hello.lane), answers.clone()));
    let (due, dues) = mpsc::channel(DUE);
    let acks =
        tokio::spawn(acks::run(Arc::clone(&ingest.memory), ingest.pressure.clone(), dues, answers.clone()));

    let session = Session {
        ingest,
        presence,
        agent,
        lane: hello.lane,
        answers,
        due,
        keyframes: Keyframes::new(Arc::clone(&ingest.keyframes)),
        epochs: hello.epochs.iter().copied().collect(),
        sources: HashSet::new(),
        waiting: VecDeque::new(),
        waiting_bytes: 0,
        asked: None,
    };
    let ended = session.take_all(messages, &stay).await;
    directives.abort();
    throttle.abort();
    ingest.nodes.left(agent);
    // The frames in hand are answered; a failure of theirs is the better reason.
    match acks.await {
        Ok(Err(status)) => Err(status),
        _ => ended,
    }
}

async fn hello(messages: &mut Messages) -> Result<Hello, Status> {
    match tokio::time::timeout(PATIENCE, messages.next()).await {
        Ok(Ok(Some((AgentMessage { message: Some(agent_message::Message::Hello(hello)) }, _)))) => Ok(hello),
        Ok(Ok(_)) => Err(Status::invalid_argument("a stream begins with a hello")),
        Ok(Err(status)) => Err(status),
        Err(_) => Err(Status::deadline_exceeded("no hello came")),
    }
}

fn check(hello: &Hello) -> Result<[u8; 16], Status> {
    if hello.version == 0 || hello.version > WIRE_VERSION {
        let text = format!("this aggregator speaks wire version {WIRE_VERSION}, the agent {}", hello.version);
        return Err(Status::failed_precondition(text + "; upgrade the aggregator first"));
    }
    if hello.node.is_empty() {
        return Err(Status::invalid_argument("the node's name is empty"));
    }
    if [&hello.node, &hello.cluster, &hello.build].iter().any(|name| name.len() > MAX_NAME_BYTES) {
        let text = format!("the name of node, cluster or build is longer than {MAX_NAME_BYTES} bytes");
        return Err(Status::invalid_argument(text));
    }
    if let Some(mesh) = &hello.mesh
        && (mesh.zone.len() > MAX_NAME_BYTES || mesh.address.len() > MAX_NAME_BYTES)
    {
        let text = format!("the zone or address in the hello is longer than {MAX_NAME_BYTES} bytes");
        return Err(Status::invalid_argument(text));
    }
    if !Lane::ALL.iter().any(|lane| lane.number() == hello.lane) {
        return Err(Status::invalid_argument(format!("lane {} is not known to this aggregator", hello.lane)));
    }
    if hello.epochs.len() > MAX_EPOCHS {
        let text = format!("the hello names {} epochs, over the limit of {MAX_EPOCHS}", hello.epochs.len());
        return Err(Status::invalid_argument(text));
    }
    let agent = hello.agent.as_slice().try_into();
    let agent = agent.map_err(|_| Status::invalid_argument("the agent's id is not 16 bytes"))?;
    if agent == AUTHOR {
        return Err(Status::invalid_argument("the agent's id is the aggregator's own"));
    }
    Ok(agent)
}

fn welcome(ingest: &Ingest, agent: [u8; 16], hello: &Hello) -> Welcome {
    let have = ingest.memory.welcome(agent, hello.lane, &hello.epochs);
    let most = MAX_WELCOME_RANGES / have.len().max(1);
    let newest = |ranges: Ranges| {
        let ranges: Vec<Range> = ranges.iter().map(|(first, last)| Range { first, last }).collect();
        ranges[ranges.len().saturating_sub(most)..].to_vec()
    };
    Welcome {
        version: WIRE_VERSION,
        aggregator: ingest.name.clone(),
        have: have.into_iter().map(|(epoch, ranges)| EpochRanges { epoch, ranges: newest(ranges) }).collect(),
        now_ms: now_ms(),
    }
}

/// Sends the node's directives now, where the agent holds others, and at every change; and what is asked of the node.
async fn push_directives(ingest: Ingest, hello: Hello, answers: Answers) {
    let mut plans = ingest.plans.subscribe();
    let mut canaries = ingest.canaries.of(&hello.node);
    let is_fresh = hello.lane == Lane::Fresh.number();
    let mut held = hello.directives;
    loop {
        let plan = plans.borrow_and_update().for_node(&hello.cluster, &hello.node);
        if plan.version != held {
            held = plan.version;
            if say(&answers, Message::Directives(plan)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            changed = plans.changed() => if changed.is_err() {
                return;
            },
            token = canaries.next(), if is_fresh => {
                if say(&answers, Message::Canary(Canary { token })).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Asks the agent to send more slowly while there is need.
async fn throttle(ingest: Ingest, open: Open, answers: Answers) {
    let (mut level, mut wished) = (open.subscribe(), false);
    loop {
        let now = *level.borrow_and_update();
        let wish = open.wish(now);
        let wishes = wish.for_ms > 0;
        ingest.metrics.throttles.inc_by(u64::from(wishes));
        if (wishes || wished) && say(&answers, Message::Throttle(wish)).await.is_err() {
            return;
        }
        wished = wishes;
        let again = async {
            match now {
                Level::Easy => std::future::pending().await,
                Level::Tight | Level::Full => tokio::time::sleep(Open::AGAIN).await,
            }
        };
        tokio::select! {
            changed = level.changed() => if changed.is_err() { return },
            () = again => {}
        }
    }
}

async fn say(answers: &Answers, message: Message) -> Result<(), Status> {
    let message = AggregatorMessage { message: Some(message) };
    match answers.send_timeout(Ok(message), acks::UNREAD).await {
        Ok(()) => Ok(()),
        Err(SendTimeoutError::Timeout(_)) => Err(acks::unread()),
        Err(SendTimeoutError::Closed(_)) => Err(Status::cancelled("the agent has gone")),
    }
}

/// Waits until the agent's certificate no longer holds.
async fn must_end(presence: &mut Option<Presence>) -> Refusal {
    match presence {
        Some(presence) => presence.ended().await,
        None => std::future::pending().await,
    }
}

struct Session<'a> {
    ingest: &'a Ingest,
    /// The agent's right to be here; `None` in plaintext.
    presence: Option<Presence>,
    agent: [u8; 16],
    lane: u32,
    answers: &'a Answers,
    due: mpsc::Sender<Due>,
    keyframes: Keyframes,
    /// Those that the hello named, and the frames since.
    epochs: HashSet<u64>,
    /// Those that may be counted.
    sources: HashSet<String>,
    /// Frames behind one whose keyframe was asked for, that one first: the order must stay.
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// When the keyframe must have come.
    asked: Option<Instant>,
}

/// A frame that waits for a keyframe.
struct Waiting {
    sealed: Bytes,
    keyframe: u64,
    /// Its memory.
    _held: Option<Held>,
}

impl Session<'_> {
    async fn take_all(mut self, mut messages: Messages, stay: &Stay) -> Result<(), Status> {
        loop {
            let asked = self.asked;
            let message = tokio::select! {
                () = self.ingest.shutdown.cancelled() => {
                    return Err(Status::unavailable("the aggregator is stopping"));
                }
                () = stay.ended.cancelled() => {
                    self.ingest.metrics.refused("replaced");
                    return Err(Status::aborted("the agent has opened newer streams of this lane"));
                }
                () = tokio::time::sleep_until(asked.unwrap_or_else(Instant::now)), if asked.is_some() => {
                    self.ingest.metrics.refused("keyframes");
                    return Err(Status::failed_precondition("a keyframe that was asked for does not come"));
                }
                // The answering task ends early only where the journal cannot be written, or nobody reads.
                () = self.due.closed() => return Ok(()),
                refusal = must_end(&mut self.presence) => return Err(self.ingest.refuse(&refusal)),
                message = messages.next() => message?,
            };
            let Some((message, held)) = message else { return Ok(()) };
            self.ingest.nodes.heard(self.agent);
            match message.message {
                Some(agent_message::Message::Frame(sealed)) => self.frame(sealed, held).await?,
                Some(agent_message::Message::Keyframe(sealed)) => self.keyframe(&sealed).await?,
                Some(agent_message::Message::Hello(_)) => {
                    self.ingest.metrics.refused("hello");
                    return Err(Status::invalid_argument("a stream has one hello"));
                }
                Some(agent_message::Message::ClockAsk(ask)) => self.clock(ask).await?,
                // A message of a newer version.
                None => {}
            }
        }
    }

    /// Answered from here, beside the acks, and stamped when there is room to send.
    async fn clock(&self, ask: ClockAsk) -> Result<(), Status> {
        let received_ns = now_ns();
        self.ingest.nodes.asked(self.agent, &ask, received_ns);
        let room = match tokio::time::timeout(acks::UNREAD, self.answers.reserve()).await {
            Ok(Ok(room)) => room,
            Ok(Err(_)) => return Err(Status::cancelled("the agent has gone")),
            Err(_) => return Err(acks::unread()),
        };
        let answer = ClockAnswer { sent_ns: ask.sent_ns, received_ns, answered_ns: now_ns() };
        room.send(Ok(AggregatorMessage { message: Some(Message::ClockAnswer(answer)) }));
        Ok(())
    }

    async fn frame(&mut self, sealed: Bytes, held: Option<Held>) -> Result<(), Status> {
        let metrics = &self.ingest.metrics;
        metrics.frames.inc();
        metrics.bytes.inc_by(sealed.len() as u64);
        // A small one would keep all the memory that it came in.
        let small = sealed.len() < SMALL;
        let sealed = if small { Bytes::copy_from_slice(&sealed) } else { sealed };
        let opened = match frame::open(&sealed) {
            Ok(opened) => opened,
            // Without a header there is nobody to refuse; the stream cannot be trusted.
            Err(error) => {
                metrics.refused("damaged");
                return Err(Status::data_loss(error.to_string()));
            }
        };
        let header = &opened.header;
        if header.agent != self.agent || header.lane != self.lane {
            metrics.refused("identity");
            return Err(Status::permission_denied("the frame is another agent's or another lane's"));
        }
        if !self.epochs.contains(&header.epoch) {
            if self.epochs.len() >= MAX_EPOCHS {
                metrics.refused("epochs");
                let text = format!("the stream's frames have more than {MAX_EPOCHS} epochs");
                return Err(Status::resource_exhausted(text));
            }
            self.epochs.insert(header.epoch);
        }
        let keyframe = header.keyframe;
        if !self.waiting.is_empty() || self.lacks(keyframe) {
            self.waiting_bytes += sealed.len();
            if self.waiting_bytes > WAITING_BYTES {
                metrics.refused("keyframes");
                return Err(Status::failed_precondition("a keyframe that was asked for does not come"));
            }
            self.waiting.push_back(Waiting { sealed, keyframe, _held: held });
            return if self.waiting.len() == 1 { self.ask(keyframe).await } else { Ok(()) };
        }
        self.store(sealed, opened).await
    }

    fn lacks(&self, keyframe: u64) -> bool {
        keyframe != 0 && !self.keyframes.has(keyframe)
    }

    async fn ask(&mut self, keyframe: u64) -> Result<(), Status> {
        self.asked = Some(Instant::now() + KEYFRAME_PATIENCE);
        say(self.answers, Message::NeedKeyframe(NeedKeyframe { keyframe })).await
    }

    async fn keyframe(&mut self, sealed: &Bytes) -> Result<(), Status> {
        self.ingest.metrics.bytes.inc_by(sealed.len() as u64);
        let opened =
            keyframes::open(sealed, self.agent).inspect_err(|_| self.ingest.metrics.refused("damaged"))?;
        let added = self.keyframes.add(sealed, opened, &self.ingest.content).await;
        added.inspect_err(|_| self.ingest.metrics.refused("keyframes"))?;
        // What waited goes on as far as it can.
        while let Some(next) = self.waiting.pop_front() {
            if self.lacks(next.keyframe) {
                let keyframe = next.keyframe;
                self.waiting.push_front(next);
                return self.ask(keyframe).await;
            }
            self.waiting_bytes -= next.sealed.len();
            if let Ok(opened) = frame::open(&next.sealed) {
                self.store(next.sealed, opened).await?;
            }
        }
        self.asked = None;
        Ok(())
    }

    async fn refuse(&self, header: &FrameHeader, kind: &'static str, reason: String) -> Result<(), Status> {
        self.ingest.metrics.refused(kind);
        let refused = Refused { epoch: header.epoch, sequence: header.sequence, reason };
        say(self.answers, Message::Refused(refused)).await
    }

    /// Whether its source may be counted: asked once for each on a stream.
    fn may_count(&mut self, source: &str) -> Result<(), String> {
        if !self.sources.contains(source) {
            self.ingest.guests.source(self.agent, source)?;
            self.sources.insert(source.to_owned());
        }
        Ok(())
    }

    async fn store(&mut self, sealed: Bytes, opened: Opened) -> Result<(), Status> {
        let header = opened.header.clone();
        let number = queue::number(header.class, header.lane);
        let (Some(stream), Some(queue)) = (Stream::of(&header), number) else {
            let reason =
                format!("class {} in lane {} is not known to this aggregator", header.class, header.lane);
            return self.refuse(&header, "class", reason).await;
        };
        if let Err(reason) = self.may_count(&header.source) {
            return self.refuse(&header, "source", reason).await;
        }
        let known = self.ingest.memory.claim(stream, header.lane, header.sequence);
        let frames = match known {
            Known::New => match self.look(opened).await {
                Ok(keyframe) => vec![Append { frame: sealed, keyframe }],
                Err(reason) => {
                    self.ingest.memory.settle(stream, header.sequence, false);
                    return self.refuse(&header, "content", reason).await;
                }
            },
            // Of the claimed one: another call of this agent has just handed it to the journal, and an empty batch
            // resolves behind it.
            Known::Claimed | Known::Durable => Vec::new(),
        };
        if known != Known::New {
            self.ingest.metrics.duplicates.inc();
        }
        let begun = Instant::now();
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
        self.ingest.pressure.waited(begun.elapsed());
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

    /// What stands before the frame in the journal; or why no sink could read it.
    async fn look(&self, opened: Opened) -> Result<Option<(Key, Bytes)>, Reason> {
        let header = &opened.header;
        let Some(key) = keyframe_key(header) else {
            return self.ingest.content.frame(opened, 0).await.map(|()| None);
        };
        // Asked for before.
        let Some(kept) = self.keyframes.get(header.keyframe) else {
            return Err("its keyframe is missing".into());
        };
        let (sealed, series) = kept?;
        self.ingest.content.frame(opened, series).await.map(|()| Some((key, sealed)))
    }
}
