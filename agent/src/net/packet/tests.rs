//! Packets: built ones checked against pnet's checksum, parsed ones whole, cut, foreign and random.

use pnet_packet::icmp::checksum;
use proptest::prelude::*;

use super::*;

/// What a raw IPv4 socket gives, and its TTL.
fn parse_ipv4(datagram: &[u8]) -> Option<(Heard, u8)> {
    let (body, ttl) = ipv4_body(datagram)?;
    Some((parse_icmp(false, body)?, ttl))
}

/// An IPv4 packet around `body` from a host of TTL 61.
fn ipv4(protocol: u8, dest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 61, protocol, 0, 0, 10, 0, 0, 9];
    out.extend_from_slice(&dest);
    out.extend_from_slice(body);
    out
}

fn request(sequence: u16, token: u64) -> Vec<u8> {
    let mut out = Vec::new();
    build(false, 77, sequence, token, 0x1234, 56, &mut out);
    out
}

fn time_exceeded(quoted: &[u8]) -> Vec<u8> {
    let mut body = vec![11, 0, 0, 0, 0, 0, 0, 0];
    body.extend_from_slice(quoted);
    ipv4(1, [10, 0, 0, 1], &body)
}

/// Scenario: the answer to an echo request.
/// Guarantees: id, sequence, token and TTL are read.
#[test]
fn reply() {
    let mut body = request(5, 99);
    body[0] = 0;
    let echo = Echo { id: 77, sequence: 5, token: Some(99) };
    assert_eq!(parse_ipv4(&ipv4(1, [10, 0, 0, 1], &body)), Some((Heard::Reply(echo), 61)));
}

/// Scenario: time exceeded, quoting all of our packet or only the 8 bytes that RFC 792 asks for.
/// Guarantees: the destination and the sequence are read from both, the token where it is there.
#[test]
fn expired() {
    let body = request(6, 98);
    for (cut, token) in [(body.len(), Some(98)), (8, None)] {
        let packet = time_exceeded(&ipv4(1, [192, 0, 2, 7], &body[..cut]));
        let expected = Heard::Error {
            fault: Fault::Expired,
            dest: Some(IpAddr::from([192, 0, 2, 7])),
            echo: Some(Echo { id: 77, sequence: 6, token }),
        };
        assert_eq!(parse_ipv4(&packet), Some((expected, 61)));
    }
}

/// Scenario: messages that are no answer: a request, a quoted UDP packet, a quoted fragment, a cut header, not IPv4.
/// Guarantees: none of them is taken for an answer.
#[test]
fn not_ours() {
    let body = request(6, 98);
    let mut fragment = ipv4(1, [192, 0, 2, 7], &body);
    fragment[7] = 1;
    let mut bad_length = ipv4(1, [10, 0, 0, 1], &body);
    bad_length[0] = 0x41;
    let mut version = ipv4(1, [10, 0, 0, 1], &body);
    version[0] = 0x65;
    for packet in [
        ipv4(1, [10, 0, 0, 1], &body),
        ipv4(17, [10, 0, 0, 1], &body),
        time_exceeded(&ipv4(17, [192, 0, 2, 7], &body)),
        time_exceeded(&fragment),
        time_exceeded(&[]),
        bad_length,
        version,
    ] {
        assert_eq!(parse_ipv4(&packet), None, "{packet:?}");
    }
}

proptest! {
    /// Scenario: any sequence, token, flow and size.
    /// Guarantees: the checksum is right, and the same for all packets of the flow.
    #[test]
    fn checksum_is_the_flow(id: u16, sequence: u16, token: u64, flow in 1_u16..0xffff, size in 0_u16..1500) {
        let mut out = Vec::new();
        build(false, id, sequence, token, flow, size, &mut out);
        prop_assert_eq!(out.len(), 8 + usize::from(size).max(MARK));
        let packet = IcmpPacket::new(&out).unwrap();
        prop_assert_eq!(packet.get_checksum(), flow);
        prop_assert_eq!(checksum(&packet), flow);
    }

    /// Scenario: any bytes from the network.
    /// Guarantees: parsing never panics.
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120), cut in 0_usize..100, at in 0_usize..100, with: u8) {
        let mut real = time_exceeded(&ipv4(1, [192, 0, 2, 7], &request(6, 98)));
        real.truncate(cut);
        if let Some(byte) = real.get_mut(at) {
            *byte = with;
        }
        for bytes in [bytes, real] {
            parse_ipv4(&bytes);
            for v6 in [false, true] {
                parse_icmp(v6, &bytes);
                parse_quoted(v6, &bytes);
            }
        }
    }
}
