//! One lane's call on a connection: hello, feeders, answers.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ao_proto::limits::WIRE_VERSION;
use ao_proto::queue::{Lane, QUEUES};
use ao_proto::v1::{
    Ack, AgentMessage, AggregatorMessage, Hello, Refused, Welcome, agent_message, aggregator_message::Message,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Streaming;
use tonic::transport::Channel;
use tracing::{info, warn};

use crate::clock::Exchange;
use crate::metrics::QueueLabel;
use crate::uplink::api::{SentBefore, Uplink, UplinkError};
use crate::uplink::connect;
use crate::uplink::feed::{self, Shared};
use crate::uplink::flight::Flight;
use crate::uplink::gate::Gate;
use crate::uplink::patience::Patience;
use crate::uplink::reach;

/// Messages between the feeders and the transport.
const OUT: usize = 16;

/// See the module.
pub(crate) struct Call<'a> {
    uplink: &'a Uplink,
    address: &'a str,
    lane: Lane,
    /// As its welcome names it.
    pub(crate) aggregator: String,
    incoming: Streaming<AggregatorMessage>,
    pub(crate) shared: Arc<Shared>,
    clock: Arc<Exchange>,
}

/// Bytes that each lane may have sent and not yet acknowledged.
pub(crate) fn window(uplink: &Uplink) -> usize {
    uplink.config.window.0.clamp(1 << 20, 1 << 30) as usize
}

impl<'a> Call<'a> {
    /// Greets and waits for the welcome.
    ///
    /// # Errors
    /// Where the aggregator does not take the call, or does not welcome it in time.
    pub(crate) async fn open(
        uplink: &'a Uplink,
        channel: Channel,
        address: &'a str,
        patience: Patience,
        lane: Lane,
        gate: &Arc<Gate>,
        sent_before: &Arc<SentBefore>,
    ) -> Result<Self, UplinkError> {
        let ended = |why: String| UplinkError::Ended { address: address.to_owned(), why };
        let (out, outgoing) = mpsc::channel(OUT);
        // The hello lies in the channel before the call is made; there is room.
        let hello =
            AgentMessage { message: Some(agent_message::Message::Hello(hello(uplink, lane, address).await)) };
        let _has_room = out.send(hello).await;
        let mut incoming = connect::stream(uplink, channel, address, patience, outgoing).await?;
        let welcome = match timeout(patience.greeting, incoming.message()).await {
            Ok(Ok(Some(AggregatorMessage { message: Some(Message::Welcome(welcome)) }))) => welcome,
            Ok(Ok(_)) => return Err(ended("it did not begin with a welcome".to_owned())),
            Ok(Err(status)) => return Err(connect::ended(uplink, address, &status)),
            Err(_) => return Err(ended(format!("no welcome within {:?}", patience.greeting))),
        };
        let Welcome { aggregator, have, .. } = welcome;
        let window_bytes = window(uplink);
        let shared = Arc::new(Shared {
            journal: uplink.journal.clone(),
            out,
            flight: Mutex::new(Flight::default()),
            window: Semaphore::new(window_bytes),
            window_bytes,
            have: have.into_iter().map(|have| (have.epoch, have.ranges)).collect(),
            acks: Arc::clone(&uplink.acks),
            sent_before: Arc::clone(sent_before),
            gate: Arc::clone(gate),
            metrics: Arc::clone(&uplink.metrics),
        });
        Ok(Self { uplink, address, lane, aggregator, incoming, shared, clock: Arc::default() })
    }

    /// Feeds and takes answers until the call ends.
    ///
    /// # Errors
    /// Why it ended.
    pub(crate) async fn run(mut self) -> Result<Infallible, UplinkError> {
        let address = self.address.to_owned();
        let ended = |why: String| UplinkError::Ended { address: address.clone(), why };
        // Dropped with this function: the feeders end with the call.
        let mut feeders = JoinSet::new();
        for (number, _) in QUEUES.iter().enumerate().filter(|(_, queue)| queue.lane == self.lane) {
            feeders.spawn(feed::run(Arc::clone(&self.shared), number));
        }
        if self.lane == Lane::Fresh {
            let asking = Arc::clone(&self.clock).run(self.shared.out.clone());
            feeders.spawn(async {
                asking.await;
                Ok(())
            });
        }
        loop {
            tokio::select! {
                message = self.incoming.message() => match message {
                    Ok(Some(AggregatorMessage { message: Some(message) })) => self.answer(message).await?,
                    // A message of a newer version.
                    Ok(Some(_)) => {}
                    Ok(None) => return Err(ended("it closed the stream".to_owned())),
                    Err(status) => return Err(connect::ended(self.uplink, &address, &status)),
                },
                Some(feeder) = feeders.join_next() => {
                    if let Ok(result) = feeder {
                        result?;
                    }
                    return Err(ended("the connection is gone".to_owned()));
                }
            }
        }
    }

    async fn answer(&self, message: Message) -> Result<(), UplinkError> {
        let (uplink, shared) = (self.uplink, &self.shared);
        match message {
            Message::Ack(Ack { epoch, sequence }) => {
                let Some((queue, done)) = shared.acked(epoch, sequence) else { return Ok(()) };
                let answered = done.sent.iter().filter(|sent| sent.bytes > 0);
                let (frames, bytes) = answered.fold((0, 0), |(n, bytes), sent| (n + 1, bytes + sent.bytes));
                let label = QueueLabel::of(QUEUES[queue]);
                uplink.metrics.acked_frames.get_or_create(&label).inc_by(frames);
                shared.window.add_permits(bytes);
                if let Some(first) = done.sent.iter().find(|sent| sent.bytes > 0) {
                    shared.gate.acked(self.lane, bytes, first.at.elapsed());
                }
            }
            Message::Refused(Refused { epoch, sequence, reason }) => {
                let Some((room, queue)) = shared.refused(epoch, sequence) else { return Ok(()) };
                warn!(reason, queue = QUEUES[queue].name(), "the aggregator refused a frame; it is dropped");
                shared.window.add_permits(room);
                shared.gate.acked(self.lane, room, Duration::ZERO);
            }
            Message::NeedKeyframe(need) => {
                let keyframe = shared.flight().keyframe(need.keyframe);
                if let Some(sealed) = keyframe {
                    let message = Some(agent_message::Message::Keyframe(sealed));
                    // A connection that has gone shows by its own end.
                    let _gone = shared.out.send(AgentMessage { message }).await;
                }
            }
            Message::Directives(directives) => {
                // Both calls bring them.
                let is_new = uplink.directives.send_if_modified(|held| {
                    let is_new = held.version != directives.version;
                    *held = Arc::new(directives);
                    is_new
                });
                if is_new {
                    info!(version = uplink.directives.borrow().version, "new directives");
                }
            }
            Message::Throttle(wish) => {
                shared.gate.throttle(wish.bytes_per_second, Duration::from_millis(wish.for_ms.min(60_000)));
            }
            Message::Move(to) => return Err(UplinkError::Moved(to.addresses)),
            Message::Canary(canary) => {
                // Nobody listens only while the agent stops.
                let _ending = uplink.canaries.send(canary.token);
            }
            Message::ClockAnswer(answer) => self.clock.answered(&answer),
            Message::Welcome(_) => {}
        }
        Ok(())
    }
}

async fn hello(uplink: &Uplink, lane: Lane, address: &str) -> Hello {
    Hello {
        mesh: if lane == Lane::Fresh { reach::member(&uplink.node, address).await } else { None },
        agent: uplink.agent.to_vec(),
        node: uplink.node.name.clone(),
        cluster: uplink.node.cluster.clone(),
        lane: lane.number(),
        version: WIRE_VERSION,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        epochs: uplink.epochs.clone(),
        directives: uplink.directives.borrow().version,
        now_ms: ao_common::clock::now_ms(),
    }
}
