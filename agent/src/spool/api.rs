//! What goes into the spool.

use ao_common::journal::Key;
use ao_proto::model::FileId;
use ao_proto::v1::FrameHeader;
use bytes::Bytes;
use tokio::sync::oneshot;

/// A frame that lacks its place in the spool.
pub(crate) struct Draft {
    /// All but lane, epoch and sequence.
    pub(crate) header: FrameHeader,
    /// Compressed.
    pub(crate) payload: Vec<u8>,
    /// The keyframe it needs, sealed.
    pub(crate) keyframe: Option<(Key, Bytes)>,
    /// Told once the frame is fsynced.
    pub(crate) stored: Vec<oneshot::Sender<()>>,
    /// Files whose checkpoints go once the frame is fsynced.
    pub(crate) forget: Vec<FileId>,
}
