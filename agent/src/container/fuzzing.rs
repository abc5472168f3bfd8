//! What the fuzz targets reach of this room.

use std::sync::Arc;

use ao_common::admin::SharedRegistry;

use super::config::Config;
use super::path;
use super::rounds::Containers;
use crate::context::Roots;

/// Three rounds over the trees below `roots`: names are known in the second, limits are read again in the third.
pub(crate) fn rounds(roots: &Roots) {
    let mut containers = Containers::new(Config::default(), roots.clone());
    let registry = SharedRegistry::default();
    containers.register(&registry);
    for at_ms in 0..3 {
        for set in containers.round(&Arc::default(), at_ms) {
            let _text = set.exposition();
        }
    }
    // A round catches the panics of its parts.
    let registry = registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut text = String::new();
    let _infallible = prometheus_client::encoding::text::encode(&mut text, &registry);
    assert!(text.contains("ao_container_missed_total{kind=\"panic\"} 0\n"), "{text}");
}

/// A cgroup's path: what it says of a pod or a container stands in it.
pub(crate) fn path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let said = path::read(&text);
    assert!(said.container.is_none_or(|id| !id.is_empty() && text.contains(id)));
    assert!(said.pod.is_none_or(|uid| !uid.is_empty()));
}
