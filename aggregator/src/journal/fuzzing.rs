//! What the fuzz targets reach of this room.

use std::path::Path;
use std::sync::Arc;

use ao_common::journal::Fold as _;

use super::fold::{Fold, Memory};
use super::received::{Counts, Received};
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

/// The note of what was received, beside a journal that has nothing.
pub(crate) fn received(file: &Path) {
    let Ok(note) = Received::open(file, &Counts::new()) else { return };
    let again = Received::open(file, &Counts::new());
    assert!(again.is_ok_and(|again| again.lost() == note.lost()), "what is lost is lost once");
}
