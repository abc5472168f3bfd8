//! Connections, from their acceptance on: how many there may be, and which one goes when one more comes.
//!
//! A connection of an agent that greeted stays as long as it lives. One that has not greeted yet is on sufferance: it
//! is closed when nothing is asked of it for [`IDLE`], and when the house is full the oldest of them makes room for the
//! newcomer. So thousands of connections that say nothing keep out nobody.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use ao_common::repeated::Repeated;
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::ingest::api::SAID_EVERY;
use crate::metrics::Metrics;

/// A connection on which no call is open is closed after one or two of these: also one that never says a word, or one
/// byte of its greeting a minute.
const IDLE: Duration = Duration::from_secs(10);
static FULL: Repeated = Repeated::new("more connections were not let in", SAID_EVERY);
/// Where the system has no file descriptor left, it may have one then.
const BREATH: Duration = Duration::from_millis(100);

/// All connections of one listener.
pub(crate) struct House {
    /// More are not let in.
    max: usize,
    open: AtomicUsize,
    /// Those that have not greeted, oldest first; some have since.
    strangers: Mutex<VecDeque<Weak<Conn>>>,
    metrics: Arc<Metrics>,
}

/// One connection, shared by its socket and its calls.
pub(crate) struct Conn {
    house: Arc<House>,
    close: CancellationToken,
    greeted: AtomicBool,
    /// Calls that are open.
    calls: AtomicUsize,
    /// Calls there ever were.
    called: AtomicUsize,
}

/// A call holds it while it is open.
pub(crate) struct Call(Arc<Conn>);

impl House {
    pub(crate) fn new(max: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        let (open, strangers) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Self { max: max.max(1), open, strangers, metrics })
    }

    /// Lets a connection in; `None` where all that are here have greeted.
    fn admit(self: &Arc<Self>) -> Option<Arc<Conn>> {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        if strangers.len() > 2 * self.max {
            strangers.retain(|one| one.upgrade().is_some_and(|conn| !conn.has_greeted()));
        }
        if self.open.load(Ordering::Relaxed) >= self.max {
            let oldest = std::iter::from_fn(|| strangers.pop_front())
                .filter_map(|one| one.upgrade())
                .find(|conn| !conn.has_greeted() && !conn.close.is_cancelled());
            self.metrics.refused("connections");
            oldest?.close();
        }
        let conn = Arc::new(Conn {
            house: Arc::clone(self),
            close: CancellationToken::new(),
            greeted: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
            called: AtomicUsize::new(0),
        });
        self.open.fetch_add(1, Ordering::Relaxed);
        strangers.push_back(Arc::downgrade(&conn));
        Some(conn)
    }
}

impl Conn {
    /// From now on it stays.
    pub(crate) fn greeted(&self) {
        self.greeted.store(true, Ordering::Relaxed);
    }

    fn has_greeted(&self) -> bool {
        self.greeted.load(Ordering::Relaxed)
    }

    /// Closes it at once, whatever is under way.
    pub(crate) fn close(&self) {
        self.close.cancel();
    }

    /// A call begins on it.
    pub(crate) fn call(self: &Arc<Self>) -> Call {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.called.fetch_add(1, Ordering::Relaxed);
        Call(Arc::clone(self))
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.house.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What comes in, without end: an error of one connection, or of the system for a while, is no end.
pub(crate) fn accept(
    listener: TcpListener,
    house: Arc<House>,
) -> impl Stream<Item = io::Result<Guarded<TcpStream>>> + Send {
    futures_util::stream::unfold((listener, house), |(listener, house)| async move {
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => {
                    let Some(conn) = house.admit() else {
                        if FULL.is_first("connections") {
                            tracing::warn!(%peer, "refused: ingest.max_connections agents are connected");
                        }
                        continue;
                    };
                    // Acks are small and wanted at once; without it they only come later.
                    let _later = socket.set_nodelay(true);
                    return Some((Ok(Guarded::new(socket, peer, conn)), (listener, house)));
                }
                Err(error) => {
                    if FULL.is_first("accept") {
                        tracing::warn!(%error, "cannot accept a connection");
                    }
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    })
}

/// A socket that ends when its [`Conn`] is closed, or nobody calls on it.
pub(crate) struct Guarded<S> {
    socket: S,
    peer: SocketAddr,
    conn: Arc<Conn>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    look: Pin<Box<Sleep>>,
    /// Calls there had been at the last look.
    seen: usize,
}

impl<S> Guarded<S> {
    pub(crate) fn new(socket: S, peer: SocketAddr, conn: Arc<Conn>) -> Self {
        let closed = Box::pin(conn.close.clone().cancelled_owned());
        Self { socket, peer, conn, closed, look: Box::pin(tokio::time::sleep(IDLE)), seen: 0 }
    }

    /// Where the other end is.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.closed.as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "it makes room for another one"));
        }
        while self.look.as_mut().poll(cx).is_ready() {
            let called = self.conn.called.load(Ordering::Relaxed);
            if called == self.seen && self.conn.calls.load(Ordering::Relaxed) == 0 {
                self.conn.house.metrics.refused("silent");
                tracing::debug!(peer = %self.peer, "closed: nothing is asked on this connection");
                return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing is asked on this connection"));
            }
            self.seen = called;
            self.look.as_mut().reset(Instant::now() + IDLE);
        }
        Ok(())
    }
}

use std::future::Future as _;

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.socket).poll_read(cx, buf)
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

impl<S> Connected for Guarded<S> {
    type ConnectInfo = Arc<Conn>;

    fn connect_info(&self) -> Arc<Conn> {
        Arc::clone(&self.conn)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn guarded(house: &Arc<House>) -> Option<(Guarded<tokio::io::DuplexStream>, tokio::io::DuplexStream)> {
        let (ours, theirs) = tokio::io::duplex(64);
        Some((Guarded::new(ours, SocketAddr::from(([127, 0, 0, 1], 1)), house.admit()?), theirs))
    }

    /// Scenario: a house for two, with one agent that greeted and strangers that keep coming; then it greets too.
    /// Guarantees: each newcomer takes the place of the oldest stranger; agents stay; among agents alone nobody is let in.
    #[tokio::test(start_paused = true)]
    async fn strangers_make_room() {
        let house = House::new(2, Arc::default());
        let (agent, _peer) = guarded(&house).expect("room");
        agent.conn.greeted();
        let mut last = guarded(&house).expect("room");
        for _ in 0..10 {
            let next = guarded(&house).expect("a stranger goes");
            let error = last.0.read_u8().await.expect_err("closed");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
            last = next;
        }
        assert_eq!(house.open.load(Ordering::Relaxed), 2);
        last.0.conn.greeted();
        assert!(guarded(&house).is_none() && !agent.conn.close.is_cancelled());
    }

    /// Scenario: one connection says nothing, one says a byte now and then, on one a call is open.
    /// Guarantees: the first two are closed after at most two spans of silence, the third stays until its call has ended.
    #[tokio::test(start_paused = true)]
    async fn silence_ends() {
        use tokio::io::AsyncWriteExt;
        let house = House::new(9, Arc::default());
        let begin = Instant::now();
        let (mut silent, _peer) = guarded(&house).expect("room");
        assert_eq!(silent.read_u8().await.expect_err("closed").kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() <= 2 * IDLE);

        let begin = Instant::now();
        let (mut slow, mut peer) = guarded(&house).expect("room");
        let dripping = async {
            while peer.write_u8(0).await.is_ok() {
                tokio::time::sleep(IDLE / 4).await;
            }
        };
        let reading = async { while slow.read_u8().await.is_ok() {} };
        tokio::select! { () = reading => {}, () = dripping => {} }
        assert!(begin.elapsed() <= 2 * IDLE);

        let (mut busy, _peer) = guarded(&house).expect("room");
        let call = busy.conn.call();
        let waited = tokio::time::timeout(10 * IDLE, busy.read_u8()).await;
        assert!(waited.is_err(), "it was closed: {waited:?}");
        drop(call);
        let waited = tokio::time::timeout(3 * IDLE, busy.read_u8()).await.expect("closed in time");
        assert_eq!(waited.expect_err("closed").kind(), io::ErrorKind::TimedOut);
    }
}
