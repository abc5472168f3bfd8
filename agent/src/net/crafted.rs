//! UDP and TCP probes, built whole with their IP headers, and what comes back of them. No I/O.
//!
//! All packets of a flow have the same addresses and ports, so that routers that share load send them one way. What
//! tells them apart is what the 8 bytes that any router quotes still show: for TCP the sequence number (our number, then
//! 16 bits of the token), for UDP over IPv4 the IP identification ("Dublin" traceroute). Over IPv6, where errors quote
//! all of a short packet, it is the UDP payload: token (8 bytes), number (2). RFC 791, 8200, 768, 9293.

use std::net::IpAddr;

use super::api::Way;
use super::filter::step;
use super::packet::{self, Echo, Fault, HEADER, Heard, sum};

/// The source port of flow 0; the others follow. Above the ports that Linux gives away by itself, and the same after a
/// restart, so that the path seen stays the same one.
pub(super) const FIRST_PORT: u16 = 61_440;
/// Flows that have a source port of their own.
pub(super) const FLOWS: u16 = 64;

const IPV4: usize = 20;
const IPV6: usize = 40;
const UDP: usize = 8;
const TCP: usize = 20;
const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_TCP: u8 = 6;
/// Token and number.
const MARK: usize = 10;

/// All that a packet is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Craft {
    pub(super) source: IpAddr,
    pub(super) dest: IpAddr,
    pub(super) way: Way,
    /// Not 0: the kernel would choose another IP identification.
    pub(super) sequence: u16,
    pub(super) token: u64,
    /// Payload bytes of a UDP probe, at least [`MARK`]; a SYN has none.
    pub(super) size: u16,
    pub(super) ttl: u8,
    pub(super) tos: u8,
}

/// The token as far as a packet can show it.
pub(super) fn token(way: Way, token: u64) -> u64 {
    if matches!(way, Way::Tcp { .. }) { token & 0xffff } else { token }
}

fn source_port(flow: u8) -> u16 {
    FIRST_PORT + u16::from(flow) % FLOWS
}

/// Writes the packet to `out`; nothing for an echo or for addresses of two families.
pub(super) fn build(craft: &Craft, out: &mut Vec<u8>) {
    out.clear();
    let (protocol, body) = match craft.way {
        Way::Echo { .. } => return,
        Way::Udp { flow, port } => (PROTOCOL_UDP, udp(craft, source_port(flow), port)),
        Way::Tcp { flow, port } => (PROTOCOL_TCP, tcp(craft, source_port(flow), port)),
    };
    let length = body.len() as u16;
    let mut pseudo = 0;
    match (craft.source, craft.dest) {
        (IpAddr::V4(source), IpAddr::V4(dest)) => {
            // Do not fragment, as path MTU discovery has every TCP packet.
            let [total, id] = [length + IPV4 as u16, craft.sequence].map(u16::to_be_bytes);
            out.extend_from_slice(&[0x45, craft.tos, total[0], total[1], id[0], id[1], 0x40, 0]);
            // The kernel fills in the header's checksum.
            out.extend_from_slice(&[craft.ttl, protocol, 0, 0]);
            for octets in [source.octets(), dest.octets()] {
                pseudo = packet::add(pseudo, sum(&octets));
                out.extend_from_slice(&octets);
            }
        }
        (IpAddr::V6(source), IpAddr::V6(dest)) => {
            // The flow label is part of a flow, too (RFC 6437).
            let label = u32::from(packet::flow_of(craft.dest)) | u32::from(flow_number(craft.way)) << 16;
            let first = 0x6000_0000 | u32::from(craft.tos) << 20 | (label & 0x000f_ffff);
            out.extend_from_slice(&first.to_be_bytes());
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&[protocol, craft.ttl]);
            for octets in [source.octets(), dest.octets()] {
                pseudo = packet::add(pseudo, sum(&octets));
                out.extend_from_slice(&octets);
            }
        }
        _ => return,
    }
    pseudo = packet::add(packet::add(pseudo, u16::from(protocol)), length);
    let checksum = !packet::add(pseudo, sum(&body));
    // 0 would say that there is none (RFC 768).
    let checksum = if checksum == 0 { 0xffff } else { checksum };
    let at = out.len() + if protocol == PROTOCOL_UDP { 6 } else { 16 };
    out.extend_from_slice(&body);
    out[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

fn flow_number(way: Way) -> u8 {
    let (Way::Echo { flow } | Way::Udp { flow, .. } | Way::Tcp { flow, .. }) = way;
    flow
}

fn udp(craft: &Craft, from: u16, to: u16) -> Vec<u8> {
    let length = UDP + usize::from(craft.size).max(MARK);
    let mut out = Vec::with_capacity(length);
    for field in [from, to, length as u16, 0] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.extend_from_slice(&craft.token.to_be_bytes());
    out.extend_from_slice(&craft.sequence.to_be_bytes());
    out.resize(length, 0);
    out
}

/// A SYN without options.
fn tcp(craft: &Craft, from: u16, to: u16) -> Vec<u8> {
    const SYN: u8 = 2;
    let number = u32::from(craft.sequence) << 16 | (craft.token & 0xffff) as u32;
    let mut out = Vec::with_capacity(TCP);
    out.extend_from_slice(&from.to_be_bytes());
    out.extend_from_slice(&to.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&[0, 0, 0, 0, (TCP as u8 / 4) << 4, SYN, 0xff, 0xff, 0, 0, 0, 0]);
    out
}

/// Reads an ICMP error about one of our packets, its ICMP header first.
pub(super) fn parse_error(v6: bool, message: &[u8]) -> Option<Heard> {
    let fault = Fault::new(v6, *message.first()?, *message.get(1)?)?;
    let quoted = message.get(HEADER..)?;
    let (dest, protocol, id, body): (IpAddr, u8, u16, &[u8]) = if v6 {
        let dest: [u8; 16] = *quoted.get(24..)?.first_chunk()?;
        (IpAddr::from(dest), *quoted.get(6)?, 0, quoted.get(IPV6..)?)
    } else {
        let dest: [u8; 4] = *quoted.get(16..)?.first_chunk()?;
        let header = usize::from(quoted.first()? & 0xf) * 4;
        (header >= IPV4).then_some(())?;
        (IpAddr::from(dest), *quoted.get(9)?, number(quoted, 4)?, quoted.get(header..)?)
    };
    let port = number(body, 0).filter(|port| (FIRST_PORT..FIRST_PORT + FLOWS).contains(port))?;
    let echo = match protocol {
        PROTOCOL_TCP => Echo { id: port, sequence: number(body, 4)?, token: Some(number(body, 6)?.into()) },
        PROTOCOL_UDP => {
            let payload = body.get(UDP..)?;
            let token = payload.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
            // A translator of addresses on the way may have changed the identification; the payload it has not.
            let sequence = number(payload, 8).or((id != 0).then_some(id))?;
            let token = token.filter(|_| payload.len() >= MARK);
            Echo { id: port, sequence, token }
        }
        _ => return None,
    };
    Some(Heard::Error { fault, dest: Some(dest), echo: Some(echo) })
}

/// Reads a TCP segment that answers one of our SYNs: accepted or refused, both are the target's answer.
pub(super) fn parse_tcp(segment: &[u8]) -> Option<Heard> {
    const RST: u8 = 4;
    const ACK: u8 = 16;
    const SYN: u8 = 2;
    let flags = *segment.get(13)?;
    let answers = flags & ACK != 0 && flags & (SYN | RST) != 0;
    let port = number(segment, 2).filter(|port| (FIRST_PORT..FIRST_PORT + FLOWS).contains(port))?;
    let acknowledged = u32::from_be_bytes(*segment.get(8..)?.first_chunk()?).wrapping_sub(1);
    answers.then_some(Heard::Reply(Echo {
        id: port,
        sequence: (acknowledged >> 16) as u16,
        token: Some(u64::from(acknowledged & 0xffff)),
    }))
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|pair| u16::from_be_bytes(*pair))
}

/// A program that keeps a raw TCP socket from
/// waking for any segment that is not to one of our ports.
pub(super) fn filter(v6: bool) -> Vec<[u8; 8]> {
    let mut program = Vec::new();
    if v6 {
        // The destination port; IPv6 packets come without their header.
        program.push(step(0x28, 0, 0, 2));
    } else {
        // The same behind the IPv4 header.
        program.push(step(0xb1, 0, 0, 0));
        program.push(step(0x48, 0, 0, 2));
    }
    program.push(step(0x35, 0, 2, FIRST_PORT.into()));
    program.push(step(0x25, 1, 0, u32::from(FIRST_PORT + FLOWS - 1)));
    program.push(step(0x06, 0, 0, u32::from(u16::MAX)));
    program.push(step(0x06, 0, 0, 0));
    program
}

#[cfg(test)]
mod tests;
