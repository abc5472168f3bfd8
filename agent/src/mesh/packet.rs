//! The echo's packet: a question, padded to any size, and its answer, which has the same bytes and three times more.
//!
//! ```text
//! 0   "AOE1"
//! 4   kind: 1 question, 2 answer
//! 5   of a question: the mark of the recording that counts it at the other end, 0 for none; two bytes of zero
//! 8   token: random, so that nobody answers who was not asked
//! 16  received: when the question came, by the answerer's boot time, ns
//! 24  answered: when the answer left, by the same
//! 32  anchor: the answerer's wall time less its boot time, ns
//! 40  zeroes up to the size of the question
//! ```
//!
//! All numbers are big-endian. The asker keeps its own times to itself.

/// Bytes of an answer, and the least of a question: no answer is larger than its question.
pub(super) const LEN: usize = 40;
const MAGIC: &[u8; 4] = b"AOE1";
const QUESTION: u8 = 1;
const ANSWER: u8 = 2;

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) received_ns: i64,
    pub(super) answered_ns: i64,
    pub(super) anchor_ns: i64,
}

/// A packet that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    Question { token: u64, mark: u8 },
    Answer { token: u64, times: Times },
}

/// Writes a question of `size` bytes, at least [`LEN`].
pub(super) fn question(token: u64, mark: u8, size: usize, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[QUESTION, mark, 0, 0]);
    out.extend_from_slice(&token.to_be_bytes());
    out.resize(size.max(LEN), 0);
}

/// An answer's bytes.
pub(super) fn answer(token: u64, times: Times) -> [u8; LEN] {
    let mut out = [0; LEN];
    out[..4].copy_from_slice(MAGIC);
    out[4] = ANSWER;
    let fields = [token, times.received_ns as u64, times.answered_ns as u64, times.anchor_ns as u64];
    for (place, field) in out[8..].chunks_exact_mut(8).zip(fields) {
        place.copy_from_slice(&field.to_be_bytes());
    }
    out
}

/// Reads a packet; `None` for anything else.
pub(super) fn read(data: &[u8]) -> Option<Packet> {
    let (head, rest) = data.split_first_chunk::<8>()?;
    (head.starts_with(MAGIC) && data.len() >= LEN).then_some(())?;
    let mut fields = rest.chunks_exact(8).map_while(|bytes| bytes.first_chunk().copied());
    let token = u64::from_be_bytes(fields.next()?);
    match head[4] {
        QUESTION => Some(Packet::Question { token, mark: head[5] }),
        ANSWER => {
            let mut time = || fields.next().map(i64::from_be_bytes);
            let times = Times { received_ns: time()?, answered_ns: time()?, anchor_ns: time()? };
            Some(Packet::Answer { token, times })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Scenario: any question and any answer.
        /// Guarantees: they come back; an answer is never larger than what it answers.
        #[test]
        fn round_trip(token: u64, mark: u8, size in 0_usize..2000, received_ns: i64, answered_ns: i64, anchor_ns: i64) {
            let mut asked = Vec::new();
            question(token, mark, size, &mut asked);
            prop_assert_eq!(read(&asked), Some(Packet::Question { token, mark }));
            let times = Times { received_ns, answered_ns, anchor_ns };
            let answered = answer(token, times);
            prop_assert_eq!(read(&answered), Some(Packet::Answer { token, times }));
            prop_assert!(answered.len() <= asked.len());
        }

        /// Scenario: any bytes, with and without a packet's beginning.
        /// Guarantees: no panic; what is too short is none.
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60), kind: u8) {
            let _any = read(&bytes);
            let framed = [&MAGIC[..], &[kind], &bytes].concat();
            prop_assert!(framed.len() >= LEN || read(&framed).is_none());
        }
    }
}
