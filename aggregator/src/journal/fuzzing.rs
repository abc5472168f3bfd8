//! What the fuzz targets reach of this room.

use std::sync::Arc;

use ao_common::journal::Fold as _;

use super::fold::{Fold, Memory};
use crate::ledger::Ledger;

/// The state at a segment's head.
pub(crate) fn state(data: &[u8]) {
    let restored = |snapshot: &[u8]| {
        let mut fold = Fold::new(0, Arc::new(Memory::default()), Ledger::default(), &["loki"]);
        fold.restore(snapshot);
        fold.snapshot()
    };
    let once = restored(data);
    assert_eq!(restored(&once).len(), once.len(), "what was stored is restored");
}
