//! What the fuzz targets reach of this room.

use super::{control, crafted, extension, packet};

/// A datagram as sockets of each kind give it; then control messages and an address.
pub(crate) fn packet(data: &[u8]) {
    let body = packet::ipv4_body(data).map_or(data, |(body, _)| body);
    let _of_raw = packet::parse_icmp(false, body);
    let _segment = crafted::parse_tcp(body);
    for v6 in [false, true] {
        let _crafted = crafted::parse_error(v6, data);
        let _labels = extension::labels(v6, data);
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
