//! A peer of the aggregator that speaks the protocol by itself: with a certificate that it got honestly, or without.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ao_common::tls::CertificateDer;
use ao_common::tls::bootstrap::Bootstrap;
use ao_common::tls::{files, request};
use ao_proto::frame::{compress, seal};
use ao_proto::limits::WIRE_VERSION;
use ao_proto::logs::{LogEntry, LogFrame};
use ao_proto::model::Labels;
use ao_proto::v1::agent_message::Message;
use ao_proto::v1::aggregator_message::Message as Answer;
use ao_proto::v1::enroll_request::Proof;
use ao_proto::v1::ingest_client::IngestClient;
use ao_proto::v1::{AgentMessage, AggregatorMessage, Class, EnrollRequest, FrameHeader, Hello};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Status, Streaming};

/// The epoch of all frames, unless a test says otherwise.
pub(super) const EPOCH: u64 = 1;

/// Where the aggregator is, and what every host is given to enrol.
#[derive(Clone)]
pub(super) struct Town {
    pub(super) address: SocketAddr,
    authority: String,
    token: String,
}

/// A node with a certificate.
#[derive(Clone)]
pub(super) struct Citizen {
    pub(super) town: Town,
    pub(super) agent: [u8; 16],
    pub(super) node: String,
    identity: Option<Identity>,
}

/// A stream that a citizen has opened.
pub(super) struct Peer {
    pub(super) out: mpsc::Sender<AgentMessage>,
    answers: Streaming<AggregatorMessage>,
}

impl Town {
    /// Of an aggregator that runs, by its data folder.
    pub(super) fn of(address: SocketAddr, data: &Path) -> Self {
        let text = std::fs::read_to_string(data.join("identity/bootstrap")).unwrap();
        let bootstrap = Bootstrap::parse(&text, "it").unwrap();
        let authority = files::to_pem(&bootstrap.authorities);
        Self { address, authority, token: bootstrap.token.reveal().unwrap() }
    }

    /// Encrypted; with a certificate where there is one.
    pub(super) fn endpoint(&self, identity: Option<&Identity>) -> Endpoint {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.authority));
        if let Some(identity) = identity {
            tls = tls.identity(identity.clone());
        }
        Endpoint::from_shared(format!("https://{}", self.address)).unwrap().tls_config(tls).unwrap()
    }

    /// Asks for a certificate: the key and the certificates.
    pub(super) async fn enroll(
        &self,
        node: &str,
        agent: [u8; 16],
        token: &str,
    ) -> Result<(String, Vec<Vec<u8>>), Status> {
        let key = request::make_key().unwrap();
        let (certificate_request, _) = request::make_request(&key).unwrap();
        let asked = EnrollRequest {
            node: node.into(),
            cluster: "test".into(),
            agent: agent.to_vec(),
            certificate_request,
            proof: Some(Proof::BootstrapToken(token.into())),
        };
        let channel = self.endpoint(None).connect().await.unwrap();
        let answer = IngestClient::new(channel).enroll(asked).await?.into_inner();
        Ok((key, answer.certificates))
    }

    /// A node that has enrolled.
    pub(super) async fn citizen(&self, node: &str, id: u8) -> Citizen {
        let agent = [id; 16];
        let (key, certificates) = self.enroll(node, agent, &self.token).await.expect("it may enrol");
        let certificates: Vec<_> = certificates.into_iter().map(CertificateDer::from).collect();
        let identity = Identity::from_pem(files::to_pem(&certificates), key);
        Citizen { town: self.clone(), agent, node: node.to_owned(), identity: Some(identity) }
    }
}

impl Citizen {
    /// The same without its papers.
    pub(super) fn without_certificate(&self) -> Self {
        Self { identity: None, ..self.clone() }
    }

    /// The same by another way.
    pub(super) fn by(&self, address: SocketAddr) -> Self {
        let mut other = self.clone();
        other.town.address = address;
        other
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.town.endpoint(self.identity.as_ref())
    }

    /// A connection.
    pub(super) async fn channel(&self) -> Channel {
        self.endpoint().connect().await.expect("a connection")
    }

    /// What it says first.
    pub(super) fn hello(&self) -> Hello {
        Hello {
            agent: self.agent.to_vec(),
            node: self.node.clone(),
            cluster: "test".into(),
            version: WIRE_VERSION,
            epochs: vec![EPOCH],
            ..Hello::default()
        }
    }

    /// Of a frame with this content.
    pub(super) fn header(&self, sequence: u64, class: Class, raw: &[u8]) -> FrameHeader {
        FrameHeader {
            agent: self.agent.to_vec(),
            epoch: EPOCH,
            sequence,
            class: class.into(),
            source: "logs".into(),
            raw_bytes: raw.len() as u64,
            records: 1,
            ..FrameHeader::default()
        }
    }

    /// One good line in a frame.
    pub(super) fn line(&self, sequence: u64) -> Message {
        let raw = line();
        Message::Frame(sealed(&self.header(sequence, Class::Logs, &raw), &raw))
    }

    /// Opens a stream with a first message.
    pub(super) async fn open(&self, first: Message) -> Result<Peer, Status> {
        Peer::open(self.channel().await, first).await
    }

    /// Opens a stream, and has greeted.
    pub(super) async fn greeted(&self) -> Peer {
        let mut peer = self.open(Message::Hello(self.hello())).await.expect("a stream");
        peer.welcomed().await;
        peer
    }
}

impl Peer {
    /// Opens a stream on a connection with a first message.
    pub(super) async fn open(channel: Channel, first: Message) -> Result<Self, Status> {
        let mut client = IngestClient::new(channel).max_encoding_message_size(usize::MAX);
        let (out, outgoing) = mpsc::channel(64);
        out.send(AgentMessage { message: Some(first) }).await.unwrap();
        let answers = client.stream(ReceiverStream::new(outgoing)).await?.into_inner();
        Ok(Self { out, answers })
    }

    /// The welcome is the first answer.
    pub(super) async fn welcomed(&mut self) {
        let first = self.answer().await;
        assert!(matches!(first, Ok(Answer::Welcome(_))), "{first:?}");
    }

    /// It may have been ended meanwhile: the answers say so.
    pub(super) async fn send(&self, message: Message) {
        let _ended = self.out.send(AgentMessage { message: Some(message) }).await;
    }

    /// The next answer that speaks of what was sent; the status where the stream has ended.
    pub(super) async fn answer(&mut self) -> Result<Answer, Status> {
        loop {
            let next = timeout(Duration::from_secs(20), self.answers.message()).await;
            match next.expect("an answer in time")? {
                Some(AggregatorMessage { message: Some(Answer::Directives(_) | Answer::Throttle(_)) }) => {}
                Some(message) => return Ok(message.message.expect("an answer that we know")),
                None => return Err(Status::ok("closed")),
            }
        }
    }

    /// How the stream ends, whatever is answered before.
    pub(super) async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.answer().await {
                return status;
            }
        }
    }
}

/// The payload of a frame with one line.
pub(super) fn line() -> Vec<u8> {
    let at_ns = ao_common::clock::now_ns();
    let streams = vec![Labels::from_pairs([("pod", "evil")])];
    let entries = vec![LogEntry { at_ns, len: 4, ..LogEntry::default() }];
    LogFrame { streams, entries, text: "evil".into(), ..LogFrame::default() }.encode()
}

/// A frame.
pub(super) fn sealed(header: &FrameHeader, raw: &[u8]) -> Bytes {
    seal(header, &compress(raw))
}
