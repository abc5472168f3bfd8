//! Connections that come to nothing: silent ones, halves of a handshake, a network that is gone, a peer that is deaf.

use std::net::SocketAddr;
use std::time::Duration;

use ao_proto::v1::agent_message::Message;
use ao_proto::v1::{AgentMessage, Class, FrameHeader};
use ao_tests::link::{Link, Weather};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use tonic::transport::Channel;

use super::peer::{Citizen, Peer, Town};

/// The beginning of a ClientHello (RFC 8446, sections 4.1.2 and 5.1): the record is to have 512 bytes.
const HALF_A_HELLO: [u8; 11] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
/// What a client of HTTP/2 says first (RFC 9113, section 3.4), here to a server that expects TLS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Connections that say nothing or half a ClientHello; then some that say something else, or noise.
pub(super) async fn gather(address: SocketAddr, silent: usize, noisy: usize) -> Vec<TcpStream> {
    let mut open = Vec::with_capacity(silent + noisy);
    for n in 0..silent + noisy {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let begin: &[u8] = match (n < silent, n % 2) {
            (true, 0) => b"",
            (true, _) => &HALF_A_HELLO,
            (false, 0) => PREFACE,
            (false, _) => &[0xff; 100],
        };
        // It may have been closed for the next ones' sake.
        let _closed = stream.write_all(begin).await;
        open.push(stream);
    }
    open
}

/// Connections that say one byte of a handshake now and then: each task ends when its connection is closed.
pub(super) fn drip(address: SocketAddr, count: usize) -> JoinSet<()> {
    let mut dripping = JoinSet::new();
    for _ in 0..count {
        dripping.spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let (mut from, mut to) = stream.into_split();
            let saying = async {
                for byte in HALF_A_HELLO.iter().cycle() {
                    if to.write_u8(*byte).await.is_err() {
                        return;
                    }
                    sleep(Duration::from_secs(1)).await;
                }
            };
            // A byte is an alert of TLS; then the end.
            let hearing = async { while from.read_u8().await.is_ok() {} };
            tokio::select! { () = saying => {}, () = hearing => {} }
        });
    }
    dripping
}

/// Connections whose handshake is done, and nothing follows.
pub(super) async fn idle(town: &Town, count: usize) -> Vec<Channel> {
    let mut greeting = JoinSet::new();
    for _ in 0..count {
        let endpoint = town.endpoint(None);
        greeting.spawn(async move { endpoint.connect().await.expect("a handshake needs no certificate") });
    }
    greeting.join_all().await
}

/// An agent whose network goes away without a word after it has greeted.
pub(super) async fn gone(citizen: &Citizen) -> (Link, Peer) {
    let link = Link::to(citizen.town.address);
    let peer = citizen.by(link.address).greeted().await;
    link.set(Weather::Stalled);
    (link, peer)
}

/// An agent that sends frames which are refused, and reads no answer until it is ended: how many it gets rid of.
pub(super) async fn deaf(citizen: &Citizen) -> JoinHandle<usize> {
    // So that answers do not lie in its own memory.
    let endpoint = citizen.endpoint().initial_stream_window_size(Some(1 << 10));
    let channel = endpoint.connect().await.expect("a connection");
    let peer = Peer::open(channel, Message::Hello(citizen.hello())).await.expect("a stream");
    let citizen = citizen.clone();
    tokio::spawn(async move {
        let content = vec![7; 16 << 10];
        let mut sent = 0;
        for n in 1..=5_000 {
            let header = FrameHeader { class: 77, ..citizen.header(n, Class::Logs, &content) };
            let noise = ao_proto::frame::seal(&header, &content);
            let message = AgentMessage { message: Some(Message::Frame(noise)) };
            if peer.out.send(message).await.is_err() {
                break;
            }
            sent += 1;
        }
        // Where it was never made to wait.
        peer.out.closed().await;
        sent
    })
}
