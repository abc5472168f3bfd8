//! The sockets that ask: each source port is a flow of its own, which routers keep on one path.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
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

/// An address by which the others know this node, where this machine has it and can send from it. It has not behind a NAT,
/// or since it was given another one; the system's choice is the better guess then.
pub(super) fn own(told: &str) -> Option<IpAddr> {
    let own: IpAddr = told.parse().ok()?;
    let missing =
        UdpSocket::bind((own, 0)).is_err_and(|error| error.kind() == io::ErrorKind::AddrNotAvailable);
    (!missing).then_some(own)
}

/// The sockets of both families, each opened when a peer needs it.
pub(super) struct Flows {
    ports: usize,
    /// As which the peers know this node.
    told: String,
    /// The same, where this machine has it.
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
        let told = String::new();
        Self { ports, told, own, v4: Vec::new(), v6: Vec::new(), sender, answers, readers: JoinSet::new() }
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

    /// The peers know this node by this address: begins anew where that, or whether this machine has it, is another matter
    /// than before. Tells from which address they can be asked, where the system may not choose.
    pub(super) fn come_from(&mut self, told: &str) -> Option<IpAddr> {
        let own = own(told);
        let before = std::mem::replace(&mut self.told, told.to_owned());
        if own.is_none() && !told.is_empty() && (self.own.is_some() || before != told) {
            tracing::warn!(
                address = told,
                "this machine does not have the address by which the other nodes know it (mesh.address): it asks them \
                 from whatever address the system chooses, which they may not answer"
            );
        }
        if self.own != own {
            *self = Self { told: std::mem::take(&mut self.told), ..Self::new(self.ports, own) };
        }
        own
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the peers know this node by an address that is this machine's, by one that is not, by nonsense.
    /// Guarantees: it asks from its own address; else from one that the system chooses, and the question leaves.
    #[tokio::test]
    async fn from_which_address() {
        let peer = Datagram::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let mut flows = Flows::new(1, None);
        for (told, from) in [
            ("127.0.0.5", "127.0.0.5"),
            ("192.0.2.1", "127.0.0.1"),
            ("127.0.0.6", "127.0.0.6"),
            ("", "127.0.0.1"),
        ] {
            assert_eq!(flows.come_from(told).is_some(), told == from);
            flows.send(0, peer.local(), b"?").unwrap();
            let arrival = peer.receive(&mut [0; 9]).await.unwrap();
            assert_eq!(arrival.from.ip().to_string(), from, "{told}");
            let port = flows.port(0, peer.local().ip());
            flows.come_from(told);
            assert_eq!(flows.port(0, peer.local().ip()), port, "the same again changes nothing");
        }
    }
}
