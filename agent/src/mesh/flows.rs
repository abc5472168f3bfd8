//! The sockets that ask: each source port is a flow of its own, which routers keep on one path.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ao_common::clock;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::packet::{self, Packet, Times};
use crate::net::Datagram;

/// Answers between the sockets and their reader; more wait in the sockets.
const UNREAD: usize = 256;

/// An answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) token: u64,
    pub(super) times: Times,
    /// Our boot time when it came.
    pub(super) came_ns: i64,
}

/// The sockets of both families, each opened when a peer needs it.
pub(super) struct Flows {
    ports: usize,
    /// As which the peers know this node.
    own: Option<IpAddr>,
    v4: Vec<Arc<Datagram>>,
    v6: Vec<Arc<Datagram>>,
    sender: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    /// Ends with this.
    readers: JoinSet<()>,
}

impl Flows {
    /// `own` is the address from which the peers expect this node's questions.
    pub(super) fn new(ports: usize, own: Option<IpAddr>) -> Self {
        let (sender, answers) = mpsc::channel(UNREAD);
        Self { ports, own, v4: Vec::new(), v6: Vec::new(), sender, answers, readers: JoinSet::new() }
    }

    /// Sends from a port, by its place.
    ///
    /// # Errors
    /// What the system has against it, such as a size that the interface does not take.
    pub(super) fn send(&mut self, place: usize, to: SocketAddr, data: &[u8]) -> io::Result<()> {
        self.socket(place, to)?.send(to, data)
    }

    /// The socket at a place, for others that ask on the same flow; the answers come here.
    ///
    /// # Errors
    /// Where none can be had.
    pub(super) fn socket(&mut self, place: usize, to: SocketAddr) -> io::Result<&Arc<Datagram>> {
        let sockets = if to.is_ipv6() { &mut self.v6 } else { &mut self.v4 };
        let any: IpAddr =
            if to.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        let own = self.own.filter(|own| own.is_ipv6() == to.is_ipv6());
        while sockets.len() < self.ports {
            let socket = Arc::new(Datagram::bind(SocketAddr::new(own.unwrap_or(any), 0))?);
            self.readers.spawn(read(Arc::clone(&socket), self.sender.clone()));
            sockets.push(socket);
        }
        sockets.get(place).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// The number of the port at a place; 0 where nothing was sent to that family yet.
    pub(super) fn port(&self, place: usize, towards: IpAddr) -> u16 {
        let sockets = if towards.is_ipv6() { &self.v6 } else { &self.v4 };
        sockets.get(place).map_or(0, |socket| socket.local().port())
    }

    /// Begins anew where the peers know this node by another address.
    pub(super) fn come_from(&mut self, own: Option<IpAddr>) {
        if self.own != own {
            *self = Self::new(self.ports, own);
        }
    }

    /// The next answer, from any port.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        self.answers.recv().await
    }
}

async fn read(socket: Arc<Datagram>, answers: mpsc::Sender<Answer>) {
    let mut buffer = [0; packet::LEN];
    loop {
        let arrival = match socket.receive(&mut buffer).await {
            Ok(arrival) => arrival,
            // An ICMP error for one peer must not end the reading of the others' answers.
            Err(_) => {
                tokio::task::yield_now().await;
                continue;
            }
        };
        let came_ns = clock::boot_ns() - arrival.waited_ns;
        if let Some(Packet::Answer { token, times }) = packet::read(&buffer[..arrival.len])
            && answers.send(Answer { token, times, came_ns }).await.is_err()
        {
            return;
        }
    }
}
