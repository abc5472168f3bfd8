//! What the fuzz targets reach of this room.

use std::path::Path;
use std::sync::Arc;

use ao_common::journal::{Fold as _, Position};

use super::counts::{Counts, Tally};
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

/// A cursor's counts.
pub(crate) fn counts(file: &Path) {
    let at = Position { segment: 3, offset: 70 };
    let Ok(mut counts) = Counts::open(file.to_owned(), at) else { return };
    let more: Tally = counts.total.clone();
    // Where there are too many sources it refuses, and keeps the file.
    if counts.add(at, &more).is_ok() {
        assert!(Counts::open(file.to_owned(), at).is_ok_and(|again| again.total == counts.total));
    }
}
