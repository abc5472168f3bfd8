//! Connections of a listener that anybody may reach: how many there may be, and which one goes when one more comes.
//!
//! A connection stays as long as something is read from it now and then. When the house is full, the oldest that has
//! not proved to be a client makes room; where all have, the one that has said nothing for longest. So thousands of
//! connections that come to nothing keep out nobody, and cost as much as `max` of them.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::repeated::Repeated;

static FAILED: Repeated = Repeated::new("more connections could not be accepted", Duration::from_secs(60));
/// Where the system has no file descriptor left, it may have one then.
const BREATH: Duration = Duration::from_millis(100);

/// A listener with limits.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    max: usize,
    idle: Duration,
    /// In the order of their coming; some have gone.
    open: Mutex<VecDeque<Weak<Conn>>>,
    closed: Arc<AtomicU64>,
    begun: Instant,
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    close: CancellationToken,
    client: AtomicBool,
    /// Milliseconds from the door's beginning to when something was read last.
    heard: AtomicU64,
}

impl Conn {
    /// It has asked what a client asks: strangers go before it.
    pub fn is_client(&self) {
        self.client.store(true, Ordering::Relaxed);
    }
}

impl Door {
    /// At most `max` connections at a time, each of which is closed when nothing is read from it for `idle`.
    pub fn new(listener: TcpListener, max: usize, idle: Duration) -> Self {
        let (open, closed) = Default::default();
        Self { listener, max: max.max(1), idle, open, closed, begun: Instant::now() }
    }

    /// Counts the connections that were closed to make room, or for their silence.
    pub fn closed(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.closed)
    }

    /// # Errors
    /// The listener has no address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection. An error of one of them, or of the system for a while, is no end.
    pub async fn accept(&self) -> (Guarded<TcpStream>, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((socket, peer)) => {
                    // Answers are small and wanted at once; without it they only come later.
                    let _later = socket.set_nodelay(true);
                    return (self.admit(socket), peer);
                }
                Err(error) => {
                    if FAILED.is_first("accept") {
                        tracing::warn!(%error, "cannot accept a connection");
                    }
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }

    fn admit<S>(&self, socket: S) -> Guarded<S> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= self.max {
            open.retain(|one| one.upgrade().is_some_and(|conn| !conn.close.is_cancelled()));
        }
        if open.len() >= self.max {
            let here = open.iter().filter_map(Weak::upgrade);
            let gone = here.min_by_key(|conn| {
                let known = conn.client.load(Ordering::Relaxed);
                (known, if known { conn.heard.load(Ordering::Relaxed) } else { 0 })
            });
            if let Some(conn) = gone {
                conn.close.cancel();
                self.closed.fetch_add(1, Ordering::Relaxed);
            }
        }
        let heard = AtomicU64::new(self.begun.elapsed().as_millis() as u64);
        let conn = Arc::new(Conn { close: CancellationToken::new(), client: AtomicBool::new(false), heard });
        open.push_back(Arc::downgrade(&conn));
        let closed = Box::pin(conn.close.clone().cancelled_owned());
        let look = Box::pin(tokio::time::sleep(self.idle));
        let (count, since) = (Arc::clone(&self.closed), self.begun);
        Guarded { socket, conn, closed, look, idle: self.idle, count, since }
    }
}

/// A socket that ends when its place is wanted, or nothing comes.
#[derive(Debug)]
pub struct Guarded<S> {
    socket: S,
    conn: Arc<Conn>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    look: Pin<Box<Sleep>>,
    idle: Duration,
    count: Arc<AtomicU64>,
    since: Instant,
}

impl<S> Guarded<S> {
    /// Whose it is.
    pub fn conn(&self) -> &Arc<Conn> {
        &self.conn
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.closed.as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "it makes room for another one"));
        }
        while self.look.as_mut().poll(cx).is_ready() {
            let due = self.since + Duration::from_millis(self.conn.heard.load(Ordering::Relaxed)) + self.idle;
            if due <= Instant::now() {
                self.conn.close.cancel();
                self.count.fetch_add(1, Ordering::Relaxed);
                return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing comes on this connection"));
            }
            self.look.as_mut().reset(due);
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        if buf.filled().len() > before {
            // Rounded up: it may be looked at within the same millisecond.
            self.conn.heard.store(self.since.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

impl axum::serve::Listener for Door {
    type Io = Guarded<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        Self::accept(self).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Self::local_addr(self)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    async fn door(max: usize) -> Door {
        Door::new(TcpListener::bind("127.0.0.1:0").await.unwrap(), max, IDLE)
    }

    fn pair(door: &Door) -> (Guarded<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(64);
        (door.admit(ours), theirs)
    }

    /// Scenario: a door for three with a client and strangers that keep coming; then clients alone, and one more comes.
    /// Guarantees: the oldest stranger goes each time, and of clients the one that was silent for longest.
    #[tokio::test(start_paused = true)]
    async fn one_makes_room() {
        let door = door(3).await;
        let (mut client, mut peer) = pair(&door);
        client.conn().is_client();
        let (mut older, _p) = pair(&door);
        let (mut newer, _q) = pair(&door);
        for _ in 0..10 {
            let (next, _) = pair(&door);
            assert_eq!(older.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
            (older, newer) = (newer, next);
        }
        for stranger in [&older, &newer] {
            stranger.conn().is_client();
        }
        tokio::time::sleep(IDLE / 2).await;
        peer.write_u8(7).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), 7);
        let (_last, _r) = pair(&door);
        assert!(older.conn.close.is_cancelled() && !client.conn.close.is_cancelled());
        assert_eq!(door.closed().load(Ordering::Relaxed), 11);
    }

    /// Scenario: one connection says nothing, another one a byte now and then.
    /// Guarantees: the first is closed after the span of silence, the other when it falls silent too.
    #[tokio::test(start_paused = true)]
    async fn silence_ends() {
        let door = door(9).await;
        let (mut silent, _peer) = pair(&door);
        let begin = Instant::now();
        assert_eq!(silent.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() < 2 * IDLE);
        let (mut slow, mut peer) = pair(&door);
        for n in 0..5 {
            tokio::time::sleep(IDLE / 2).await;
            peer.write_u8(n).await.unwrap();
            assert_eq!(slow.read_u8().await.unwrap(), n);
        }
        assert_eq!(slow.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
