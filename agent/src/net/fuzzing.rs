//! What the fuzz targets reach of this room.

use super::{control, packet};

/// A datagram as sockets of each kind give it; then control messages and an address.
pub(crate) fn packet(data: &[u8]) {
    let _of_raw = packet::parse_ipv4(data);
    for v6 in [false, true] {
        let _of_ping = packet::parse_icmp(v6, data);
        let _quoted = packet::parse_quoted(v6, data);
    }
    let _control = control::parse(data);
    if let Some(address) = control::address(data) {
        let (bytes, len) = control::put_address(address);
        assert_eq!(
            control::address(&bytes[..len]).map(|a| a.ip().to_canonical()),
            Some(address.ip().to_canonical())
        );
    }
}
