//! Packets as the network in user space reads and makes them.

use std::net::IpAddr;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// A packet on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) dest: IpAddr,
    pub(crate) ttl: u8,
    protocol: u8,
    /// All of it.
    bytes: Vec<u8>,
    /// Where its body begins.
    body: usize,
}

impl Packet {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let octets = |at: usize| -> Option<IpAddr> {
            if bytes[0] >> 4 == 4 {
                Some(IpAddr::from(*bytes.get(at..)?.first_chunk::<4>()?))
            } else {
                Some(IpAddr::from(*bytes.get(at..)?.first_chunk::<16>()?))
            }
        };
        let (source, dest, ttl, protocol, body) = match bytes.first()? >> 4 {
            4 => (octets(12)?, octets(16)?, *bytes.get(8)?, *bytes.get(9)?, usize::from(bytes[0] & 15) * 4),
            6 => (octets(8)?, octets(24)?, *bytes.get(7)?, *bytes.get(6)?, 40),
            _ => return None,
        };
        (bytes.len() >= body + 8).then(|| Self { source, dest, ttl, protocol, bytes: bytes.to_vec(), body })
    }

    fn body(&self) -> &[u8] {
        &self.bytes[self.body..]
    }

    /// Whether it is one of those that a probe may be; the kernel's own neighbour discovery is not.
    pub(crate) fn kind(&self) -> Option<&'static str> {
        match (self.protocol, self.body()[0]) {
            (ICMP, 8) | (ICMPV6, 128) => Some("icmp"),
            (UDP, _) => Some("udp"),
            (TCP, _) => Some("tcp"),
            _ => None,
        }
    }

    pub(crate) fn port(&self) -> Option<u16> {
        (self.kind()? != "icmp").then(|| u16::from_be_bytes([self.body()[2], self.body()[3]]))
    }

    /// Of UDP and TCP.
    pub(crate) fn source_port(&self) -> Option<u16> {
        (self.kind()? != "icmp").then(|| u16::from_be_bytes([self.body()[0], self.body()[1]]))
    }

    /// What routers that share load look at: addresses, protocol and the first four bytes behind the IP header.
    pub(crate) fn flow(&self, salt: u64) -> u64 {
        let mut words = self.body()[..4].to_vec();
        words.extend_from_slice(format!("{}{}", self.source, self.dest).as_bytes());
        words.push(self.protocol);
        let hash = words
            .iter()
            .fold(salt ^ 0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
        (hash ^ hash >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33
    }

    /// The router's answer to a packet that goes no further; with labels as RFC 4884 and RFC 4950 have it.
    pub(crate) fn expired(&self, from: IpAddr, labels: &[u32]) -> Vec<u8> {
        self.error(from, if from.is_ipv4() { (11, 0) } else { (3, 0) }, labels)
    }

    /// The target's answer.
    pub(crate) fn answer(&self, from: IpAddr) -> Vec<u8> {
        let mut body = self.body().to_vec();
        match self.kind() {
            Some("icmp") => {
                body[0] = if from.is_ipv4() { 0 } else { 129 };
                self.reply(from, body, 2)
            }
            Some("udp") => self.error(from, if from.is_ipv4() { (3, 3) } else { (1, 4) }, &[]),
            _ => {
                // A SYN is refused: RST and ACK of its number.
                let number = u32::from_be_bytes([body[4], body[5], body[6], body[7]]).wrapping_add(1);
                body.truncate(20);
                body.rotate_left(2);
                let ports = [body[0], body[1], body[18], body[19]];
                body = vec![0; 20];
                body[..2].copy_from_slice(&ports[..2]);
                body[2..4].copy_from_slice(&ports[2..]);
                body[8..12].copy_from_slice(&number.to_be_bytes());
                body[12] = 5 << 4;
                body[13] = 4 | 16;
                self.reply(from, body, 16)
            }
        }
    }

    /// Rubbish that must not be taken for an answer: an echo reply with another id, an error about nobody's packet, one
    /// that is cut off, and an answer from the wrong host.
    pub(crate) fn lies(&self, wrong: IpAddr) -> Vec<Vec<u8>> {
        let mut foreign = self.clone();
        for byte in &mut foreign.bytes[self.body + 4..] {
            *byte ^= 0x55;
        }
        let mut cut = self.expired(wrong, &[]);
        cut.truncate(cut.len() - 24);
        let length = cut.len() as u16;
        cut[2..4].copy_from_slice(&length.to_be_bytes());
        vec![foreign.answer(self.dest), foreign.expired(wrong, &[]), cut, self.answer(wrong)]
    }

    fn error(&self, from: IpAddr, (kind, code): (u8, u8), labels: &[u32]) -> Vec<u8> {
        let mut body = vec![kind, code, 0, 0, 0, 0, 0, 0];
        // As old routers have it: the IP header and 8 bytes. IPv6 quotes all that fits.
        let quote =
            if from.is_ipv4() && labels.is_empty() { self.body + 8 } else { self.bytes.len().min(1232) };
        body.extend_from_slice(&self.bytes[..quote.min(self.bytes.len())]);
        if !labels.is_empty() {
            body.resize(8 + 128, 0);
            let at = body.len();
            (body[4], body[5]) = if from.is_ipv4() { (0, 32) } else { (16, 0) };
            body.extend_from_slice(&[0x20, 0, 0, 0]);
            body.extend_from_slice(&((4 + 4 * labels.len()) as u16).to_be_bytes());
            body.extend_from_slice(&[1, 1]);
            for (n, label) in labels.iter().enumerate() {
                let bottom = u32::from(n + 1 == labels.len());
                body.extend_from_slice(&(label << 12 | bottom << 8 | 1).to_be_bytes());
            }
            let checksum = !sum(&body[at..]);
            body[at + 2..at + 4].copy_from_slice(&checksum.to_be_bytes());
        }
        self.reply_as(from, body, 2, if from.is_ipv4() { ICMP } else { ICMPV6 })
    }

    fn reply(&self, from: IpAddr, body: Vec<u8>, checksum_at: usize) -> Vec<u8> {
        self.reply_as(from, body, checksum_at, self.protocol)
    }

    fn reply_as(&self, from: IpAddr, mut body: Vec<u8>, checksum_at: usize, protocol: u8) -> Vec<u8> {
        let length = body.len() as u16;
        body[checksum_at..checksum_at + 2].fill(0);
        let mut out = match (from, self.source) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let [high, low] = (length + 20).to_be_bytes();
                let mut out = vec![0x45, 0, high, low, 0, 0, 0, 0, 60, protocol, 0, 0];
                out.extend_from_slice(&from.octets());
                out.extend_from_slice(&to.octets());
                let header = !sum(&out);
                out[10..12].copy_from_slice(&header.to_be_bytes());
                out
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let [high, low] = length.to_be_bytes();
                let mut out = vec![0x60, 0, 0, 0, high, low, protocol, 60];
                out.extend_from_slice(&from.octets());
                out.extend_from_slice(&to.octets());
                out
            }
            _ => return Vec::new(),
        };
        let mut checked = Vec::new();
        if protocol != ICMP {
            checked.extend_from_slice(&out[if from.is_ipv4() { 12 } else { 8 }..]);
            checked.extend_from_slice(&[0, protocol]);
            checked.extend_from_slice(&length.to_be_bytes());
        }
        checked.extend_from_slice(&body);
        let checksum = !sum(&checked);
        body[checksum_at..checksum_at + 2].copy_from_slice(&checksum.to_be_bytes());
        out.extend_from_slice(&body);
        out
    }
}

/// RFC 1071.
fn sum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0)));
    let mut total: u64 = words.sum();
    while total > 0xffff {
        total = (total >> 16) + (total & 0xffff);
    }
    total as u16
}
