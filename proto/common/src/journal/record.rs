//! One record: its head (layout in [`super`]) and how it is checked. The head's checksum covers the place where the
//! record stands, so that a copy of a record inside of some payload is never taken for one.

use super::api::{Key, Position};

/// Bytes of a head.
pub(super) const HEAD: usize = 44;
/// First bytes of each record, found again after damage. The first is no ASCII and no valid UTF-8 start byte, so that
/// text does not hold it.
pub(super) const MAGIC: [u8; 4] = [0xF8, b'A', b'O', 0xF9];
/// The most that one record holds. Frames are far smaller (`ao_proto::limits`); snapshots of large nodes may grow.
pub(super) const MAX_PAYLOAD: usize = 64 << 20;
/// Version of the format, in each segment's first record.
pub(super) const VERSION: u16 = 1;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// First of a segment: version (u16) and the class's name.
    Segment = 1,
    /// The fold's snapshot; the key is the number of the oldest segment that counts.
    State = 2,
    /// What frames behind it in the same segment depend on.
    Keyframe = 3,
    /// A frame that needs no keyframe.
    Frame = 4,
    /// A frame; the key names its keyframe.
    KeyedFrame = 5,
    /// Empty: says by its `synced` that all before it was fsynced.
    Mark = 6,
    /// Put by a repair over damage, which it holds.
    Gap = 7,
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) key: Key,
    /// Bytes of the payload.
    pub(super) len: u32,
    /// Checksum of the payload.
    pub(super) crc: u32,
    /// Offset up to which the segment was fsynced when this record was written: damage before it is damage, damage
    /// behind it a write that a crash tore.
    pub(super) synced: u64,
}

impl Head {
    /// Bytes of the whole record.
    pub(super) fn size(&self) -> u64 {
        HEAD as u64 + u64::from(self.len)
    }

    /// The key, for frames that need a keyframe.
    pub(super) fn needs(&self) -> Option<Key> {
        (self.kind == Kind::KeyedFrame).then_some(self.key)
    }

    pub(super) fn is_frame(&self) -> bool {
        matches!(self.kind, Kind::Frame | Kind::KeyedFrame)
    }

    /// Whether the payload is what was written.
    pub(super) fn holds(&self, payload: &[u8]) -> bool {
        payload.len() == self.len as usize && crc32c::crc32c(payload) == self.crc
    }

    /// The head that stands at `at`, if the bytes are one.
    pub(super) fn parse(bytes: &[u8], at: Position) -> Option<Self> {
        let head: &[u8; HEAD] = bytes.get(..HEAD)?.try_into().ok()?;
        if head[..4] != MAGIC || u32_at(head, 4) != head_crc(head, at) {
            return None;
        }
        let kind = match head[16] {
            1 => Kind::Segment,
            2 => Kind::State,
            3 => Kind::Keyframe,
            4 => Kind::Frame,
            5 => Kind::KeyedFrame,
            6 => Kind::Mark,
            7 => Kind::Gap,
            _ => return None,
        };
        let len = u32_at(head, 12);
        let mut key = [0; 16];
        key.copy_from_slice(&head[20..36]);
        let mut synced = [0; 8];
        synced.copy_from_slice(&head[36..44]);
        (len as usize <= MAX_PAYLOAD).then_some(Self {
            kind,
            key: Key::from_le_bytes(key),
            len,
            crc: u32_at(head, 8),
            synced: u64::from_le_bytes(synced),
        })
    }
}

/// Appends a record that will stand at `at`. The payload is within [`MAX_PAYLOAD`].
pub(super) fn put(out: &mut Vec<u8>, at: Position, kind: Kind, key: Key, synced: u64, payload: &[u8]) {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
    head[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[16] = kind as u8;
    head[20..36].copy_from_slice(&key.to_le_bytes());
    head[36..44].copy_from_slice(&synced.to_le_bytes());
    let crc = head_crc(&head, at);
    head[4..8].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
}

fn head_crc(head: &[u8; HEAD], at: Position) -> u32 {
    let crc = crc32c::crc32c(&at.segment.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &at.offset.to_le_bytes());
    crc32c::crc32c_append(crc, &head[8..])
}

fn u32_at(head: &[u8; HEAD], at: usize) -> u32 {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Scenario: any record is written at any place, and read there and elsewhere.
        /// Guarantees: it is read as it was written, but only at its own place.
        #[test]
        fn round_trip(payload: Vec<u8>, key: u128, synced: u64, segment: u64, offset in 0..u64::MAX) {
            let at = Position { segment, offset };
            let mut out = Vec::new();
            put(&mut out, at, Kind::KeyedFrame, key, synced, &payload);
            let head = Head::parse(&out, at).expect("a head");
            prop_assert_eq!(head.needs(), Some(key));
            prop_assert_eq!((head.synced, head.size()), (synced, out.len() as u64));
            prop_assert!(head.holds(&out[HEAD..]));
            let elsewhere = Position { segment, offset: offset + 1 };
            prop_assert_eq!(Head::parse(&out, elsewhere), None);
        }

        /// Scenario: one bit of a head flips, or the bytes are no record at all.
        /// Guarantees: it is refused, without a panic.
        #[test]
        fn damage(bit in 0..HEAD * 8, noise: Vec<u8>) {
            let at = Position { segment: 1, offset: 7 };
            let mut out = Vec::new();
            put(&mut out, at, Kind::Frame, 0, 0, b"payload");
            out[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Head::parse(&out, at), None);
            prop_assert_eq!(Head::parse(&noise, at), None);
        }
    }
}
