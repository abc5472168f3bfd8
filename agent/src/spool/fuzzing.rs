//! What the fuzz targets reach of this room.

use std::sync::Arc;

use ao_common::journal::Fold as _;

use super::fold::Fold;

/// The state at a segment's head.
pub(crate) fn state(data: &[u8]) {
    let restored = |snapshot: &[u8]| {
        let mut fold = Fold { queue: 0, ledger: Arc::default(), checkpoints: Arc::default() };
        fold.restore(snapshot);
        fold.snapshot()
    };
    let once = restored(data);
    assert_eq!(restored(&once).len(), once.len(), "what was stored is restored");
}
