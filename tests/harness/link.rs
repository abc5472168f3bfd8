//! A stretch of network between two processes: a proxy for TCP that can be cut, stalled, slow or narrow.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::capture::{Capture, Tap};

/// How the link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// As fast as the loopback.
    Fine,
    /// Nobody listens, connections are reset.
    Cut,
    /// Nothing moves and nobody is told: what was sent waits, and arrives afterwards.
    Stalled,
    /// Everything arrives so much later, in either direction.
    Slow(Duration),
    /// So many bytes per second pass in either direction.
    Narrow(u32),
}

/// Pieces on their way; with their size the bandwidth-delay product.
const PIECES: usize = 64;
/// Bytes of a piece.
const PIECE: usize = 16 << 10;

/// A running proxy; ends when dropped.
pub struct Link {
    /// Where to connect.
    pub address: SocketAddr,
    weather: watch::Sender<Weather>,
    serving: JoinHandle<()>,
    /// Keeps the port while nobody listens.
    _port: TcpSocket,
}

impl Link {
    /// A link to an address, on a port of its own.
    ///
    /// # Panics
    /// Where loopback gives none.
    pub fn to(target: SocketAddr) -> Self {
        Self::new(target, None)
    }

    /// The same, and what passes is written down.
    ///
    /// # Panics
    /// Where loopback gives no port.
    pub fn watched(target: SocketAddr, capture: &Capture) -> Self {
        Self::new(target, Some(capture.clone()))
    }

    fn new(target: SocketAddr, capture: Option<Capture>) -> Self {
        let port = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("loopback has a free port");
        let address = port.local_addr().expect("a bound socket has an address");
        let listener = socket(address).and_then(|socket| socket.listen(128)).expect("the port is ours");
        let (weather, seen) = watch::channel(Weather::Fine);
        let serving = tokio::spawn(serve(listener, address, target, seen, capture));
        Self { address, weather, serving, _port: port }
    }

    /// From now on.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Bound, and the port can be bound again beside it.
pub(crate) fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    target: SocketAddr,
    mut weather: watch::Receiver<Weather>,
    capture: Option<Capture>,
) {
    let mut listener = Some(listener);
    loop {
        let now = *weather.borrow_and_update();
        match (&listener, now) {
            (Some(_), Weather::Cut) => listener = None,
            (None, Weather::Cut) => {
                if weather.changed().await.is_err() {
                    return;
                }
            }
            (None, _) => listener = socket(address).and_then(|socket| socket.listen(128)).ok(),
            (Some(door), _) => tokio::select! {
                changed = weather.changed() => if changed.is_err() { return },
                accepted = door.accept() => {
                    let Ok((client, _)) = accepted else { continue };
                    let tap = capture.as_ref().map(Capture::tap);
                    tokio::spawn(connection(client, target, weather.clone(), tap));
                }
            },
        }
    }
}

async fn connection(
    client: TcpStream,
    target: SocketAddr,
    weather: watch::Receiver<Weather>,
    tap: Option<Tap>,
) {
    let Ok(server) = TcpStream::connect(target).await else { return abort(&client) };
    for stream in [&client, &server] {
        // A proxy must not add delays of its own.
        let _unsupported = stream.set_nodelay(true);
        abort(stream);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = weather.clone();
    let sent = |piece: &[u8]| tap.iter().for_each(|tap| tap.sent(piece));
    let given = |piece: &[u8]| tap.iter().for_each(|tap| tap.given(piece));
    let gone = || tap.iter().for_each(Tap::ended);
    tokio::select! {
        _ = cut.wait_for(|now| *now == Weather::Cut) => {}
        _ = async { tokio::join!(
            way(from_client, to_server, weather.clone(), sent, |_| {}, gone),
            way(from_server, to_client, weather.clone(), |_| {}, given, || {}),
        ) } => {}
    }
    gone();
}

/// Closing it is from now on a reset.
pub(crate) fn abort(stream: &TcpStream) {
    let _unsupported = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// One direction, until its end or an error, which the other side then sees.
/// `read` is told of what came, `written` of what went on, `ended` when nothing more comes.
async fn way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    read: impl Fn(&[u8]),
    written: impl Fn(&[u8]),
    ended: impl Fn(),
) {
    let (pieces, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    let seen = weather.clone();
    let reading = async move {
        let mut buffer = vec![0; PIECE];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            read(&buffer[..n]);
            let due = match *seen.borrow() {
                Weather::Slow(delay) => Instant::now() + delay,
                _ => Instant::now(),
            };
            if pieces.send((due, buffer[..n].to_vec())).await.is_err() {
                return;
            }
        }
        ended();
    };
    let writing = async move {
        while let Some((due, piece)) = arriving.recv().await {
            sleep_until(due).await;
            if weather.wait_for(|now| *now != Weather::Stalled).await.is_err() {
                return;
            }
            if to.write_all(&piece).await.is_err() {
                return;
            }
            written(&piece);
            let now = *weather.borrow();
            if let Weather::Narrow(rate) = now {
                sleep(Duration::from_secs_f64(piece.len() as f64 / f64::from(rate.max(1)))).await;
            }
        }
        // The other side may have gone before.
        let _gone = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);

    /// A server that echoes.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn ask(stream: &mut TcpStream) -> io::Result<[u8; 4]> {
        stream.write_all(b"ping").await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    /// Scenario: a link in every weather.
    /// Guarantees: a stalled one keeps what was sent, a slow one takes its time both ways, a cut one resets and refuses,
    /// and afterwards the same address works again.
    #[tokio::test]
    async fn every_weather() {
        let link = Link::to(echo().await);
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(ask(&mut stream).await.unwrap(), *b"ping");

        link.set(Weather::Stalled);
        stream.write_all(b"wait").await.unwrap();
        let mut answer = [0; 4];
        assert!(timeout(SHORT, stream.read_exact(&mut answer)).await.is_err());
        link.set(Weather::Fine);
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, *b"wait");

        link.set(Weather::Slow(SHORT));
        let begin = Instant::now();
        ask(&mut stream).await.unwrap();
        assert!(begin.elapsed() >= 2 * SHORT, "{:?}", begin.elapsed());

        link.set(Weather::Cut);
        let broken = timeout(Duration::from_secs(5), ask(&mut stream)).await.unwrap();
        assert!(broken.is_err(), "{broken:?}");
        // The door may close a moment after the connections.
        let refused = async {
            while let Ok(mut stream) = TcpStream::connect(link.address).await {
                assert!(ask(&mut stream).await.is_err());
            }
        };
        timeout(Duration::from_secs(5), refused).await.unwrap();

        link.set(Weather::Narrow(1 << 20));
        let again = async {
            loop {
                if let Ok(mut stream) = TcpStream::connect(link.address).await {
                    return ask(&mut stream).await;
                }
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(timeout(Duration::from_secs(5), again).await.unwrap().unwrap(), *b"ping");
    }
}
