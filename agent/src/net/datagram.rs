//! A UDP socket that says when the kernel received each datagram, and never splits one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::control::{self, ADDRESS, Control};
use super::sys;

/// linux/in.h and linux/in6.h: packets are sent whole or not at all, whatever size the kernel believes in.
const PMTUDISC_PROBE: i32 = 3;

/// A bound socket. IPv6 ones take IPv4, too, where they are bound to no address.
pub struct Datagram {
    fd: AsyncFd<OwnedFd>,
    local: SocketAddr,
}

/// What came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Bytes of it in the buffer.
    pub len: usize,
    /// Who sent it; an IPv4 address as such.
    pub from: SocketAddr,
    /// The address of this machine that it was sent to, where the kernel tells.
    pub to: Option<IpAddr>,
    /// For how long it had lain in the socket when it was read, nanoseconds; 0 where the kernel gives no stamps.
    pub waited_ns: i64,
}

impl Datagram {
    /// Opens and binds one. To be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the system refuses: the address is taken or unknown, or the family is switched off.
    pub fn bind(local: SocketAddr) -> io::Result<Self> {
        let family = if local.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let fd = socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        let on = |level, name, value: i32| sys::set_option(fd.as_fd(), level, name, &value.to_ne_bytes());
        if local.is_ipv6() {
            on(libc::SOL_IPV6, libc::IPV6_V6ONLY, 0)?;
            on(libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, PMTUDISC_PROBE)?;
            on(libc::SOL_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        } else {
            on(libc::SOL_IP, libc::IP_PKTINFO, 1)?;
        }
        on(libc::SOL_IP, libc::IP_MTU_DISCOVER, PMTUDISC_PROBE)?;
        let stamps = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
        // Where there are none, the stamps are those of reading.
        let _unsupported = on(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, stamps as i32);
        bind(&fd, &local)?;
        let local = getsockname(&fd)?.try_into().map_err(io::Error::from)?;
        Ok(Self { fd: sys::watch(fd, Interest::READABLE)?, local })
    }

    /// Where it is bound.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sends at once or not at all.
    ///
    /// # Errors
    /// `EMSGSIZE` where it is larger than the interface takes, `WouldBlock` where the send buffer is full, and whatever
    /// else the system has against it.
    pub fn send(&self, to: SocketAddr, data: &[u8]) -> io::Result<()> {
        self.send_from(None, to, data)
    }

    /// Sends back to where something came from, from the address that it was sent to: of several, the system would choose
    /// one, and the asker or a firewall there would not know it.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn reply(&self, arrival: &Arrival, data: &[u8]) -> io::Result<()> {
        self.send_from(arrival.to, arrival.from, data)
    }

    fn send_from(&self, source: Option<IpAddr>, to: SocketAddr, data: &[u8]) -> io::Result<()> {
        let as_bound = |ip: IpAddr| match (self.local, ip) {
            (SocketAddr::V6(_), IpAddr::V4(v4)) => v4.to_ipv6_mapped().into(),
            _ => ip,
        };
        let mut told = Vec::new();
        if let Some(source) = source {
            control::put_source(&mut told, as_bound(to.ip()), as_bound(source))?;
        }
        let (name, len) = control::put_address(SocketAddr::new(as_bound(to.ip()), to.port()));
        sys::send(self.fd.get_ref().as_fd(), &name[..len], data, &told)
    }

    /// Waits for the next one; of a longer one than the buffer the beginning.
    ///
    /// # Errors
    /// What the system says; the next call may succeed.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<Arrival> {
        self.fd
            .async_io(Interest::READABLE, |fd| {
                let (mut name, mut told) = ([0; ADDRESS], [0; 128]);
                let filled = sys::receive(fd.as_fd(), false, buffer, &mut name, &mut told)?;
                let now_ns = ao_common::clock::kernel_ns();
                let Control { stamp: stamp_ns, local: to, .. } = control::parse(&told[..filled.control]);
                let from = control::address(&name[..filled.name])
                    .ok_or_else(|| io::Error::other("a datagram from an unknown kind of address"))?;
                Ok(Arrival {
                    len: filled.data,
                    from: SocketAddr::new(from.ip().to_canonical(), from.port()),
                    to,
                    // The system's clock may have been set in between.
                    waited_ns: stamp_ns.map_or(0, |stamp| now_ns.saturating_sub(stamp).clamp(0, MAX_WAIT_NS)),
                })
            })
            .await
    }
}

/// Nothing lies in a socket that is being read for longer.
const MAX_WAIT_NS: i64 = 1_000_000_000;

/// The address from which this machine sends to another one; nothing is sent to find out.
///
/// # Errors
/// Where there is no route.
pub fn source_towards(to: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv6() {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

/// A socket of tokio's that talks to `to` alone. To be called within a tokio runtime.
///
/// # Errors
/// What the system has against the addresses.
pub async fn connect_udp(to: SocketAddr, source: Option<IpAddr>) -> io::Result<tokio::net::UdpSocket> {
    let any = if to.is_ipv4() {
        IpAddr::from(std::net::Ipv4Addr::UNSPECIFIED)
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = tokio::net::UdpSocket::bind(SocketAddr::new(source.unwrap_or(any), 0)).await?;
    socket.connect(to).await?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::*;

    /// Scenario: a datagram over loopback that is read some time after it came; one that is too large for any interface.
    /// Guarantees: it comes whole, from whom it came, and says how long it lay; the large one is refused at once.
    #[tokio::test]
    async fn there_and_how_long_ago() {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (a, b) = (Datagram::bind(here).unwrap(), Datagram::bind(here).unwrap());
        let mut buffer = [0; 100];
        // The kernel begins to stamp a moment after it was first asked to.
        let mut stamped = false;
        for _ in 0..100 {
            a.send(b.local(), b"hello").unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            let arrival = b.receive(&mut buffer).await.unwrap();
            assert_eq!((&buffer[..arrival.len], arrival.from), (&b"hello"[..], a.local()));
            stamped = arrival.waited_ns != 0;
            if stamped {
                assert!(arrival.waited_ns >= 19_000_000, "{arrival:?}");
                break;
            }
        }
        assert!(stamped, "the kernel gives stamps");
        let refused = a.send(b.local(), &vec![0; 65_530]).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EMSGSIZE));
        assert_eq!(source_towards(b.local()).unwrap(), Ipv4Addr::LOCALHOST);
    }

    /// Scenario: sockets of either family that are bound to no address are asked at one that no route would choose.
    /// Guarantees: they say at which, and reply from it.
    #[tokio::test]
    async fn from_where_it_was_asked() {
        let asked: IpAddr = [127, 0, 0, 5].into();
        let asker = Datagram::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let mut buffer = [0; 9];
        for any in [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()] {
            // A machine may have no IPv6.
            let Ok(there) = Datagram::bind(SocketAddr::new(any, 0)) else { continue };
            let to = SocketAddr::new(asked, there.local().port());
            asker.send(to, b"?").unwrap();
            let arrival = there.receive(&mut buffer).await.unwrap();
            assert_eq!((arrival.from, arrival.to), (asker.local(), Some(asked)), "{any}");
            there.reply(&arrival, b"!").unwrap();
            assert_eq!(asker.receive(&mut buffer).await.unwrap().from, to, "{any}");
        }
        let here = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        if let (Ok(a), Ok(b)) = (Datagram::bind(here), Datagram::bind(here)) {
            a.send(b.local(), b"?").unwrap();
            let arrival = b.receive(&mut buffer).await.unwrap();
            b.reply(&arrival, b"!").unwrap();
            assert_eq!(a.receive(&mut buffer).await.unwrap().from, b.local());
        }
    }
}
