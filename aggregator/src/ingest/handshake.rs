//! From an accepted connection to one whose handshake is done. Each handshake has a task of its own and a few seconds;
//! how many there may be is the house's affair (`door`), where an unfinished one is a stranger like others.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ao_common::tls::CertificateDer;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tracing::debug;

use crate::identity::{Identity, Peer};
use crate::ingest::door::{Conn, Guarded};
use crate::metrics::Metrics;

/// A handshake that is slower is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections that wait for the server to take them.
const WAITING: usize = 16;

/// Who calls, as far as the connection tells.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) conn: Arc<Conn>,
    pub(crate) peer: Peer,
}

/// A connection that can carry calls; speaks TLS unless plaintext was configured.
pub(crate) struct Connection {
    socket: Socket,
    caller: Caller,
}

enum Socket {
    Plain(Guarded<TcpStream>),
    Tls(Box<TlsStream<Guarded<TcpStream>>>),
}

/// Greets all that come, until the shutdown. Without an identity: plaintext.
pub(crate) fn all(
    incoming: impl Stream<Item = io::Result<Guarded<TcpStream>>> + Send + 'static,
    identity: Option<Arc<Identity>>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> ReceiverStream<io::Result<Connection>> {
    let (out, done) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut incoming = std::pin::pin!(incoming.take_until(shutdown.cancelled_owned()));
        while let Some(Ok(socket)) = incoming.next().await {
            let (identity, metrics, out) = (identity.clone(), Arc::clone(&metrics), out.clone());
            tokio::spawn(async move {
                let (conn, address) = (socket.connect_info(), socket.peer());
                match greet(socket, identity).await {
                    Ok((socket, certificates)) => {
                        let peer = Peer { address: Some(address), certificates };
                        // Gone only at the shutdown.
                        let _gone = out.send(Ok(Connection { socket, caller: Caller { conn, peer } })).await;
                    }
                    Err(error) => {
                        metrics.refused("handshake");
                        debug!(%address, %error, "no connection came of a handshake");
                    }
                }
            });
        }
    });
    ReceiverStream::new(done)
}

async fn greet(
    socket: Guarded<TcpStream>,
    identity: Option<Arc<Identity>>,
) -> io::Result<(Socket, Arc<[CertificateDer<'static>]>)> {
    let Some(identity) = identity else { return Ok((Socket::Plain(socket), Arc::default())) };
    // The newest configuration: certificates change while we run.
    let handshake = TlsAcceptor::from(identity.server()).accept(socket);
    let tls = tokio::time::timeout(PATIENCE, handshake).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let certificates = tls.get_ref().1.peer_certificates().unwrap_or_default().into();
    Ok((Socket::Tls(Box::new(tls)), certificates))
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Socket::Tls(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Socket::Tls(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tls(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}
