//! One connection to one aggregator.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ao_common::backoff::Backoff;
use ao_proto::class::{self, CLASSES};
use ao_proto::limits::WIRE_VERSION;
use ao_proto::v1::{
    Ack, AgentMessage, AggregatorMessage, Hello, Refused, Welcome, agent_message, aggregator_message::Message,
};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::metrics::{ClassLabel, SourceLabel};
use crate::uplink::api::{Progress, Uplink, UplinkError};
use crate::uplink::connect::{self, PATIENCE};
use crate::uplink::feed::{self, Shared};
use crate::uplink::flight::Flight;

/// Messages between the feeders and the transport.
const OUT: usize = 16;
const LANE: u32 = 0;

/// Connects, streams, and says why it ended.
pub(crate) async fn run(
    uplink: &Uplink,
    address: &str,
    progress: &Arc<Progress>,
    backoff: &mut Backoff,
) -> UplinkError {
    match connect_and_stream(uplink, address, progress, backoff).await {
        Ok(never) => match never {},
        Err(ended) => ended,
    }
}

async fn connect_and_stream(
    uplink: &Uplink,
    address: &str,
    progress: &Arc<Progress>,
    backoff: &mut Backoff,
) -> Result<std::convert::Infallible, UplinkError> {
    let ended = |why: String| UplinkError::Ended { address: address.to_owned(), why };
    let (out, outgoing) = mpsc::channel(OUT);
    // The hello lies in the channel before the call is made; there is room.
    let hello = AgentMessage { message: Some(agent_message::Message::Hello(hello(uplink))) };
    let _has_room = out.send(hello).await;
    let channel = connect::channel(uplink, address).await?;
    let mut incoming = connect::stream(channel, address, outgoing).await?;
    let welcome = match timeout(PATIENCE, incoming.message()).await {
        Ok(Ok(Some(AggregatorMessage { message: Some(Message::Welcome(welcome)) }))) => welcome,
        Ok(Ok(_)) => return Err(ended("it did not begin with a welcome".to_owned())),
        Ok(Err(status)) => return Err(ended(status.message().to_owned())),
        Err(_) => return Err(ended(format!("no welcome within {PATIENCE:?}"))),
    };
    info!(address, aggregator = welcome.aggregator, "connected");
    backoff.reset();
    uplink.health.ready();
    uplink.metrics.connected.set(1);
    uplink.metrics.connections.inc();

    let (throttle, throttled) = watch::channel(None);
    let shared = Arc::new(shared(uplink, out, welcome, progress, throttled));
    // Dropped with this function: the feeders end with the connection.
    let mut feeders = JoinSet::new();
    for class in 0..CLASSES.len() {
        feeders.spawn(feed::run(Arc::clone(&shared), class));
    }
    loop {
        tokio::select! {
            message = incoming.message() => match message {
                Ok(Some(AggregatorMessage { message: Some(message) })) => {
                    answer(uplink, &shared, &throttle, message).await?;
                }
                // A message of a newer version.
                Ok(Some(_)) => {}
                Ok(None) => return Err(ended("it closed the stream".to_owned())),
                Err(status) => return Err(ended(status.message().to_owned())),
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

fn hello(uplink: &Uplink) -> Hello {
    Hello {
        agent: uplink.agent.to_vec(),
        node: uplink.node.name.clone(),
        cluster: uplink.node.cluster.clone(),
        lane: LANE,
        version: WIRE_VERSION,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        epochs: uplink.epochs.clone(),
        directives: uplink.directives.borrow().version,
        now_ms: ao_common::clock::now_ms(),
    }
}

fn shared(
    uplink: &Uplink,
    out: mpsc::Sender<AgentMessage>,
    welcome: Welcome,
    progress: &Arc<Progress>,
    throttle: watch::Receiver<Option<(u64, Instant)>>,
) -> Shared {
    let window_bytes = uplink.config.window.0.clamp(1 << 20, 1 << 30) as usize;
    Shared {
        journal: uplink.journal.clone(),
        out,
        flight: Mutex::new(Flight::default()),
        window: Semaphore::new(window_bytes),
        window_bytes,
        have: welcome.have.into_iter().map(|have| (have.epoch, have.ranges)).collect(),
        progress: Arc::clone(progress),
        metrics: Arc::clone(&uplink.metrics),
        throttle,
    }
}

async fn answer(
    uplink: &Uplink,
    shared: &Shared,
    throttle: &watch::Sender<Option<(u64, Instant)>>,
    message: Message,
) -> Result<(), UplinkError> {
    match message {
        Message::Ack(Ack { epoch, sequence }) => {
            let Some((class, done)) = shared.flight().ack(epoch, sequence) else { return Ok(()) };
            let label = ClassLabel { class: class::name(CLASSES[class]) };
            uplink.metrics.acked_frames.get_or_create(&label).inc_by(done.len() as u64);
            shared.window.add_permits(done.iter().map(|sent| sent.bytes).sum());
            if let Some(last) = done.last() {
                shared.progress.acked[class].send_replace(last.end);
            }
        }
        Message::Refused(Refused { epoch, sequence, reason }) => {
            let refused = shared.flight().refused(epoch, sequence);
            let Some((sent, class, done)) = refused else { return Ok(()) };
            warn!(reason, records = sent.records, "the aggregator refused a frame; it is dropped");
            let label = SourceLabel { source: sent.source };
            uplink.metrics.refused_records.get_or_create(&label).inc_by(sent.records);
            uplink.metrics.refused_bytes.get_or_create(&label).inc_by(sent.payload_bytes);
            shared.window.add_permits(sent.bytes);
            if let Some(end) = done {
                shared.progress.acked[class].send_replace(end);
            }
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
            info!(version = directives.version, "new directives");
            uplink.directives.send_replace(Arc::new(directives));
        }
        Message::Throttle(wish) => {
            let until = Instant::now() + Duration::from_millis(wish.for_ms.min(60_000));
            throttle.send_replace(Some((wish.bytes_per_second, until)));
        }
        Message::Move(to) => return Err(UplinkError::Moved(to.addresses)),
        Message::Canary(canary) => {
            // Nobody listens only while the agent stops.
            let _ending = uplink.canaries.send(canary.token);
        }
        Message::Welcome(_) | Message::ClockAnswer(_) => {}
    }
    Ok(())
}
