//! Messages that nobody should send: what is no stream ends with a reason, what is no content is refused with one.

use ao_proto::frame::{compress, seal};
use ao_proto::limits::{
    MAX_EPOCHS, MAX_LABELS, MAX_MESSAGE_BYTES, MAX_RAW_BYTES, MAX_SOURCES, MAX_STREAM_LABELS, MAX_STREAMS,
};
use ao_proto::metrics::Keyframe;
use ao_proto::model::{Family, Labels, Series};
use ao_proto::v1::agent_message::Message;
use ao_proto::v1::aggregator_message::Message as Answer;
use ao_proto::v1::{AgentMessage, Class, FrameHeader, Hello};
use ao_tests::stack::NODE;
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use prost::Message as _;
use tonic::codegen::{Service, http};
use tonic::{Code, Status};

use super::labels;
use super::peer::{Citizen, EPOCH, Peer, line, sealed};

/// What is no stream of an agent; the number of cases.
pub(super) async fn malformed(evil: &Citizen) -> usize {
    let zeros = vec![0; MAX_RAW_BYTES];
    let hello = || evil.hello();
    let good = || Message::Hello(hello());
    let frame = |header: FrameHeader, raw: &[u8]| vec![Message::Frame(sealed(&header, raw))];
    let x = |sequence| evil.header(sequence, Class::Logs, b"x");
    let mut flipped = sealed(&x(1), b"x").to_vec();
    flipped[5] ^= 1;
    let epochs = (0..=MAX_EPOCHS as u64).map(|n| FrameHeader { epoch: 1_000 + n, class: 99, ..x(n) });
    let epochs = epochs.map(|header| Message::Frame(sealed(&header, b"x"))).collect();
    let keyframe = FrameHeader { agent: vec![9; 16], keyframe: 3, ..x(0) };
    let (invalid, denied) = (Code::InvalidArgument, Code::PermissionDenied);
    let cases: Vec<(&str, Message, Vec<Message>, Code, &str)> = vec![
        ("no hello", evil.line(1), vec![], invalid, "begins with a hello"),
        ("two hellos", good(), vec![good()], invalid, "one hello"),
        ("no agent", Message::Hello(Hello { agent: vec![1], ..hello() }), vec![], invalid, "16 bytes"),
        ("no node", Message::Hello(Hello { node: String::new(), ..hello() }), vec![], invalid, "empty"),
        ("a lane", Message::Hello(Hello { lane: 7, ..hello() }), vec![], invalid, "lane 7"),
        (
            "a version",
            Message::Hello(Hello { version: 99, ..hello() }),
            vec![],
            Code::FailedPrecondition,
            "wire version",
        ),
        (
            "epochs of a hello",
            Message::Hello(Hello { epochs: (0..5_000).collect(), ..hello() }),
            vec![],
            invalid,
            "5000 epochs",
        ),
        ("epochs of frames", good(), epochs, Code::ResourceExhausted, "epochs"),
        (
            "a large hello",
            Message::Hello(Hello { node: "n".repeat(100_000), ..hello() }),
            vec![],
            Code::ResourceExhausted,
            "a hello has at most",
        ),
        (
            "a large message",
            good(),
            vec![Message::Frame(vec![1; MAX_MESSAGE_BYTES + 1].into())],
            Code::ResourceExhausted,
            "over the limit",
        ),
        (
            "another's name",
            Message::Hello(Hello { node: NODE.into(), ..hello() }),
            vec![],
            denied,
            "its certificate is that of",
        ),
        (
            "another's id",
            Message::Hello(Hello { agent: vec![9; 16], ..hello() }),
            vec![],
            denied,
            "its certificate is that of",
        ),
        ("no frame", good(), vec![Message::Frame(Bytes::from_static(b"what"))], Code::DataLoss, "cut short"),
        ("a flipped bit", good(), vec![Message::Frame(flipped.into())], Code::DataLoss, "checksum"),
        (
            "another's frame",
            good(),
            frame(FrameHeader { agent: vec![9; 16], ..x(1) }, b"x"),
            denied,
            "another agent's",
        ),
        ("another lane", good(), frame(FrameHeader { lane: 1, ..x(1) }, b"x"), denied, "another lane's"),
        (
            "another's keyframe",
            good(),
            vec![Message::Keyframe(sealed(&keyframe, b"x"))],
            denied,
            "another agent's",
        ),
        (
            "a size that lies",
            good(),
            frame(FrameHeader { raw_bytes: 1 << 40, ..x(1) }, &zeros),
            Code::DataLoss,
            "over the limit",
        ),
    ];
    let n = cases.len();
    for (what, first, then, code, words) in cases {
        ends(evil, what, first, then, code, words).await;
    }
    let stranger = evil.without_certificate();
    ends(&stranger, "no certificate", good(), vec![], Code::Unauthenticated, "showed no certificate").await;
    n + 1 + unframed(evil).await
}

/// A stream that begins with `first` and goes on with `then` ends with a status.
async fn ends(evil: &Citizen, what: &str, first: Message, then: Vec<Message>, code: Code, words: &str) {
    let status = match evil.open(first).await {
        Ok(mut peer) => {
            for message in then {
                peer.send(message).await;
            }
            peer.end().await
        }
        Err(status) => status,
    };
    assert!(status.code() == code && status.message().contains(words), "{what}: {status}");
}

/// Bytes that are not even gRPC's; the number of cases.
async fn unframed(evil: &Citizen) -> usize {
    let hello = AgentMessage { message: Some(Message::Hello(evil.hello())) }.encode_to_vec();
    let framed = |flags: u8, length: usize, bytes: &[u8]| {
        let mut body = BytesMut::new();
        body.put_u8(flags);
        body.put_u32(u32::try_from(length).unwrap());
        body.put_slice(bytes);
        body.freeze()
    };
    let grpc = "application/grpc";
    let path = "/ao.v1.Ingest/Stream";
    let cases: [(&str, &str, &str, Bytes); 9] = [
        ("nothing", path, grpc, Bytes::new()),
        ("half a head", path, grpc, Bytes::from_static(&[0, 0])),
        ("no protobuf", path, grpc, framed(0, 9, &[0xff; 9])),
        ("compressed by nobody", path, grpc, framed(1, hello.len(), &hello)),
        ("a flag of its own", path, grpc, framed(7, hello.len(), &hello)),
        ("less than it says", path, grpc, framed(0, 60_000, &hello)),
        ("four gigabytes", path, grpc, framed(0, u32::MAX as usize, &hello)),
        ("no such call", "/ao.v1.Ingest/Steal", grpc, framed(0, hello.len(), &hello)),
        ("an enrolment of noise", "/ao.v1.Ingest/Enroll", grpc, framed(0, 9, &[0xff; 9])),
    ];
    let n = cases.len();
    let mut channel = evil.channel().await;
    for (what, path, kind, body) in cases {
        let request = http::Request::post(format!("https://{}{path}", evil.town.address))
            .header("content-type", kind)
            .header("te", "trailers")
            .body(tonic::body::Body::new(Full::new(body)))
            .unwrap();
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.expect("the connection stays");
        let response = channel.call(request).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let in_head = Status::from_header_map(response.headers());
        let body = response.into_body().collect().await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let status = in_head.or_else(|| Status::from_header_map(body.trailers()?));
        let status = status.unwrap_or_else(|| panic!("{what}: no status"));
        let has_reason = !status.message().is_empty() || status.code() == Code::Unimplemented;
        assert!(status.code() != Code::Ok && has_reason, "{what}: {status}");
    }
    n
}

/// The number of frames that were refused, and what they said.
struct Refused<'a> {
    evil: &'a Citizen,
    peer: Peer,
    sequence: u64,
    count: u64,
}

impl Refused<'_> {
    /// A frame of a good envelope with this content is refused with these words, and the stream goes on.
    async fn expect(&mut self, what: &str, header: FrameHeader, payload: &[u8], words: &str) {
        self.sequence += 1;
        let header = FrameHeader { sequence: self.sequence, ..header };
        self.peer.send(Message::Frame(seal(&header, payload))).await;
        match self.peer.answer().await {
            Ok(Answer::Refused(why)) => {
                assert!(why.reason.contains(words), "{what}: {}", why.reason);
                assert_eq!((why.epoch, why.sequence), (EPOCH, self.sequence), "{what}");
            }
            other => panic!("{what}: {other:?}"),
        }
        self.count += 1;
    }

    /// All frames of a keyframe are refused.
    async fn keyframe(&mut self, what: &str, id: u64, raw: &[u8], words: &str) {
        let header = FrameHeader { keyframe: id, ..self.evil.header(0, Class::Metrics, raw) };
        self.peer.send(Message::Keyframe(sealed(&header, raw))).await;
        for _ in 0..5 {
            let header = FrameHeader { keyframe: id, ..self.evil.header(0, Class::Metrics, b"x") };
            self.expect(what, header, b"x", words).await;
        }
    }
}

/// A frame within every limit whose labels take much memory: it is taken.
pub(super) async fn heavy(evil: &Citizen, sequence: u64) {
    let mut peer = evil.greeted().await;
    let raw = labels::streams(MAX_STREAM_LABELS / MAX_LABELS);
    peer.send(Message::Frame(sealed(&evil.header(sequence, Class::Logs, &raw), &raw))).await;
    let answer = peer.answer().await;
    assert!(matches!(answer, Ok(Answer::Ack(_))), "{answer:?}");
}

/// Good envelopes with bad content; the number of frames that were refused.
pub(super) async fn bombs(evil: &Citizen) -> u64 {
    let peer = evil.greeted().await;
    let mut refused = Refused { evil, peer, sequence: 0, count: 0 };
    let zeros = vec![0; MAX_RAW_BYTES];
    let small = compress(&zeros);
    let of = |raw: &[u8]| evil.header(0, Class::Logs, raw);

    for _ in 0..20 {
        refused.expect("zeros as lines", of(&zeros), &small, "log lines").await;
    }
    let spans = FrameHeader { class: Class::Spans.into(), ..of(&zeros) };
    refused.expect("zeros as spans", spans, &small, "tag").await;
    let lies = FrameHeader { raw_bytes: 1_000, ..of(b"") };
    refused.expect("more than its header says", lies, &small, "decompressed").await;
    refused.expect("less than its header says", of(&zeros), &compress(&[0; 100_000]), "decompressed").await;
    // A frame of zstd that asks for a window of 2 GiB, and one that does not say how large it is.
    let window = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    refused.expect("a large window", of(&zeros), &window, "decompressed").await;
    let class = FrameHeader { class: 99, ..of(b"x") };
    refused.expect("a class", class, b"x", "class 99").await;
    let noise = FrameHeader { source: "\u{7}".repeat(1_000), ..of(b"x") };
    refused.expect("a source", noise, b"x", "source").await;

    for (what, raw) in
        [("number of labels", labels::too_many()), ("value is empty or too long", labels::too_long())]
    {
        refused.expect("labels of a stream", of(&raw), &raw, what).await;
    }
    let large = labels::streams(MAX_STREAMS);
    // A byte too few at the end: all labels are read before that is seen.
    let cut = labels::streams(MAX_STREAM_LABELS / MAX_LABELS);
    let cut = &cut[..cut.len() - 1];
    for _ in 0..4 {
        refused.expect("labels of 65,536 streams", of(&large), &compress(&large), "too many labels").await;
        refused.expect("a million labels", of(cut), &compress(cut), "log lines").await;
    }
    let pairs = (0..8).map(|n| (format!("label{n}"), "value"));
    let series = vec![Series { labels: Labels::from_pairs(pairs), family: 0 }; 300_000];
    let values = vec![1.0; series.len()];
    let many = Keyframe { id: 5, families: vec![Family::default()], series, values, ..Keyframe::default() };
    refused.keyframe("labels of 300,000 series", 5, &many.encode(), "300000 series").await;
    refused.keyframe("zeros as a keyframe", 6, &zeros, "keyframe is refused").await;
    refused.count
}

/// Names of sources without end, sequences from the ends of the number space, frames that come again and again: how
/// many frames were acknowledged, and how many refused.
pub(super) async fn names(evil: &Citizen) -> (u64, u64) {
    let mut peer = evil.greeted().await;
    let (mut acknowledged, mut refused) = (0, 0);
    let raw = line();
    let sources = (0..100).map(|n| (n + 10, format!("source-{n}")));
    let again = [(u64::MAX, "source-0"), (0, "source-0"), (u64::MAX, "source-0"), (10, "source-0")];
    let again = again.map(|(sequence, source)| (sequence, source.to_owned()));
    for (sequence, source) in sources.chain(again) {
        let header = FrameHeader { source, ..evil.header(sequence, Class::Logs, &raw) };
        peer.send(Message::Frame(sealed(&header, &raw))).await;
        match peer.answer().await {
            Ok(Answer::Ack(ack)) => {
                assert_eq!((ack.epoch, ack.sequence), (EPOCH, sequence));
                acknowledged += 1;
            }
            Ok(Answer::Refused(why)) => {
                assert!(why.reason.contains(&format!("{MAX_SOURCES} sources")), "{}", why.reason);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    (acknowledged, refused)
}
