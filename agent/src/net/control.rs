//! Control messages and socket addresses as bytes, as `sendmsg(2)` and `recvmsg(2)` take and give them.
//!
//! A control message is `len: usize, level: i32, kind: i32`, then data, each padded to the size of `usize`
//! (include/linux/socket.h, `struct cmsghdr`). Parsing never fails: what is cut off or unknown is left out.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const WORD: usize = size_of::<usize>();
const HEAD: usize = WORD + 8;

/// What the control messages of one received datagram say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Control {
    /// The kernel's software timestamp, nanoseconds since 1970.
    pub(super) stamp: Option<i64>,
    /// TTL or hop limit.
    pub(super) hop_limit: Option<u8>,
    /// Datagrams that the socket has dropped since it was opened.
    pub(super) overflow: Option<u32>,
    /// From the error queue.
    pub(super) error: Option<Extended>,
    /// The address of ours that it came to.
    pub(super) local: Option<IpAddr>,
}

/// `struct sock_extended_err` with the offender behind it (include/uapi/linux/errqueue.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extended {
    /// `SO_EE_ORIGIN_*`.
    pub(super) origin: u8,
    /// ICMP type.
    pub(super) kind: u8,
    /// ICMP code.
    pub(super) code: u8,
    /// For a send stamp: the number of the send call.
    pub(super) data: u32,
    /// Who sent the ICMP error.
    pub(super) offender: Option<IpAddr>,
}

/// Reads a control buffer.
pub(super) fn parse(buffer: &[u8]) -> Control {
    let mut found = Control::default();
    let mut rest = buffer;
    while let Some((len, level, kind)) = head(rest) {
        let Some(data) = rest.get(HEAD..len) else { break };
        read(level, kind, data, &mut found);
        rest = rest.get(len.next_multiple_of(WORD)..).unwrap_or_default();
    }
    found
}

fn head(buffer: &[u8]) -> Option<(usize, i32, i32)> {
    let len = usize::from_ne_bytes(*buffer.first_chunk()?);
    let level = i32::from_ne_bytes(*buffer.get(WORD..)?.first_chunk()?);
    let kind = i32::from_ne_bytes(*buffer.get(WORD + 4..)?.first_chunk()?);
    (len >= HEAD && len <= buffer.len()).then_some((len, level, kind))
}

fn read(level: i32, kind: i32, data: &[u8], found: &mut Control) {
    let number = || data.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
    match (level, kind) {
        (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => found.stamp = stamp(data),
        (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => found.overflow = number().map(|n| n as u32),
        (libc::SOL_IP, libc::IP_TTL) | (libc::SOL_IPV6, libc::IPV6_HOPLIMIT) => {
            found.hop_limit = number().and_then(|n| u8::try_from(n).ok());
        }
        (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR) => {
            found.error = extended(data)
        }
        (libc::SOL_IP, libc::IP_PKTINFO) => {
            let local = data.get(4..).and_then(|data| data.first_chunk::<4>());
            found.local = local.map(|octets| Ipv4Addr::from(*octets).into());
        }
        (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
            let local = data.first_chunk::<16>();
            found.local = local.map(|octets| Ipv6Addr::from(*octets).to_canonical());
        }
        _ => {}
    }
}

/// `struct scm_timestamping`: three timespecs, the software stamp first, zero where there is none.
fn stamp(data: &[u8]) -> Option<i64> {
    let seconds = i64::from_ne_bytes(*data.first_chunk()?);
    let nanos = i64::from_ne_bytes(*data.get(8..)?.first_chunk()?);
    // 3 * 16 bytes: with a 32-bit timespec the layout is another one, and user-space times must do.
    (data.len() >= 48 && seconds > 0).then(|| seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

fn extended(data: &[u8]) -> Option<Extended> {
    let fixed: &[u8; 16] = data.first_chunk()?;
    let [_, _, _, _, origin, kind, code, _, _, _, _, _, d0, d1, d2, d3] = *fixed;
    Some(Extended {
        origin,
        kind,
        code,
        data: u32::from_ne_bytes([d0, d1, d2, d3]),
        offender: data.get(16..).and_then(address).map(|a| a.ip()),
    })
}

/// Appends a control message that holds one C `int`.
pub(super) fn put_int(buffer: &mut Vec<u8>, level: i32, kind: i32, value: i32) {
    put(buffer, level, kind, &value.to_ne_bytes());
}

/// Appends the address to send from: `struct in_pktinfo` or `struct in6_pktinfo` (ip(7), ipv6(7)).
///
/// # Errors
/// Where the two addresses are of different families.
pub(super) fn put_source(buffer: &mut Vec<u8>, dest: IpAddr, source: IpAddr) -> io::Result<()> {
    match (dest, source) {
        (IpAddr::V4(_), IpAddr::V4(source)) => {
            let mut data = [0; 12];
            data[4..8].copy_from_slice(&source.octets());
            put(buffer, libc::SOL_IP, libc::IP_PKTINFO, &data);
            Ok(())
        }
        (IpAddr::V6(_), IpAddr::V6(source)) => {
            let mut data = [0; 20];
            data[..16].copy_from_slice(&source.octets());
            put(buffer, libc::SOL_IPV6, libc::IPV6_PKTINFO, &data);
            Ok(())
        }
        _ => Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!("the source address {source} is of the other address family"),
        )),
    }
}

fn put(buffer: &mut Vec<u8>, level: i32, kind: i32, data: &[u8]) {
    buffer.extend_from_slice(&(HEAD + data.len()).to_ne_bytes());
    buffer.extend_from_slice(&level.to_ne_bytes());
    buffer.extend_from_slice(&kind.to_ne_bytes());
    buffer.extend_from_slice(data);
    buffer.resize(buffer.len().next_multiple_of(WORD), 0);
}

/// Room for the longest address that [`put_address`] writes, `struct sockaddr_in6`.
pub(super) const ADDRESS: usize = 28;

/// A socket address as the kernel takes it; only the first `.1` bytes count.
pub(super) fn put_address(address: SocketAddr) -> ([u8; ADDRESS], usize) {
    let mut out = [0; ADDRESS];
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    out[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    out[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            out[4..8].copy_from_slice(&v4.ip().octets());
            (out, 16)
        }
        SocketAddr::V6(v6) => {
            out[8..24].copy_from_slice(&v6.ip().octets());
            out[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            (out, ADDRESS)
        }
    }
}

/// The other way; `None` for any other family or too few bytes.
pub(super) fn address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    let ip: IpAddr = match family {
        libc::AF_INET => Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?).into(),
        libc::AF_INET6 => Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut out = (HEAD + data.len()).to_ne_bytes().to_vec();
        out.extend_from_slice(&level.to_ne_bytes());
        out.extend_from_slice(&kind.to_ne_bytes());
        out.extend_from_slice(data);
        out.resize(out.len().next_multiple_of(WORD), 0);
        out
    }

    /// Scenario: the messages of a time-exceeded error from the error queue.
    /// Guarantees: stamp, hop limit, type and offender are all found.
    #[test]
    fn error_queue() {
        let mut stamp = 1_700_000_000_i64.to_ne_bytes().to_vec();
        stamp.extend_from_slice(&250_i64.to_ne_bytes());
        stamp.resize(48, 0);
        let mut error = vec![113, 0, 0, 0, libc::SO_EE_ORIGIN_ICMP, 11, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0];
        error.extend_from_slice(&put_address("10.0.0.1:0".parse().unwrap()).0[..16]);
        let mut buffer = message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, &stamp);
        put_int(&mut buffer, libc::SOL_IP, libc::IP_TTL, 63);
        buffer.extend_from_slice(&message(libc::SOL_IP, libc::IP_RECVERR, &error));
        let found = parse(&buffer);
        assert_eq!(found.stamp, Some(1_700_000_000_000_000_250));
        assert_eq!(found.hop_limit, Some(63));
        let expected = Extended {
            origin: libc::SO_EE_ORIGIN_ICMP,
            kind: 11,
            code: 0,
            data: u32::from_ne_bytes([7, 0, 0, 0]),
            offender: Some("10.0.0.1".parse().unwrap()),
        };
        assert_eq!(found.error, Some(expected));
    }

    proptest! {
        /// Scenario: any bytes as control buffer and as address.
        /// Guarantees: parsing ends and never panics.
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            parse(&bytes);
            address(&bytes);
        }

        /// Scenario: any address, written and read.
        /// Guarantees: it comes back.
        #[test]
        fn addresses(ip: Ipv6Addr, v4: Ipv4Addr, port: u16) {
            for ip in [IpAddr::V4(v4), ip.to_canonical()] {
                let address_in = SocketAddr::new(ip, port);
                let (bytes, len) = put_address(address_in);
                prop_assert_eq!(address(&bytes[..len]), Some(address_in));
            }
        }
    }
}
