//! All that is read of a host, with what it remembers from round to round, as text.

use std::sync::Arc;

use ao_common::clock::now_ms;

use crate::collector::{Collectors, RunError};
use crate::config::Config;
use crate::container::{self, Containers};
use crate::context::Roots;

/// See the module.
pub(super) struct Reader {
    collectors: Option<Collectors>,
    containers: Option<Containers>,
    roots: Arc<Roots>,
}

impl Reader {
    /// All that is on, or the one collector that is named; `container` is one of them.
    ///
    /// # Errors
    /// Where the name is unknown or a collector cannot be built.
    pub(super) fn new(config: &Config, roots: &Roots, only: Option<&str>) -> Result<Self, RunError> {
        let (hosts, containers) = match only {
            Some(container::NAME) => (false, true),
            Some(_) => (true, false),
            None => (true, config.containers.enabled),
        };
        let collectors = hosts.then(|| config.collectors.collectors(only)).transpose()?;
        let containers =
            containers.then(|| Containers::new(config.containers.clone(), roots.clone()).in_one_group());
        Ok(Self { collectors, containers, roots: Arc::new(roots.clone()) })
    }

    /// One round in the Prometheus text format. Blocking, for the deadlines at the longest.
    pub(super) fn read(&mut self) -> String {
        let at_ms = now_ms();
        let hosts = self.collectors.as_mut().map(|collectors| collectors.round(&self.roots, at_ms));
        let containers = self.containers.as_mut().map(|c| c.round(&Arc::default(), at_ms));
        let sets = hosts.into_iter().chain(containers.into_iter().flatten());
        sets.map(|set| set.exposition()).collect()
    }
}
