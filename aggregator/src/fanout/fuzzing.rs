//! What the fuzz targets reach of this room.

use std::path::Path;

use ao_common::journal::Position;

use super::counts::Counts;
use super::intent::Intent;

/// The files `x.counts` and `x.intent` in a folder.
pub(crate) fn notes(dir: &Path) {
    let at = Position { segment: 3, offset: 70 };
    let _noted = Intent::new(dir, "x").read(at);
    if let Ok(counts) = Counts::open(dir, "x", "loki", at) {
        let total = counts.total().clone();
        drop(counts);
        // Summed up, it says the same.
        assert!(Counts::open(dir, "x", "loki", at).is_ok_and(|again| *again.total() == total));
    }
}
