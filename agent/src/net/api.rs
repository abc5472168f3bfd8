//! What a source sees of the prober: probes, reports and modes.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;

/// One packet to send.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Where to.
    pub dest: IpAddr,
    /// Hops that it may take; `None` for the system's default. With a value, an answer may be [`Outcome::Expired`].
    pub ttl: Option<u8>,
    /// Type of service (IPv4) or traffic class (IPv6).
    pub tos: u8,
    /// Payload bytes behind the ICMP header; fewer than the prober's own mark are rounded up to it.
    pub size: u16,
    /// Address to send from, one of this machine's; `None` for the system's choice.
    pub source: Option<IpAddr>,
    /// How long an answer counts.
    pub timeout: Duration,
    /// The client's own number for it, given back in the report.
    pub key: u64,
    /// What kind of packet, and of which flow.
    pub way: Way,
}

/// What kind of packet a probe is, and which of the flows to its destination it belongs to. Routers that share load
/// send all packets of a flow one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// ICMP echo (UDP where ICMP is denied); flow 0 is that of all probes that name none.
    Echo {
        /// Its number.
        flow: u8,
    },
    /// UDP; the destination answers with "port unreachable". Needs mode `raw`.
    Udp {
        /// Its number.
        flow: u8,
        /// Destination port.
        port: u16,
    },
    /// A TCP SYN; accepted or refused, the destination answers. Needs mode `raw`.
    Tcp {
        /// Its number.
        flow: u8,
        /// Destination port.
        port: u16,
    },
}

impl Default for Way {
    fn default() -> Self {
        Self::Echo { flow: 0 }
    }
}

/// One MPLS label (RFC 3032).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// 20 bits.
    pub label: u32,
    /// Traffic class.
    pub tc: u8,
    /// Bottom of the stack.
    pub bottom: bool,
    /// TTL with which the packet came in.
    pub ttl: u8,
}

/// The labels with which a packet came to a router, outermost first; of a deep stack the first eight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    entries: [u32; 8],
    count: u8,
}

impl Labels {
    /// Adds an entry as it stands in the packet (RFC 3032); none beyond the eighth.
    pub fn push(&mut self, entry: u32) {
        if let Some(place) = self.entries.get_mut(usize::from(self.count)) {
            *place = entry;
            self.count += 1;
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each label.
    pub fn iter(&self) -> impl Iterator<Item = Label> {
        self.entries.into_iter().take(self.count.into()).map(|entry| Label {
            label: entry >> 12,
            tc: (entry >> 9 & 7) as u8,
            bottom: entry >> 8 & 1 == 1,
            ttl: entry as u8,
        })
    }
}

impl Probe {
    /// One with 56 bytes of payload, as every ping has, and two seconds for its answer; the rest is the system's choice.
    pub fn to(dest: IpAddr) -> Self {
        let timeout = Duration::from_secs(2);
        Self { dest, ttl: None, tos: 0, size: 56, source: None, timeout, key: 0, way: Way::default() }
    }
}

/// What became of a probe.
#[derive(Debug)]
pub struct Report {
    /// [`Probe::key`].
    pub key: u64,
    /// See [`Outcome`].
    pub outcome: Outcome,
    /// How far this process was behind the kernel: from handing the probe over to its send stamp, or from the answer's
    /// receive stamp to its being read, the longer one. `None` where one of the stamps is missing.
    pub gap: Option<Duration>,
}

/// All but [`Outcome::Duplicate`] are final: each probe gets exactly one of those.
#[derive(Debug)]
pub enum Outcome {
    /// The destination answered.
    Reply {
        /// Send to receive, by the kernel's stamps where it gives them.
        rtt: Duration,
        /// TTL or hop limit with which the answer came in, where the socket tells it.
        ttl: Option<u8>,
    },
    /// A router dropped the probe because its TTL ran out (ICMP time exceeded).
    Expired {
        /// The router.
        from: IpAddr,
        /// Send to receive.
        rtt: Duration,
        /// MPLS labels with which the probe came to it, where it tells them.
        labels: Labels,
    },
    /// A router or the destination refused the probe (ICMP destination unreachable).
    Unreachable {
        /// Who said so.
        from: IpAddr,
        /// The ICMP code (RFC 792, RFC 4443).
        code: u8,
        /// Send to receive.
        rtt: Duration,
    },
    /// No answer within [`Probe::timeout`].
    Timeout,
    /// It never left this machine.
    NotSent(SendError),
    /// One more answer to a probe that has had its own. Not final, and left out when the client is behind.
    Duplicate,
}

/// Why a probe could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The system refused it.
    #[error("cannot send a probe to {dest}: {source}")]
    Io {
        /// Where to.
        dest: IpAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no socket for that address family.
    #[error("cannot send a probe to {0}: no socket for its address family could be opened")]
    NoSocket(IpAddr),
    /// UDP and TCP probes, and flows, are packets that only raw sockets send.
    #[error("cannot send a UDP or TCP probe to {0}: that needs raw sockets (net.mode raw, CAP_NET_RAW)")]
    NeedsRaw(IpAddr),
    /// All sequence numbers are under way, or all connects that may be.
    #[error("cannot send a probe to {0}: too many probes wait for an answer")]
    Full(IpAddr),
}

impl SendError {
    /// Whether it says something of this process alone: no more room, whoever would have been asked.
    pub fn is_own_limit(&self) -> bool {
        match self {
            Self::Full(_) => true,
            Self::Io { source, .. } => is_own_limit(source),
            Self::NoSocket(_) | Self::NeedsRaw(_) => false,
        }
    }
}

/// Whether the system has no more room for this process: descriptors, memory, ports, or a send buffer. Packets to
/// neighbours that do not answer lie in that for seconds, where the system does not grant a large one.
pub(crate) fn is_own_limit(error: &io::Error) -> bool {
    const LIMITS: [i32; 5] = [libc::ENOBUFS, libc::ENOMEM, libc::EAGAIN, libc::EMFILE, libc::ENFILE];
    error.raw_os_error().is_some_and(|code| LIMITS.contains(&code))
}

/// How round trips are measured. Ordered from best to least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// ICMP echo on a raw socket.
    Raw,
    /// ICMP echo on an unprivileged ping socket.
    Ping,
    /// TCP connects for round trips, UDP for paths.
    Connect,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Ping => "ping",
            Self::Connect => "connect",
        })
    }
}

/// What the machine allows, for people.
#[derive(Clone, Debug)]
pub struct Capability {
    /// The mode in use.
    pub mode: Mode,
    /// One sentence: what is measured how, and why not better.
    pub sentence: String,
    /// The one command that would allow more; `None` where nothing is missing.
    pub command: Option<String>,
}

/// Answers and failures that belong to no report, counted since the start.
#[derive(Debug, Default)]
pub struct Counted {
    /// Answers that came after their probe had timed out.
    pub late: AtomicU64,
    /// More answers than probes.
    pub duplicates: AtomicU64,
    /// Packets that answer nothing we sent: other programs' pings, wrong sender or token, nonsense.
    pub foreign: AtomicU64,
    /// Failed receive calls.
    pub receive_errors: AtomicU64,
    /// Packets that sockets of IPv4 and of IPv6 dropped because the receive buffer was full. The kernel counts ICMPv6 with
    /// a wrong checksum among them, whoever sent it (net/ipv6/raw.c, `rawv6_rcv`).
    pub overflow: [AtomicU64; 2],
    /// Answers during whose way the wall clock was set: timed by the monotonic clock instead of the kernel's stamps.
    pub clock_steps: AtomicU64,
}

impl Counted {
    /// (name, value) of each, for metrics.
    pub fn snapshot(&self) -> [(&'static str, u64); 6] {
        [
            ("late", self.late.load(Ordering::Relaxed)),
            ("duplicate", self.duplicates.load(Ordering::Relaxed)),
            ("foreign", self.foreign.load(Ordering::Relaxed)),
            ("receive_error", self.receive_errors.load(Ordering::Relaxed)),
            ("overflow", self.dropped().iter().sum()),
            ("clock_step", self.clock_steps.load(Ordering::Relaxed)),
        ]
    }

    /// [`Counted::overflow`] so far.
    pub fn dropped(&self) -> [u64; 2] {
        self.overflow.each_ref().map(|counter| counter.load(Ordering::Relaxed))
    }

    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
