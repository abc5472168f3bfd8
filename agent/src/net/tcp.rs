//! A round trip by TCP connect, for targets that are to be probed so and for machines on which ICMP is denied. A refusal (RST) is an answer as good as an
//! accepted connection: both are made by the destination's kernel.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use super::api::{Outcome, SendError};

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
