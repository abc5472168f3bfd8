//! One socket: raw ICMP, ping (unprivileged ICMP) or UDP, with kernel timestamps.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, ipproto, socket_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::api::{Labels, Probe, Way};
use super::control::{self, ADDRESS, Control};
use super::crafted::{self, Craft};
use super::extension;
use super::filter;
use super::packet::{self, Fault, Heard};
use super::slots::Incoming;
use super::sys;

/// linux/icmp.h and linux/icmpv6.h: the option that holds the mask of blocked ICMP types.
const ICMP_FILTER: i32 = 1;
const ICMPV6_FILTER: i32 = 1;
const SOL_RAW: i32 = 255;

/// Where UDP probes go: the port at which traceroute has begun since 1988, and where nothing listens.
const UDP_PORT: u16 = 33434;

/// Send calls whose stamps may still be under way; the kernel has them within microseconds.
const STAMPS: usize = 1024;

/// The longest packet that is read: errors quote at most 576 (IPv4) or 1280 (IPv6) bytes; of a longer reply the
/// beginning is enough.
const PACKET: usize = 2048;

/// What kind of socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `SOCK_RAW`: needs CAP_NET_RAW, hears all ICMP of the network namespace.
    Raw,
    /// `SOCK_DGRAM` with ICMP: for groups in net.ipv4.ping_group_range; errors come by the error queue.
    Ping,
    /// UDP to a port where nobody listens; all answers come by the error queue.
    Udp,
    /// Sends UDP and TCP probes whole; their errors come to the raw ICMP socket.
    Crafted,
    /// Hears the TCP segments that answer our SYNs.
    Tcp,
}

/// An open socket.
pub(super) struct Socket {
    fd: AsyncFd<OwnedFd>,
    kind: Kind,
    v6: bool,
    /// The ICMP id: random, or the kernel's choice for a ping socket.
    id: u16,
    /// Since they were last taken.
    sent: usize,
    /// Send calls so far: the number under which the kernel reports a stamp.
    calls: u32,
    /// Send call (by remainder) to sequence number.
    sequences: Box<[(u32, u16)]>,
    packet: Vec<u8>,
    control: Vec<u8>,
    /// Datagrams dropped for want of room, as the kernel last told.
    dropped: AtomicU32,
}

/// The two queues of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// Packets.
    Data,
    /// Send stamps, and on ping and UDP sockets ICMP errors.
    Errors,
}

/// How to look into a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// As tokio says that there is something; finding it empty has tokio wait again.
    Ready,
    /// Whatever tokio says: it learns of new packets only when its reactor gets to run.
    Now,
}

/// What a receive call brought.
pub(super) enum Received {
    /// An answer.
    Incoming(Incoming),
    /// The time at which a probe left.
    Stamp {
        /// Of the probe.
        sequence: u16,
        /// Nanoseconds since 1970.
        stamp_ns: i64,
    },
    /// Something else.
    Foreign,
}

impl Socket {
    /// Opens a socket. `buffer` in bytes, for each direction; the system may grant less.
    pub(super) fn open(kind: Kind, v6: bool, buffer: usize) -> io::Result<Self> {
        let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
        let (sort, protocol) = match (kind, v6) {
            (Kind::Raw, false) => (SocketType::RAW, Some(ipproto::ICMP)),
            (Kind::Raw, true) => (SocketType::RAW, Some(ipproto::ICMPV6)),
            (Kind::Ping, false) => (SocketType::DGRAM, Some(ipproto::ICMP)),
            (Kind::Ping, true) => (SocketType::DGRAM, Some(ipproto::ICMPV6)),
            (Kind::Udp, _) => (SocketType::DGRAM, None),
            (Kind::Crafted, _) => (SocketType::RAW, Some(ipproto::RAW)),
            (Kind::Tcp, _) => (SocketType::RAW, Some(ipproto::TCP)),
        };
        let fd = socket_with(family, sort, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, protocol)?;
        let mut id = rand::random();
        if matches!(kind, Kind::Ping | Kind::Udp) {
            let any: IpAddr = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
            bind(&fd, &SocketAddr::new(any, 0))?;
            let name: SocketAddr = getsockname(&fd)?.try_into().map_err(io::Error::from)?;
            if kind == Kind::Ping {
                id = name.port();
            }
        }
        configure(&fd, kind, v6, buffer)?;
        if kind == Kind::Raw
            && let Err(error) = attach(&fd, &filter::echoes(v6, id))
        {
            // What it would have kept away is read, and found to be foreign.
            tracing::debug!(%error, "no packet filter on a probe socket");
        }
        Ok(Self {
            fd: sys::watch(fd, interest(kind))?,
            kind,
            v6,
            id,
            sent: 0,
            calls: 0,
            sequences: vec![(0, 0); STAMPS].into(),
            packet: Vec::new(),
            control: Vec::new(),
            dropped: AtomicU32::new(0),
        })
    }

    /// Sends a probe. After a failure the send stamps that are there are to be read, then [`Socket::renumber`] is to be
    /// called.
    pub(super) fn send(&mut self, probe: &Probe, sequence: u16, token: u64) -> io::Result<()> {
        let Probe { dest, ttl, tos, size, source, way, .. } = *probe;
        let Way::Echo { flow } = way else { return self.send_crafted(probe, sequence, token) };
        let checksum = packet::flow_of(dest).wrapping_add(u16::from(flow).wrapping_mul(0x1f31));
        packet::build(self.v6, self.id, sequence, token, checksum, size, &mut self.packet);
        self.control.clear();
        let (level, hops, class) = if self.v6 {
            (libc::SOL_IPV6, libc::IPV6_HOPLIMIT, libc::IPV6_TCLASS)
        } else {
            (libc::SOL_IP, libc::IP_TTL, libc::IP_TOS)
        };
        if let Some(ttl) = ttl {
            control::put_int(&mut self.control, level, hops, ttl.into());
        }
        if tos != 0 {
            control::put_int(&mut self.control, level, class, tos.into());
        }
        if let Some(source) = source {
            control::put_source(&mut self.control, dest, source)?;
        }
        let port = if self.kind == Kind::Udp { UDP_PORT } else { 0 };
        self.transmit(SocketAddr::new(dest, port), sequence)
    }

    fn send_crafted(&mut self, probe: &Probe, sequence: u16, token: u64) -> io::Result<()> {
        let Probe { dest, way, size, ttl, tos, source, .. } = *probe;
        let ttl = ttl.unwrap_or(64);
        let source = source.map_or_else(|| source_of(dest), Ok)?;
        let craft = Craft { source, dest, way, sequence, token, size, ttl, tos };
        crafted::build(&craft, &mut self.packet);
        self.control.clear();
        // The port of a raw socket's address is a protocol, or 0 (net/ipv6/raw.c).
        self.transmit(SocketAddr::new(dest, 0), sequence)
    }

    fn transmit(&mut self, to: SocketAddr, sequence: u16) -> io::Result<()> {
        let (name, len) = control::put_address(to);
        sys::send(self.fd.as_fd(), &name[..len], &self.packet, &self.control)?;
        self.sequences[self.calls as usize % STAMPS] = (self.calls, sequence);
        self.calls = self.calls.wrapping_add(1);
        self.sent += 1;
        Ok(())
    }

    /// Numbers the send calls from 0 on: whether the kernel has counted a failed one depends on where it failed. Stamps of
    /// earlier calls that have not been read are lost.
    pub(super) fn renumber(&mut self) {
        self.calls = 0;
        self.sequences.fill((u32::MAX, 0));
        let _unsupported = timestamps(&self.fd, false).and_then(|()| timestamps(&self.fd, true));
    }

    /// Waits until there may be something to receive.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.fd.ready(interest(self.kind)).await?.retain_ready();
        Ok(())
    }

    /// How many were sent since the last call: so many stamps there are to read.
    pub(super) fn take_sent(&mut self) -> usize {
        std::mem::take(&mut self.sent)
    }

    /// Whether it is one of IPv6.
    pub(super) fn is_v6(&self) -> bool {
        self.v6
    }

    /// Whether answers come by the error queue, too.
    pub(super) fn answers_by_errors(&self) -> bool {
        matches!(self.kind, Kind::Ping | Kind::Udp)
    }

    /// Receives from a queue, and tells how many packets were dropped for want of room since the last time; `None` when
    /// it is empty.
    pub(super) fn receive(&self, queue: Queue, look: Look) -> io::Result<Option<(Received, u64)>> {
        let (mut data, mut name, mut control) = ([0; PACKET], [0; ADDRESS], [0; 512]);
        let errors = queue == Queue::Errors;
        let mut call = |fd: &OwnedFd| sys::receive(fd.as_fd(), errors, &mut data, &mut name, &mut control);
        let result = match (look, queue) {
            (Look::Now, _) => call(self.fd.get_ref()),
            (Look::Ready, Queue::Data) => self.fd.try_io(Interest::READABLE, call),
            (Look::Ready, Queue::Errors) => self.fd.try_io(Interest::ERROR, call),
        };
        let filled = match result {
            Ok(filled) => filled,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
        };
        let told = control::parse(&control[..filled.control]);
        let from = control::address(&name[..filled.name]).map(|address| address.ip());
        let data = &data[..filled.data];
        let received = if errors { self.read_error(data, from, &told) } else { self.read(data, from, &told) };
        // The kernel's count begins at 0 with the socket and wraps.
        let overflow =
            told.overflow.map_or(0, |now| now.wrapping_sub(self.dropped.swap(now, Ordering::Relaxed)));
        Ok(Some((received.unwrap_or(Received::Foreign), overflow.into())))
    }

    fn read(&self, data: &[u8], from: Option<IpAddr>, told: &Control) -> Option<Received> {
        let (body, ttl) = match (self.kind, self.v6) {
            (Kind::Raw | Kind::Tcp, false) => packet::ipv4_body(data).map(|(body, ttl)| (body, Some(ttl)))?,
            (Kind::Udp | Kind::Crafted, _) => return None,
            _ => (data, told.hop_limit),
        };
        let (heard, udp) = match self.kind {
            Kind::Tcp => (crafted::parse_tcp(body)?, false),
            _ => match packet::parse_icmp(self.v6, body) {
                Some(heard) => (heard, false),
                None => (crafted::parse_error(self.v6, body)?, true),
            },
        };
        let (Heard::Reply(echo) | Heard::Error { echo: Some(echo), .. }) = heard else { return None };
        (udp || self.kind == Kind::Tcp || echo.id == self.id).then_some(())?;
        let labels = match heard {
            Heard::Error { .. } => extension::labels(self.v6, body),
            Heard::Reply(_) => Labels::default(),
        };
        Some(Received::Incoming(Incoming { from: from?, heard, ttl, stamp_ns: told.stamp, labels, udp }))
    }

    /// `from` of an entry in the error queue is where the probe went.
    fn read_error(&self, data: &[u8], from: Option<IpAddr>, told: &Control) -> Option<Received> {
        let error = told.error?;
        match error.origin {
            libc::SO_EE_ORIGIN_TIMESTAMPING => {
                let (call, sequence) = self.sequences[error.data as usize % STAMPS];
                (call == error.data).then_some(Received::Stamp { sequence, stamp_ns: told.stamp? })
            }
            libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => {
                let fault = Fault::new(self.v6, error.kind, error.code)?;
                let echo = packet::parse_quoted(self.v6, data);
                if echo.is_some_and(|echo| echo.id != self.id) || (echo.is_none() && self.kind == Kind::Ping)
                {
                    return None;
                }
                Some(Received::Incoming(Incoming {
                    from: error.offender?,
                    heard: Heard::Error { fault, dest: from, echo },
                    ttl: told.hop_limit,
                    stamp_ns: told.stamp,
                    labels: Labels::default(),
                    udp: self.kind == Kind::Udp,
                }))
            }
            _ => None,
        }
    }
}

fn interest(kind: Kind) -> Interest {
    match kind {
        Kind::Ping | Kind::Udp => Interest::READABLE | Interest::ERROR,
        Kind::Raw | Kind::Crafted | Kind::Tcp => Interest::READABLE,
    }
}

/// The address from which the kernel sends to `dest`: a checksum needs it. Sends nothing.
fn source_of(dest: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr =
        if dest.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(SocketAddr::new(dest, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// Has the kernel drop what a filter does not want (`struct sock_fprog`: the number of instructions and where they
/// are); it takes a copy.
fn attach(fd: &OwnedFd, program: &[[u8; 8]]) -> io::Result<()> {
    const WORD: usize = size_of::<usize>();
    let mut value = [0; 2 * WORD];
    value[..2].copy_from_slice(&(program.len() as u16).to_ne_bytes());
    value[WORD..].copy_from_slice(&program.as_ptr().expose_provenance().to_ne_bytes());
    sys::set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &value)
}

fn configure(fd: &OwnedFd, kind: Kind, v6: bool, buffer: usize) -> io::Result<()> {
    let on = 1_i32.to_ne_bytes();
    let bytes = i32::try_from(buffer).unwrap_or(i32::MAX).to_ne_bytes();
    // With CAP_NET_ADMIN beyond net.core.rmem_max, else up to it. The send buffer, too: packets to neighbours that do
    // not answer lie in it for seconds, and keep back those to the others where it is small (SendError::is_own_limit).
    for (forced, plain) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
    {
        sys::set_option(fd.as_fd(), libc::SOL_SOCKET, forced, &bytes)
            .or_else(|_| sys::set_option(fd.as_fd(), libc::SOL_SOCKET, plain, &bytes))?;
    }
    sys::set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &on)?;
    if let Err(error) = timestamps(fd, true) {
        tracing::warn!(%error, "no kernel timestamps on probe sockets: round trips include this machine's scheduling");
    }
    let (level, hops, errors) = if v6 {
        (libc::SOL_IPV6, libc::IPV6_RECVHOPLIMIT, libc::IPV6_RECVERR)
    } else {
        (libc::SOL_IP, libc::IP_RECVTTL, libc::IP_RECVERR)
    };
    sys::set_option(fd.as_fd(), level, hops, &on)?;
    match kind {
        Kind::Raw => {}
        Kind::Ping | Kind::Udp => return sys::set_option(fd.as_fd(), level, errors, &on),
        Kind::Crafted => return Ok(()),
        Kind::Tcp => return attach(fd, &crafted::filter(v6)),
    }
    // A set bit blocks a type: all but echo reply, unreachable and time exceeded.
    if v6 {
        let mut mask = [u32::MAX; 8];
        for kind in [129_usize, 1, 3] {
            mask[kind / 32] &= !(1 << (kind % 32));
        }
        let bytes: Vec<u8> = mask.iter().flat_map(|word| word.to_ne_bytes()).collect();
        sys::set_option(fd.as_fd(), libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &bytes)
    } else {
        let mask = !(1_u32 | 1 << 3 | 1 << 11);
        sys::set_option(fd.as_fd(), SOL_RAW, ICMP_FILTER, &mask.to_ne_bytes())
    }
}

/// Send stamps come by the error queue with the number of the send call; receive stamps with the packet
/// (Documentation/networking/timestamping.rst). Switching the numbers on sets them to 0; receive stamps stay on, since the
/// kernel takes a moment to begin with them again.
fn timestamps(fd: &impl AsFd, numbered: bool) -> io::Result<()> {
    let received = libc::SOF_TIMESTAMPING_RX_SOFTWARE | libc::SOF_TIMESTAMPING_SOFTWARE;
    let sent = libc::SOF_TIMESTAMPING_TX_SOFTWARE
        | libc::SOF_TIMESTAMPING_OPT_ID
        | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    let value = if numbered { received | sent } else { received };
    sys::set_option(fd.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &value.to_ne_bytes())
}
