//! An echo service by UDP (RFC 862). The socket is connected: the kernel takes answers from nobody else, and tells where
//! nobody listens.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::net::connect_udp;

/// The random number in front.
const TOKEN: usize = 8;

/// Sends `size` bytes (at least eight) and waits until they come back.
pub(super) async fn echo(to: SocketAddr, source: Option<IpAddr>, size: u16) -> io::Result<()> {
    let socket = connect_udp(to, source).await?;
    let mut sent = vec![0; usize::from(size).max(TOKEN)];
    sent[..TOKEN].copy_from_slice(&rand::random::<u64>().to_be_bytes());
    socket.send(&sent).await?;
    let mut received = vec![0; sent.len() + 1];
    loop {
        let len = socket.recv(&mut received).await?;
        // Anything else is an answer to nothing that we have sent.
        if received.get(..len) == Some(&sent[..]) {
            return Ok(());
        }
    }
}
