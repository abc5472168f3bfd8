//! All that is read of a host, with what it remembers from round to round, as text.

use std::sync::Arc;

use ao_common::clock::now_ms;

use crate::collector::{Collectors, RunError};
use crate::config::Config;
use crate::context::Roots;

/// See the module.
pub(super) struct Reader {
    collectors: Collectors,
    roots: Arc<Roots>,
}

impl Reader {
    /// All that is on, or the one collector that is named.
    ///
    /// # Errors
    /// Where the name is unknown or a collector cannot be built.
    pub(super) fn new(config: &Config, roots: &Roots, only: Option<&str>) -> Result<Self, RunError> {
        Ok(Self { collectors: config.collectors.collectors(only)?, roots: Arc::new(roots.clone()) })
    }

    /// One round in the Prometheus text format. Blocking, for the collectors' deadline at the longest.
    pub(super) fn read(&mut self) -> String {
        self.collectors.round(&self.roots, now_ms()).exposition()
    }
}
