//! What the fuzz targets reach of this room.

use std::path::Path;
use std::time::Duration;

use ao_common::clock;

use super::registry::{self, Registry};

/// The list of nodes in a folder, and those that are to be forgotten.
pub(crate) fn nodes(folder: &Path) {
    let Ok(registry) = Registry::open(folder, Duration::from_secs(60)) else { return };
    let now = clock::system_time();
    // An error is an answer.
    let _asked = registry.forget_as_asked(folder, now);
    if registry.save(now).is_ok() {
        assert!(registry::nodes(folder).is_ok(), "what was saved is read");
    }
}
