//! Names from where the kubelet puts logs: `/var/log/pods/NAMESPACE_POD_UID/CONTAINER`, and the links
//! `/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log`. Both are listed only when a name is asked for, at most once in
//! a round.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::known::PodName;

/// Entries of one folder that are looked at.
const MOST: usize = 50_000;

/// What was found in the folders.
#[derive(Default)]
pub(super) struct LogNames {
    /// By UID.
    pods: HashMap<String, PodName>,
    /// By the runtime's id.
    containers: HashMap<String, (PodName, String)>,
    /// In this round.
    listed: bool,
}

impl LogNames {
    pub(super) fn begin(&mut self) {
        self.listed = false;
    }

    pub(super) fn pod(&mut self, uid: &str, root: &Path) -> Option<PodName> {
        if !self.pods.contains_key(uid) {
            self.list(root);
        }
        self.pods.get(uid).cloned()
    }

    pub(super) fn container(&mut self, id: &str, root: &Path) -> Option<(PodName, String)> {
        if !self.containers.contains_key(id) {
            self.list(root);
        }
        self.containers.get(id).cloned()
    }

    fn list(&mut self, root: &Path) {
        if std::mem::replace(&mut self.listed, true) {
            return;
        }
        self.pods = names_in(&root.join("var/log/pods"), pod_of).collect();
        self.containers = names_in(&root.join("var/log/containers"), container_of).collect();
    }
}

fn names_in<T>(folder: &Path, read: fn(&str) -> Option<T>) -> impl Iterator<Item = T> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(MOST);
    entries.filter_map(move |entry| read(entry.file_name().to_str()?))
}

/// `NAMESPACE_POD_UID`: none of the three has an underscore.
fn pod_of(name: &str) -> Option<(String, PodName)> {
    let mut parts = name.splitn(3, '_');
    let (namespace, pod, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let name = PodName { namespace: namespace.to_owned(), pod: pod.to_owned() };
    (!uid.is_empty()).then(|| (uid.to_owned(), name))
}

/// `POD_NAMESPACE_CONTAINER-ID.log`.
fn container_of(name: &str) -> Option<(String, (PodName, String))> {
    let mut parts = name.strip_suffix(".log")?.splitn(3, '_');
    let (pod, namespace, rest) = (parts.next()?, parts.next()?, parts.next()?);
    let (container, id) = rest.rsplit_once('-')?;
    let name = PodName { namespace: namespace.to_owned(), pod: pod.to_owned() };
    Some((id.to_owned(), (name, container.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names as the kubelet makes them, and others.
    /// Guarantees: namespace, pod, UID, container and id are told apart.
    #[test]
    fn shapes() {
        let shop = PodName { namespace: "shop".to_owned(), pod: "web-6c9f7d-x2".to_owned() };
        assert_eq!(pod_of("shop_web-6c9f7d-x2_u-1"), Some(("u-1".to_owned(), shop.clone())));
        let link = container_of("web-6c9f7d-x2_shop_side-car-abc123.log");
        assert_eq!(link, Some(("abc123".to_owned(), (shop, "side-car".to_owned()))));
        for bad in ["", "a_b", "a_b_", "shop_web"] {
            assert_eq!(pod_of(bad), None, "{bad}");
        }
        for bad in ["a_b_c.log", "a_b_c-d", "a.log"] {
            assert_eq!(container_of(bad), None, "{bad}");
        }
    }
}
