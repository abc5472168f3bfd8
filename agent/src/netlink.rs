//! Asks the kernel for a table by netlink (netlink(7)): one request, many answers.

use std::io;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::net::{self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// What the kernel fills at most at once (net/netlink/af_netlink.c, `netlink_dump`).
const BUFFER_BYTES: usize = 32 << 10;
/// The kernel answers at once; this is only so that nothing can hang.
const PATIENCE: Duration = Duration::from_secs(2);
/// `struct nlmsghdr`: length, type, flags, sequence, port.
const HEADER_BYTES: usize = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// Hands each message of the answer to `each`, without its header.
///
/// # Errors
/// Where the kernel does not know the protocol or the request, or denies it.
pub(crate) fn dump(
    protocol: impl Into<Option<Protocol>>,
    kind: u16,
    request: &[u8],
    buffer: &mut Vec<u8>,
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    let socket = open(protocol.into())?;
    let length = (HEADER_BYTES + request.len()) as u32;
    buffer.clear();
    buffer.extend_from_slice(&length.to_ne_bytes());
    buffer.extend_from_slice(&kind.to_ne_bytes());
    buffer.extend_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    buffer.extend_from_slice(&[0; 8]);
    buffer.extend_from_slice(request);
    net::send(&socket, buffer, SendFlags::empty())?;
    buffer.resize(BUFFER_BYTES, 0);
    loop {
        let (_, length) = net::recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        let Some(answer) = buffer.get(..length).filter(|answer| !answer.is_empty()) else {
            return Err(io::Error::other("an answer longer than the kernel's limit"));
        };
        if read_messages(answer, &mut each)? {
            return Ok(());
        }
    }
}

fn open(protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    // Netlink makes no difference between datagrams and raw packets (netlink(7)).
    let socket = net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, protocol)?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
    Ok(socket)
}

/// Whether the answer is complete.
fn read_messages(mut bytes: &[u8], each: &mut impl FnMut(&[u8])) -> io::Result<bool> {
    while let Some((header, _)) = bytes.split_at_checked(HEADER_BYTES) {
        let length = u32_at(header, 0) as usize;
        let Some(payload) = bytes.get(HEADER_BYTES..length) else {
            return Err(io::Error::other("a message that is cut short"));
        };
        match u16::from_ne_bytes([header[4], header[5]]) {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR if payload.len() >= 4 => match u32_at(payload, 0) as i32 {
                0 => return Ok(true),
                code => return Err(io::Error::from_raw_os_error(code.saturating_neg())),
            },
            NLMSG_ERROR => return Err(io::Error::other("an error without its number")),
            _ => each(payload),
        }
        // Messages begin at multiples of 4.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// A number of the kernel's byte order; 0 beyond the end.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = (HEADER_BYTES + payload.len()) as u32;
        let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], payload].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    /// Scenario: messages of odd lengths, the end, an error, a message cut short.
    /// Guarantees: payloads in order; the end is seen; errors keep the kernel's number.
    #[test]
    fn answers() {
        let mut seen = Vec::new();
        let bytes = [message(20, b"abc"), message(20, b"d"), message(NLMSG_DONE, &[0; 4])].concat();
        assert!(read_messages(&bytes, &mut |payload| seen.push(payload.to_vec())).unwrap());
        assert_eq!(seen, [b"abc".to_vec(), b"d".to_vec()]);
        assert!(!read_messages(&message(20, b""), &mut |_| {}).unwrap());
        let error = read_messages(&message(NLMSG_ERROR, &(-2_i32).to_ne_bytes()), &mut |_| {}).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(2));
        assert!(read_messages(&message(20, b"abc")[..18], &mut |_| {}).is_err());
    }

    proptest! {
        /// Scenario: any bytes.
        /// Guarantees: no panic, no endless loop.
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), length in 0_u32..90) {
            let _any = read_messages(&bytes, &mut |_| {});
            let _any = read_messages(&[&length.to_ne_bytes()[..], &bytes].concat(), &mut |_| {});
        }
    }
}
