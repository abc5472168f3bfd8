//! An aggregator that keeps frames in memory, and a cable to it that can be cut, frozen and slowed down.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ao_proto::frame;
use ao_proto::v1::ingest_server::{Ingest, IngestServer};
use ao_proto::v1::{
    Ack, AgentMessage, AggregatorMessage, EnrollRequest, EnrollResponse, EpochRanges, FrameHeader, Range,
    Welcome, agent_message, aggregator_message::Message,
};
use futures_util::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// What it has, and how it behaves.
#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    /// By epoch and sequence: the header, and when it came first.
    pub(super) frames: BTreeMap<(u64, u64), (FrameHeader, Instant)>,
    /// Frames that came again.
    pub(super) doubles: u64,
    /// Takes everything and acknowledges nothing.
    pub(super) mute: bool,
    /// Tells everybody to go there.
    pub(super) moves_to: Option<String>,
}

impl Fake {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Serves behind a cable; returns its address, and the cable.
    pub(super) async fn serve(&self) -> (String, Cable) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        let service = IngestServer::new(self.clone()).max_decoding_message_size(8 << 20);
        let serving = tonic::transport::Server::builder()
            .initial_stream_window_size(Some(4 << 20))
            .initial_connection_window_size(Some(8 << 20))
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(serving);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (state, seen) = watch::channel(CableState::default());
        let laid = tokio::spawn(lay(listener, server, seen)).abort_handle();
        (address, Cable { state, laid })
    }
}

/// Between agent and aggregator.
pub(super) struct Cable {
    state: watch::Sender<CableState>,
    laid: AbortHandle,
}

#[derive(Clone, Copy, Default)]
struct CableState {
    frozen: bool,
    cut: bool,
    bytes_per_second: Option<u64>,
}

impl Cable {
    /// Nothing goes through any more, and nobody is told: as if the other end were stopped, or the cable cut.
    pub(super) fn freeze(&self) {
        self.state.send_modify(|state| state.frozen = true);
    }

    /// It goes on where it was frozen.
    pub(super) fn thaw(&self) {
        self.state.send_modify(|state| state.frozen = false);
    }

    /// As if the process at the other end were killed.
    pub(super) fn kill(&self) {
        self.laid.abort();
        self.state.send_modify(|state| state.cut = true);
    }

    /// Towards the aggregator.
    pub(super) fn slow_down(&self, bytes_per_second: u64) {
        self.state.send_modify(|state| state.bytes_per_second = Some(bytes_per_second));
    }
}

async fn lay(listener: TcpListener, server: SocketAddr, state: watch::Receiver<CableState>) {
    loop {
        let Ok((agent, _)) = listener.accept().await else { return };
        let mut cut = state.clone();
        let state = state.clone();
        tokio::spawn(async move {
            let aggregator = TcpStream::connect(server).await.unwrap();
            let (from_agent, to_agent) = agent.into_split();
            let (from_aggregator, to_aggregator) = aggregator.into_split();
            tokio::select! {
                _ = cut.wait_for(|state| state.cut) => {}
                () = carry(from_agent, to_aggregator, state.clone(), true) => {}
                () = carry(from_aggregator, to_agent, state.clone(), false) => {}
            }
        });
    }
}

async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut state: watch::Receiver<CableState>,
    slow: bool,
) {
    let mut buffer = vec![0; 64 << 10];
    let mut free = Instant::now();
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        if state.wait_for(|state| !state.frozen).await.is_err() {
            return;
        }
        let rate = state.borrow().bytes_per_second.filter(|_| slow);
        if let Some(rate) = rate {
            free = free.max(Instant::now()) + Duration::from_secs_f64(read as f64 / rate as f64);
            tokio::time::sleep_until(free).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<AggregatorMessage, Status>> + Send>>;

#[tonic::async_trait]
impl Ingest for Fake {
    type StreamStream = Answers;

    async fn enroll(&self, _request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn stream(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<Answers>, Status> {
        let (answers, outgoing) = mpsc::channel(64);
        tokio::spawn(self.clone().take_all(request.into_inner(), answers));
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

impl Fake {
    async fn take_all(
        self,
        mut incoming: Streaming<AgentMessage>,
        answers: mpsc::Sender<Result<AggregatorMessage, Status>>,
    ) {
        while let Ok(Some(message)) = incoming.message().await {
            let answer = match message.message {
                Some(agent_message::Message::Hello(_)) => Some(Message::Welcome(self.welcome())),
                Some(agent_message::Message::Frame(sealed)) => {
                    let header = frame::open(&sealed).unwrap().header;
                    let (epoch, sequence) = (header.epoch, header.sequence);
                    let mut state = self.lock();
                    match state.frames.entry((epoch, sequence)) {
                        Entry::Occupied(_) => state.doubles += 1,
                        Entry::Vacant(place) => {
                            place.insert((header, Instant::now()));
                        }
                    }
                    let to = state.moves_to.clone();
                    let ack = (!state.mute).then_some(Message::Ack(Ack { epoch, sequence }));
                    let there = |to| Message::Move(ao_proto::v1::Move { addresses: vec![to] });
                    to.map(there).or(ack)
                }
                _ => None,
            };
            let Some(answer) = answer else { continue };
            if answers.send(Ok(AggregatorMessage { message: Some(answer) })).await.is_err() {
                return;
            }
        }
    }

    fn welcome(&self) -> Welcome {
        let state = self.lock();
        let one = |&(epoch, sequence): &(u64, u64)| EpochRanges {
            epoch,
            ranges: vec![Range { first: sequence, last: sequence }],
        };
        let mut have = BTreeMap::<u64, EpochRanges>::new();
        for ranges in state.frames.keys().map(one) {
            have.entry(ranges.epoch)
                .or_insert(EpochRanges { epoch: ranges.epoch, ranges: Vec::new() })
                .ranges
                .extend(ranges.ranges);
        }
        Welcome { version: 1, aggregator: "fake".to_owned(), have: have.into_values().collect(), now_ms: 0 }
    }
}
