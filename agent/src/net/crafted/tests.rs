//! Probes checked against pnet's checksums; answers whole, cut, foreign and random.

use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::tcp::TcpPacket;
use pnet_packet::udp::UdpPacket;
use pnet_packet::{Packet, tcp, udp};
use proptest::prelude::*;

use super::*;

const V4: [&str; 2] = ["10.0.0.9", "192.0.2.7"];
const V6: [&str; 2] = ["fd00::9", "2001:db8::7"];

fn craft(addresses: [&str; 2], way: Way) -> Craft {
    let [source, dest] = addresses.map(|address| address.parse().unwrap());
    Craft { source, dest, way, sequence: 0x1234, token: 0xdead_beef_0102_0304, size: 36, ttl: 5, tos: 8 }
}

fn built(addresses: [&str; 2], way: Way) -> Vec<u8> {
    let mut out = Vec::new();
    build(&craft(addresses, way), &mut out);
    out
}

/// An ICMP time exceeded about a packet, of which it quotes `cut` bytes.
fn expired(v6: bool, packet: &[u8], cut: usize) -> Vec<u8> {
    let mut out = vec![if v6 { 3 } else { 11 }, 0, 0, 0, 0, 0, 0, 0];
    out.extend_from_slice(&packet[..cut.min(packet.len())]);
    out
}

/// Scenario: UDP and TCP probes over both families.
/// Guarantees: lengths, TTL and type of service stand where they belong, the checksums are right.
#[test]
fn well_formed() {
    for way in [Way::Udp { flow: 3, port: 33434 }, Way::Tcp { flow: 3, port: 443 }] {
        let packet = built(V4, way);
        let ip = Ipv4Packet::new(&packet).unwrap();
        assert_eq!((ip.get_ttl(), ip.get_identification(), packet[1]), (5, 0x1234, 8));
        assert_eq!(usize::from(ip.get_total_length()), packet.len());
        let (source, dest) = (ip.get_source(), ip.get_destination());
        let (found, expected) = if matches!(way, Way::Udp { .. }) {
            let body = UdpPacket::new(ip.payload()).unwrap();
            assert_eq!((body.get_source(), body.get_destination()), (FIRST_PORT + 3, 33434));
            (body.get_checksum(), udp::ipv4_checksum(&body, &source, &dest))
        } else {
            let body = TcpPacket::new(ip.payload()).unwrap();
            assert_eq!((body.get_source(), body.get_destination()), (FIRST_PORT + 3, 443));
            (body.get_checksum(), tcp::ipv4_checksum(&body, &source, &dest))
        };
        assert_eq!(found, expected, "{way:?}");

        let packet = built(V6, way);
        let [source, dest] = V6.map(|address| address.parse().unwrap());
        assert_eq!((packet[0], packet[7]), (0x60, 5));
        assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len() - IPV6);
        let (found, expected) = if matches!(way, Way::Udp { .. }) {
            let body = UdpPacket::new(&packet[IPV6..]).unwrap();
            (body.get_checksum(), udp::ipv6_checksum(&body, &source, &dest))
        } else {
            let body = TcpPacket::new(&packet[IPV6..]).unwrap();
            (body.get_checksum(), tcp::ipv6_checksum(&body, &source, &dest))
        };
        assert_eq!(found, expected, "{way:?}");
    }
}

/// Scenario: routers quote a whole probe, or only its IP header and 8 bytes.
/// Guarantees: destination, port and number are read; the token as far as it is there.
#[test]
fn quoted() {
    let udp = Way::Udp { flow: 1, port: 33434 };
    let tcp = Way::Tcp { flow: 1, port: 443 };
    let whole = usize::MAX;
    for (v6, way, cut, token) in [
        (false, udp, whole, Some(0xdead_beef_0102_0304)),
        (false, udp, IPV4 + 8, None),
        (false, tcp, IPV4 + 8, Some(0x0304)),
        (true, udp, whole, Some(0xdead_beef_0102_0304)),
        (true, tcp, IPV6 + 8, Some(0x0304)),
    ] {
        let addresses = if v6 { V6 } else { V4 };
        let expected = Heard::Error {
            fault: Fault::Expired,
            dest: Some(addresses[1].parse().unwrap()),
            echo: Some(Echo { id: FIRST_PORT + 1, sequence: 0x1234, token }),
        };
        let packet = built(addresses, way);
        assert_eq!(parse_error(v6, &expired(v6, &packet, cut)), Some(expected), "{v6} {way:?} {cut}");
        assert_eq!(super::token(way, 0xdead_beef_0102_0304), token.unwrap_or(0xdead_beef_0102_0304));
    }
    let other = built(V4, Way::Udp { flow: 0, port: 33434 });
    let mut foreign = expired(false, &other, whole);
    foreign[HEADER + IPV4] = 1;
    assert_eq!(parse_error(false, &foreign), None, "another program's port");
}

/// Scenario: the target accepts, refuses, or sends data of another connection.
/// Guarantees: the first two are answers with our number and token.
#[test]
fn answered() {
    let mut segment = vec![0; TCP];
    segment[2..4].copy_from_slice(&FIRST_PORT.to_be_bytes());
    segment[8..12].copy_from_slice(&(0x1234_0304_u32 + 1).to_be_bytes());
    let echo = Echo { id: FIRST_PORT, sequence: 0x1234, token: Some(0x0304) };
    for (flags, expected) in [(18, Some(Heard::Reply(echo))), (20, Some(Heard::Reply(echo))), (16, None)] {
        segment[13] = flags;
        assert_eq!(parse_tcp(&segment), expected, "{flags}");
    }
}

proptest! {
    /// Scenario: any bytes from the network, and real errors with one byte changed.
    /// Guarantees: parsing never panics.
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120), at in 0_usize..100, with: u8) {
        for v6 in [false, true] {
            let mut real = expired(v6, &built(if v6 { V6 } else { V4 }, Way::Udp { flow: 0, port: 9 }), usize::MAX);
            if let Some(byte) = real.get_mut(at) {
                *byte = with;
            }
            parse_error(v6, &real);
            parse_error(v6, &bytes);
        }
        parse_tcp(&bytes);
    }
}
