//! The aggregator's journals: one per class.

use ao_common::journal::Key;
use ao_proto::v1::FrameHeader;

/// The classes in the order of their worth; the last is shed first. A class's place is its number in the journal.
pub const CLASSES: [ao_proto::v1::Class; 4] = [
    ao_proto::v1::Class::Metrics,
    ao_proto::v1::Class::Spans,
    ao_proto::v1::Class::Logs,
    ao_proto::v1::Class::LogsLow,
];

/// The journal's name for the keyframe that a frame needs: the agent is part of it, so that no agent can put a
/// keyframe in another's way. `None` where the frame needs none.
pub fn keyframe_key(header: &FrameHeader) -> Option<Key> {
    if header.keyframe == 0 {
        return None;
    }
    let agent = header.agent.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Some(u128::from(agent) << 64 | u128::from(header.keyframe))
}
