//! A round trip by TCP connect, for targets that are to be probed so and for machines on which ICMP is denied. A refusal (RST) is an answer as good as an
//! accepted connection: both are made by the destination's kernel.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use super::api::{Outcome, SendError};

/// Destinations whose answering port is remembered.
const REMEMBERED: usize = 4096;

/// Which of the configured ports a destination answers at.
#[derive(Debug, Default)]
pub(super) struct Ports(HashMap<IpAddr, Port>);

#[derive(Clone, Copy, Debug)]
struct Port {
    /// To try next; counts on beyond the number of ports.
    index: usize,
    /// It has answered.
    is_known: bool,
}

impl Ports {
    /// The one to try, by index; the caller takes the remainder.
    pub(super) fn next(&self, dest: IpAddr) -> usize {
        self.0.get(&dest).map_or(0, |port| port.index)
    }

    /// A port that a firewall keeps silent says nothing about the host: the next probe takes the next one. One that has
    /// answered before stays: its silence is a loss, and another port would make more of it.
    pub(super) fn tried(&mut self, dest: IpAddr, index: usize, answered: bool) {
        if self.0.len() >= REMEMBERED
            && !self.0.contains_key(&dest)
            && let Some(any) = self.0.keys().next().copied()
        {
            self.0.remove(&any);
        }
        let port = self.0.entry(dest).or_insert(Port { index, is_known: false });
        if answered {
            *port = Port { index, is_known: true };
        } else if !port.is_known && port.index == index {
            port.index = index.wrapping_add(1);
        }
    }
}

/// Connects from `source`, where one is given, and closes at once.
pub async fn round_trip(to: SocketAddr, source: Option<IpAddr>, timeout: Duration) -> Outcome {
    let (start, dest) = (Instant::now(), to.ip());
    // Times are those of this process: up to its scheduling too long.
    match timeout_at(start + timeout, connect(to, source)).await {
        Err(_) => Outcome::Timeout,
        Ok(Ok(_)) => Outcome::Reply { rtt: start.elapsed(), ttl: None },
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Outcome::Reply { rtt: start.elapsed(), ttl: None },
            // By an ICMP error from the way there, or from our own kernel when it cannot resolve the neighbour.
            io::ErrorKind::HostUnreachable if start.elapsed() > Duration::from_micros(20) => {
                Outcome::Unreachable { from: dest, code: 1, rtt: start.elapsed() }
            }
            io::ErrorKind::TimedOut => Outcome::Timeout,
            _ => Outcome::NotSent(SendError::Io { dest, source: error }),
        },
    }
}

/// Connects, from `source` where one is given.
///
/// # Errors
/// The system's reason.
pub async fn connect(to: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(to).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the first two ports of a host are silent, the third one answers, then loses a packet; two probes were under
    /// way when the first one ended; and 10,000 other hosts are asked.
    /// Guarantees: the ports are tried in turn until one answers; that one stays, and as many hosts as have room.
    #[test]
    fn port_that_answers() {
        let mut ports = Ports::default();
        let host = IpAddr::from([192, 0, 2, 1]);
        for (index, answered, next) in [
            (0, false, 1),
            (0, false, 1),
            (1, false, 2),
            (2, true, 2),
            (2, false, 2),
            (0, false, 2),
            (2, true, 2),
        ] {
            ports.tried(host, index, answered);
            assert_eq!(ports.next(host), next);
        }
        for n in 0..10_000_u32 {
            let other = IpAddr::from((0x0a00_0000 + n).to_be_bytes());
            ports.tried(other, 1, true);
            assert_eq!(ports.next(other), 1);
        }
        assert_eq!(ports.0.len(), REMEMBERED);
        let all: Vec<IpAddr> = ports.0.keys().copied().collect();
        ports.tried(all[0], 1, false);
        assert_eq!(ports.0.len(), REMEMBERED, "one that is known makes nobody go");
    }

    /// Scenario: a port where somebody listens, and the same port when nobody does any more.
    /// Guarantees: both are answers.
    #[tokio::test]
    async fn open_and_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        for listener in [Some(listener), None] {
            let outcome = round_trip(address, None, Duration::from_secs(5)).await;
            assert!(
                matches!(outcome, Outcome::Reply { rtt, .. } if rtt < Duration::from_secs(5)),
                "{outcome:?}"
            );
            drop(listener);
        }
    }
}
