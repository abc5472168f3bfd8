//! The packets: ICMP echo requests built so that every packet of a flow looks alike to a router, and answers parsed.
//!
//! Behind the 8 bytes of ICMP header (RFC 792, RFC 4443) the payload is: token (8 bytes, random), balance (2 bytes),
//! fill. Routers that spread load hash the header's first four bytes, checksum included; so the balance is chosen to
//! make the checksum a constant of the flow, whatever sequence number and token are ("Paris" traceroute).
//! Where only UDP is allowed the same bytes are the UDP payload.

use std::net::IpAddr;

use pnet_packet::Packet;
use pnet_packet::icmp::echo_request::{EchoRequestPacket, MutableEchoRequestPacket};
use pnet_packet::icmp::{IcmpPacket, IcmpTypes};
use pnet_packet::icmpv6::{Icmpv6Packet, Icmpv6Types};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;

/// ICMP header.
pub(super) const HEADER: usize = 8;
/// Token and balance: the least payload.
pub(super) const MARK: usize = 10;

/// What tells one of our packets from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Echo {
    /// Of the socket.
    pub(super) id: u16,
    /// Of the probe.
    pub(super) sequence: u16,
    /// Random, new for each probe. `None` where a router quoted too little to tell.
    pub(super) token: Option<u64>,
}

/// A received ICMP message, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Echo reply.
    Reply(Echo),
    /// An error about one of our packets.
    Error {
        /// Which error.
        fault: Fault,
        /// Where the quoted packet went, where the quote has its IP header.
        dest: Option<IpAddr>,
        /// What the quoted packet was; `None` where a router quoted only the UDP header of a probe.
        echo: Option<Echo>,
    },
}

/// The ICMP errors that end a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Time exceeded in transit.
    Expired,
    /// Destination unreachable, with its code.
    Unreachable(u8),
}

impl Fault {
    /// From an ICMP type and code; `None` for those that say nothing about a probe's end.
    pub(super) fn new(v6: bool, kind: u8, code: u8) -> Option<Self> {
        match (v6, kind) {
            (false, 11) | (true, 3) if code == 0 => Some(Self::Expired),
            (false, 3) | (true, 1) => Some(Self::Unreachable(code)),
            _ => None,
        }
    }

    /// The destination itself refused the port: for a UDP probe that is its answer.
    pub(super) fn is_port(self, v6: bool) -> bool {
        self == Self::Unreachable(if v6 { 4 } else { 3 })
    }
}

/// Writes an echo request of `size` payload bytes (at least [`MARK`]) to `out`. `flow` becomes the checksum of every
/// packet built with it; 0 and 0xffff are the same number to a one's-complement sum and are moved to 1.
pub(super) fn build(v6: bool, id: u16, sequence: u16, token: u64, flow: u16, size: u16, out: &mut Vec<u8>) {
    out.clear();
    out.resize(HEADER + usize::from(size).max(MARK), 0);
    let flow = if matches!(flow, 0 | 0xffff) { 1 } else { flow };
    let Some(mut packet) = MutableEchoRequestPacket::new(out) else { return };
    packet.set_icmp_type(if v6 {
        pnet_packet::icmp::IcmpType(Icmpv6Types::EchoRequest.0)
    } else {
        IcmpTypes::EchoRequest
    });
    packet.set_identifier(id);
    packet.set_sequence_number(sequence);
    out[HEADER..HEADER + 8].copy_from_slice(&token.to_be_bytes());
    // The checksum is the complement of the sum over everything else; so that sum must be the complement of `flow`.
    // On IPv6 the kernel adds a pseudo header, which is the same for all packets between two addresses.
    let balance = add(!flow, !sum(out));
    out[HEADER + 8..HEADER + MARK].copy_from_slice(&balance.to_be_bytes());
    out[2..4].copy_from_slice(&flow.to_be_bytes());
}

/// A flow's checksum from what names the flow.
pub(super) fn flow_of(dest: IpAddr) -> u16 {
    // FNV-1a: the same flow after a restart, so that the path seen stays the same one.
    let hash = |bytes: &[u8]| {
        bytes.iter().fold(0x811c_9dc5_u32, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
    };
    let h = match dest {
        IpAddr::V4(v4) => hash(&v4.octets()),
        IpAddr::V6(v6) => hash(&v6.octets()),
    };
    (h ^ (h >> 16)) as u16
}

/// The one's-complement sum of RFC 1071, over an even or odd number of bytes.
pub(super) fn sum(bytes: &[u8]) -> u16 {
    bytes
        .chunks(2)
        .fold(0, |total, pair| add(total, u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
}

/// One's-complement addition.
pub(super) fn add(a: u16, b: u16) -> u16 {
    let (total, carry) = a.overflowing_add(b);
    total.wrapping_add(u16::from(carry))
}

/// The body and the TTL of what a raw IPv4 socket gives: the packet with its IP header.
pub(super) fn ipv4_body(datagram: &[u8]) -> Option<(&[u8], u8)> {
    let packet = Ipv4Packet::new(datagram)?;
    (packet.get_version() == 4).then_some(())?;
    Some((datagram.get(ipv4_header(&packet)?..)?, packet.get_ttl()))
}

/// Reads an ICMP message without its IP header, as IPv6 and ping sockets give it.
pub(super) fn parse_icmp(v6: bool, message: &[u8]) -> Option<Heard> {
    let (kind, code) = if v6 {
        let packet = Icmpv6Packet::new(message)?;
        (packet.get_icmpv6_type().0, packet.get_icmpv6_code().0)
    } else {
        let packet = IcmpPacket::new(message)?;
        (packet.get_icmp_type().0, packet.get_icmp_code().0)
    };
    let reply = if v6 { Icmpv6Types::EchoReply.0 } else { IcmpTypes::EchoReply.0 };
    if kind == reply {
        return echo(message).map(Heard::Reply);
    }
    let fault = Fault::new(v6, kind, code)?;
    // Type, code, checksum and four bytes of no use here; then the packet that caused the error.
    let quoted = message.get(HEADER..)?;
    let (dest, inner): (IpAddr, _) = if v6 {
        let packet = Ipv6Packet::new(quoted)?;
        if packet.get_next_header() != IpNextHeaderProtocols::Icmpv6 {
            return None;
        }
        (packet.get_destination().into(), quoted.get(Ipv6Packet::minimum_packet_size()..)?)
    } else {
        let packet = Ipv4Packet::new(quoted)?;
        // A later fragment has no ICMP header.
        if packet.get_next_level_protocol() != IpNextHeaderProtocols::Icmp
            || packet.get_fragment_offset() != 0
        {
            return None;
        }
        (packet.get_destination().into(), quoted.get(ipv4_header(&packet)?..)?)
    };
    let echo = parse_quoted(v6, inner)?;
    Some(Heard::Error { fault, dest: Some(dest), echo: Some(echo) })
}

/// Reads the beginning of an echo request of ours, as an error quotes it.
pub(super) fn parse_quoted(v6: bool, message: &[u8]) -> Option<Echo> {
    let request = if v6 { Icmpv6Types::EchoRequest.0 } else { IcmpTypes::EchoRequest.0 };
    if *message.first()? != request {
        return None;
    }
    echo(message)
}

fn echo(message: &[u8]) -> Option<Echo> {
    // Request and reply, IPv4 and IPv6: the fields lie at the same places.
    let packet = EchoRequestPacket::new(message)?;
    let token = packet.payload().first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    Some(Echo { id: packet.get_identifier(), sequence: packet.get_sequence_number(), token })
}

fn ipv4_header(packet: &Ipv4Packet<'_>) -> Option<usize> {
    let bytes = usize::from(packet.get_header_length()) * 4;
    (bytes >= Ipv4Packet::minimum_packet_size()).then_some(bytes)
}

#[cfg(test)]
mod tests;
