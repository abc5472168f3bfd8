//! Connections of applications, through a door that bounds their number.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ao_common::door::{Conn, Door, Guarded};
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tonic::transport::server::Connected;

/// A connection that gRPC can be spoken on.
pub(super) struct Connection(Guarded<TcpStream>);

/// All that come, without end.
pub(super) fn all(door: Door) -> impl Stream<Item = io::Result<Connection>> {
    futures_util::stream::unfold(door, |door| async move {
        let (socket, _) = door.accept().await;
        Some((Ok(Connection(socket)), door))
    })
}

impl Connected for Connection {
    type ConnectInfo = Arc<Conn>;

    fn connect_info(&self) -> Arc<Conn> {
        Arc::clone(self.0.conn())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
