//! The envelope: what was sealed opens again, all else is an error.

use proptest::prelude::*;

use super::*;
use crate::v1::FileRange;

fn header() -> FrameHeader {
    FrameHeader {
        agent: vec![7; 16],
        epoch: 0x0123_4567_89ab_cdef,
        lane: 1,
        sequence: 300,
        source: "logs".to_owned(),
        records: 5,
        files: vec![FileRange { file: vec![9; 16], start: 10, end: 20 }],
        ..FrameHeader::default()
    }
}

fn sealed(raw: &[u8], claimed: usize) -> Bytes {
    seal(&FrameHeader { raw_bytes: claimed as u64, ..header() }, &compress(raw))
}

/// Scenario: payloads that compress and that do not, and an empty one.
/// Guarantees: header and payload come back.
#[test]
fn opens_what_was_sealed() {
    let noise: Vec<u8> = (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for raw in [&[][..], b"x", &[0; 100_000], &noise] {
        let opened = open(&sealed(raw, raw.len())).unwrap();
        assert_eq!(opened.header, FrameHeader { raw_bytes: raw.len() as u64, ..header() });
        assert_eq!(opened.decompress().as_deref(), Ok(raw));
    }
}

/// Scenario: a payload that is larger or smaller than its header claims, and claims over the limits.
/// Guarantees: errors, and never more memory than claimed.
#[test]
fn refuses_other_sizes() {
    let raw = [0; 100_000];
    for claimed in [0, 1, 99_999, 100_001, MAX_RAW_BYTES] {
        let opened = open(&sealed(&raw, claimed)).unwrap();
        assert!(matches!(opened.decompress(), Err(FrameError::Payload(_))), "{claimed}");
    }
    assert!(matches!(open(&sealed(&raw, MAX_RAW_BYTES + 1)), Err(FrameError::TooLarge { .. })));
    let header = FrameHeader { source: "x".repeat(MAX_HEADER_BYTES), ..header() };
    assert!(matches!(open(&seal(&header, &[])), Err(FrameError::TooLarge { what: "the header", .. })));
    let files = vec![FileRange::default(); MAX_FILES + 1];
    assert!(matches!(open(&seal(&FrameHeader { files, ..header }, &[])), Err(FrameError::TooLarge { .. })));
}

/// Scenario: an envelope of another version, one whose agent id is short, one cut at every length.
/// Guarantees: each gives the error that names it.
#[test]
fn names_what_is_wrong() {
    let good = sealed(b"payload", 7);
    let mut other = good.to_vec();
    other[0] = 2;
    assert_eq!(open(&other.into()), Err(FrameError::Version(2)));
    let short = FrameHeader { agent: vec![1; 15], ..header() };
    assert!(matches!(open(&seal(&short, &[])), Err(FrameError::Header(_))));
    for end in 0..good.len() {
        assert!(open(&good.slice(..end)).is_err(), "{end}");
    }
}

/// Puts a right checksum behind bytes that are wrong, so that what comes behind the checksum is tried too.
fn with_crc(mut bytes: Vec<u8>) -> Bytes {
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes.into()
}

proptest! {
    /// Scenario: one byte of an envelope changed, anywhere.
    /// Guarantees: the checksum sees it.
    #[test]
    fn one_byte_changed(at in any::<prop::sample::Index>(), by in 1..=255_u8) {
        let mut bytes = sealed(b"some payload, some payload", 26).to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        prop_assert!(open(&bytes.into()).is_err());
    }

    /// Scenario: any bytes, and any bytes under a right version and checksum.
    /// Guarantees: an error or a frame, never a panic.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(&bytes.clone().into()).is_err());
        if let Ok(opened) = open(&with_crc([vec![VERSION], bytes].concat())) {
            let _either = opened.decompress();
        }
    }

    /// Scenario: a valid envelope with some bytes changed, checksum made right again.
    /// Guarantees: an error or a frame, never a panic.
    #[test]
    fn changed_under_the_checksum(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let good = sealed(b"some payload, some payload", 26);
        let mut bytes = good[1..good.len() - CRC_BYTES].to_vec();
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if let Ok(opened) = open(&with_crc([vec![VERSION], bytes].concat())) {
            let _either = opened.decompress();
        }
    }
}
