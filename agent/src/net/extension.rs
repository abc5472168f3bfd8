//! What a router appends to an ICMP error: the MPLS labels with which the packet came to it. No I/O.
//!
//! RFC 4884: behind the quoted packet, padded to the length that the ICMP header names (byte 5 in words of 4 bytes for
//! ICMPv4, byte 4 in words of 8 for ICMPv6), lie version 2 in four bits, twelve reserved bits, a checksum, then objects
//! of `length: u16, class: u8, type: u8`. Class 1, type 1 is a label stack (RFC 4950): `label: 20 bits, traffic class:
//! 3, bottom of stack: 1, TTL: 8` each. Routers older than RFC 4884 name no length and begin at byte 128.

use super::api::Labels;
use super::packet::{HEADER, sum};

/// Where extensions begin that no length announces (RFC 4884, section 5.5).
const UNANNOUNCED: usize = 128;

/// The labels that an ICMP error carries, its ICMP header first; none where it has no extension or a damaged one.
pub(super) fn labels(v6: bool, message: &[u8]) -> Labels {
    stack(v6, message).unwrap_or_default()
}

fn stack(v6: bool, message: &[u8]) -> Option<Labels> {
    let words = usize::from(*message.get(if v6 { 4 } else { 5 })?) * if v6 { 8 } else { 4 };
    let begin = HEADER + if words == 0 { UNANNOUNCED } else { words };
    let structure = message.get(begin..)?;
    let checked = structure.get(2..4)? != [0, 0];
    // Unannounced it may be any bytes of a long quoted packet: only the checksum tells.
    if structure.first()? >> 4 != 2 || (checked && sum(structure) != 0xffff) || (words == 0 && !checked) {
        return None;
    }
    let mut labels = Labels::default();
    let mut rest = structure.get(4..)?;
    while let Some(&[high, low, class, kind]) = rest.first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(object) = rest.get(4..length) else { break };
        if (class, kind) == (1, 1) {
            for entry in object.chunks_exact(4) {
                labels.push(u32::from_be_bytes([entry[0], entry[1], entry[2], entry[3]]));
            }
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::api::Label;

    /// An ICMPv4 or ICMPv6 time exceeded with a quote of `quoted` bytes and the given objects.
    fn message(v6: bool, quoted: usize, announced: bool, objects: &[u8]) -> Vec<u8> {
        let mut out = vec![if v6 { 3 } else { 11 }, 0, 0, 0, 0, 0, 0, 0];
        if announced {
            out[if v6 { 4 } else { 5 }] = (quoted / if v6 { 8 } else { 4 }) as u8;
        }
        out.resize(HEADER + quoted, 0x45);
        let mut structure = vec![0x20, 0, 0, 0];
        structure.extend_from_slice(objects);
        let checksum = !sum(&structure);
        structure[2..4].copy_from_slice(&checksum.to_be_bytes());
        out.extend_from_slice(&structure);
        out
    }

    /// Labels 16001 (class 5, TTL 1) and 24 (bottom, TTL 254), behind an object of another class.
    const OBJECTS: [u8; 20] =
        [0, 8, 2, 1, 9, 9, 9, 9, 0, 12, 1, 1, 0x03, 0xe8, 0x1a, 0x01, 0x00, 0x01, 0x81, 0xfe];

    /// Scenario: time exceeded with a label stack, its length announced or not, by both families.
    /// Guarantees: both labels with all their fields.
    #[test]
    fn labelled() {
        let expected = [
            Label { label: 16001, tc: 5, bottom: false, ttl: 1 },
            Label { label: 24, tc: 0, bottom: true, ttl: 254 },
        ];
        for (v6, announced) in [(false, true), (true, true), (false, false), (true, false)] {
            let found = labels(v6, &message(v6, 128, announced, &OBJECTS));
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{v6} {announced}");
        }
    }

    /// Scenario: no extension, a wrong checksum, another version, an object cut off or longer than the message.
    /// Guarantees: no label is invented.
    #[test]
    fn none() {
        let good = message(false, 128, true, &OBJECTS);
        let mut damaged = good.clone();
        damaged[150] ^= 1;
        let mut version = good.clone();
        version[HEADER + 128] = 0x10;
        let long = message(false, 128, true, &[0, 200, 1, 1, 0, 0, 0, 0]);
        let empty = message(false, 128, true, &[0, 0, 1, 1, 0, 0, 0, 0]);
        for bytes in [&good[..HEADER + 100], &good[..HEADER + 130], &damaged, &version, &long, &empty, &[]] {
            assert!(labels(false, bytes).is_empty(), "{bytes:?}");
        }
    }

    proptest! {
        /// Scenario: any bytes.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), announced: bool) {
            labels(false, &bytes);
            labels(true, &bytes);
            labels(false, &message(false, 128, announced, &bytes));
        }
    }
}
