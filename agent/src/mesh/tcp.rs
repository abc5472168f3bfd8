//! What TCP itself has seen on the way to the peers: segments sent again, on connections of this network namespace that
//! applications hold, from the kernel by netlink (sock_diag(7)). No packet is sent for it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rustix::net::{AddressFamily, ipproto, netlink as protocols};
use tokio::sync::watch;

use crate::netlink::{self, u32_at};
use crate::rounds::Complaint;

/// `SOCK_DIAG_BY_FAMILY` (include/uapi/linux/sock_diag.h).
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `struct inet_diag_req_v2`: which extensions are wanted, and the mask of states (include/uapi/linux/inet_diag.h).
const REQUEST_BYTES: usize = 56;
const REQUEST_EXTENSIONS: usize = 2;
const REQUEST_STATES: usize = 4;
const INET_DIAG_INFO: u16 = 2;
const ESTABLISHED: u32 = 1 << 1;
/// `struct inet_diag_msg`.
const MESSAGE_BYTES: usize = 72;
const MESSAGE_PEER: usize = 24;
const MESSAGE_COOKIE: usize = 44;
/// `struct tcp_info` (include/uapi/linux/tcp.h).
const INFO_RTT: usize = 68;
const INFO_TOTAL_RETRANS: usize = 100;
const INFO_SEGS_OUT: usize = 136;

/// What is counted towards one peer. The counters go on when connections end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Towards {
    /// Established ones.
    pub(super) connections: u64,
    /// Segments sent, and among them those sent again.
    pub(super) sent: u64,
    pub(super) again: u64,
    /// The least smoothed round trip of all connections.
    pub(super) rtt: Option<Duration>,
}

/// One connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    /// The kernel's number of the socket, never used again.
    cookie: u64,
    peer: IpAddr,
    sent: u32,
    again: u32,
    rtt_us: u32,
}

/// All connections to peers, and what they sum up to.
#[derive(Debug, Default)]
struct Watch {
    /// (sent, again) by cookie at the last look.
    seen: HashMap<u64, (u32, u32)>,
    towards: HashMap<IpAddr, Towards>,
    buffer: Vec<u8>,
}

impl Watch {
    /// Looks at all connections to peers. Blocking, milliseconds with thousands of connections.
    ///
    /// # Errors
    /// Where the kernel has no sock_diag, or denies it.
    fn look(&mut self, is_peer: impl Fn(IpAddr) -> bool) -> io::Result<()> {
        let mut found = Vec::new();
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            let mut request = [0; REQUEST_BYTES];
            request[0] = family.as_raw() as u8;
            request[1] = ipproto::TCP.as_raw().get() as u8;
            request[REQUEST_EXTENSIONS] = 1 << (INET_DIAG_INFO - 1);
            request[REQUEST_STATES..REQUEST_STATES + 4].copy_from_slice(&ESTABLISHED.to_ne_bytes());
            let each = |message: &[u8]| found.extend(connection(message).filter(|one| is_peer(one.peer)));
            netlink::dump(protocols::SOCK_DIAG, SOCK_DIAG_BY_FAMILY, &request, &mut self.buffer, each)?;
        }
        self.take(&found);
        self.towards.retain(|peer, _| is_peer(*peer));
        Ok(())
    }

    fn take(&mut self, found: &[Connection]) {
        for towards in self.towards.values_mut() {
            (towards.connections, towards.rtt) = (0, None);
        }
        let before = std::mem::take(&mut self.seen);
        for one in found {
            // What a connection had sent before it was first seen counts: it began after the last look, or before ours.
            let (sent, again) = before.get(&one.cookie).copied().unwrap_or_default();
            let towards = self.towards.entry(one.peer).or_default();
            towards.connections += 1;
            towards.sent += u64::from(one.sent.wrapping_sub(sent));
            towards.again += u64::from(one.again.wrapping_sub(again));
            // The kernel has 0 until it has measured one.
            let rtt = (one.rtt_us > 0).then(|| Duration::from_micros(one.rtt_us.into()));
            towards.rtt = towards.rtt.into_iter().chain(rtt).min();
            self.seen.insert(one.cookie, (one.sent, one.again));
        }
    }

    /// What is counted towards a peer; `None` where there was never a connection.
    #[cfg(test)]
    fn towards(&self, peer: IpAddr) -> Option<Towards> {
        self.towards.get(&peer).copied()
    }
}

/// What the connections to one address, that there are now, have counted so far. Blocking.
///
/// # Errors
/// As [`Watch::look`].
pub(super) fn look_once(peer: IpAddr) -> io::Result<Towards> {
    let mut watch = Watch::default();
    watch.look(|address| address == peer)?;
    Ok(watch.towards.remove(&peer).unwrap_or_default())
}

/// Reads `struct inet_diag_msg` and the `tcp_info` behind it; `None` where the kernel gave none.
pub(super) fn connection(message: &[u8]) -> Option<Connection> {
    let (head, mut rest) = message.split_at_checked(MESSAGE_BYTES)?;
    let address: [u8; 16] = *head.get(MESSAGE_PEER..)?.first_chunk()?;
    let peer = if i32::from(head[0]) == libc::AF_INET {
        Ipv4Addr::new(address[0], address[1], address[2], address[3]).into()
    } else {
        Ipv6Addr::from(address).to_canonical()
    };
    let cookie = u64::from(u32_at(head, MESSAGE_COOKIE)) | u64::from(u32_at(head, MESSAGE_COOKIE + 4)) << 32;
    // struct nlattr: length with this head, kind; each begins at a multiple of 4.
    while let Some((attribute, _)) = rest.split_at_checked(4) {
        let length = usize::from(u16::from_ne_bytes([attribute[0], attribute[1]]));
        let kind = u16::from_ne_bytes([attribute[2], attribute[3]]);
        let info = rest.get(4..length)?;
        if kind == INET_DIAG_INFO {
            (info.len() > INFO_TOTAL_RETRANS + 4).then_some(())?;
            let at = |offset| u32_at(info, offset);
            let (sent, again) = (at(INFO_SEGS_OUT), at(INFO_TOTAL_RETRANS));
            return Some(Connection { cookie, peer, sent, again, rtt_us: at(INFO_RTT) });
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

/// Looks at every `interval`, while there are peers, until nobody asks any more.
pub(super) async fn follow(
    interval: Duration,
    mut peers: watch::Receiver<HashSet<IpAddr>>,
    seen: watch::Sender<HashMap<IpAddr, Towards>>,
) {
    let mut watch = Watch::default();
    let mut complaint = Complaint::default();
    // Its sender goes where the mesh ends.
    while !seen.is_closed() && peers.wait_for(|peers| !peers.is_empty()).await.is_ok() {
        tokio::time::sleep(interval.max(Duration::from_secs(1))).await;
        let addresses = peers.borrow().clone();
        let looking = tokio::task::spawn_blocking(move || {
            let looked = watch.look(|ip| addresses.contains(&ip));
            (watch, looked)
        });
        // It fails only where the runtime ends.
        let Ok((back, looked)) = looking.await else { return };
        watch = back;
        match looked {
            Ok(()) => drop(complaint.worked()),
            Err(error) => {
                if let Some(times) = complaint.failed() {
                    tracing::warn!(%error, times, "the kernel does not tell of TCP connections to other nodes");
                }
            }
        }
        seen.send_replace(watch.towards.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Scenario: a real connection over loopback on which something is sent; it ends.
    /// Guarantees: it is found with its segments and round trip; what was counted stays when it is gone, and nothing
    /// counts twice.
    #[test]
    fn a_real_connection() {
        let listener = TcpListener::bind("127.0.0.9:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let taken = listener.accept().unwrap();
        stream.write_all(b"something").unwrap();
        let peer: IpAddr = "127.0.0.9".parse().unwrap();
        let mut watch = Watch::default();
        watch.look(|address| address == peer).unwrap();
        let first = watch.towards(peer).expect("a connection");
        assert!(first.connections >= 1 && first.sent >= 2 && first.rtt.is_some(), "{first:?}");
        watch.look(|address| address == peer).unwrap();
        assert_eq!(watch.towards(peer), Some(first));
        drop((stream, taken, listener));
        watch.look(|address| address == peer).unwrap();
        let after = watch.towards(peer).expect("still known");
        assert_eq!((after.connections, after.rtt), (0, None));
        assert!(after.sent >= first.sent);
        watch.look(|_| false).unwrap();
        assert_eq!(watch.towards(peer), None, "no peer any more");
    }

    /// Scenario: two connections whose counters go on, one ends and a new one begins; one without a round trip yet.
    /// Guarantees: the counters only grow, by what was sent; the least round trip is told, and none is no 0.
    #[test]
    fn counters_go_on() {
        let peer: IpAddr = Ipv4Addr::new(10, 0, 0, 2).into();
        let one = |cookie, sent, again, rtt_us| Connection { cookie, peer, sent, again, rtt_us };
        let mut watch = Watch::default();
        watch.take(&[one(1, 10, 1, 900), one(2, 5, 0, 700)]);
        watch.take(&[one(1, 30, 3, 900), one(3, 4, 1, 800)]);
        let rtt = Some(Duration::from_micros(800));
        assert_eq!(watch.towards(peer), Some(Towards { connections: 2, sent: 39, again: 4, rtt }));
        watch.take(&[one(1, 30, 3, 900), one(4, 1, 0, 0)]);
        assert_eq!(watch.towards(peer).and_then(|towards| towards.rtt), Some(Duration::from_micros(900)));
        watch.take(&[one(4, 1, 0, 0)]);
        assert_eq!(watch.towards(peer).map(|towards| (towards.connections, towards.rtt)), Some((1, None)));
    }
}
