//! What a cgroup's pod and container are called: the directives know, else the runtime's own files on this host, else
//! the names of the log folders.
//!
//! | file | room |
//! |---|---|
//! | `runtime.rs` | what containerd, CRI-O and Docker wrote down of a container |
//! | `known.rs` | what may be known of one |
//! | `logs.rs` | what the kubelet called the log folders and links |

mod known;
mod logs;
mod runtime;

use std::collections::HashMap;
use std::path::Path;

use ao_proto::v1::Directives;

use super::path::{Kind, Said};
use known::{ContainerName, PodName};
use logs::LogNames;

/// The image's label where no source tells it. Rules and boards choose containers by `image!=""`.
const UNKNOWN_IMAGE: &str = "unknown";
/// The image of a sandbox where no source tells it.
const SANDBOX_IMAGE: &str = "pause";

/// All sources of names.
#[derive(Default)]
pub(super) struct Names {
    pods: HashMap<String, PodName>,
    containers: HashMap<String, ContainerName>,
    logs: LogNames,
    /// Pods that the runtime's files of one of their containers have named, by UID.
    seen: HashMap<String, PodName>,
}

/// The labels of a cgroup.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) sandbox: bool,
    /// Nothing is missing.
    pub(super) complete: bool,
}

impl Names {
    /// Takes newer directives.
    pub(super) fn take(&mut self, directives: &Directives) {
        self.pods.clear();
        self.containers.clear();
        for pod in &directives.pods {
            let name = PodName { namespace: pod.namespace.clone(), pod: pod.name.clone() };
            for container in &pod.containers {
                let known = ContainerName {
                    pod: name.clone(),
                    container: container.name.clone(),
                    image: container.image.clone(),
                    ..ContainerName::default()
                };
                self.containers.insert(container.id.clone(), known);
            }
            self.pods.insert(pod.uid.clone(), name);
        }
    }

    /// Begins a round: names that were looked up in an earlier one may be out of date.
    pub(super) fn begin(&mut self) {
        self.logs.begin();
    }

    /// Forgets what the runtimes said of pods that are gone.
    pub(super) fn forget(&mut self, pod: &str) {
        self.seen.remove(pod);
    }

    /// The labels of the cgroup with this path, on the host with this root.
    pub(super) fn name(&mut self, id: &str, said: &Said<'_>, root: &Path) -> Named {
        let mut labels = vec![("id", id.to_owned())];
        let mut add = |name, value: &str| {
            if !value.is_empty() {
                labels.push((name, value.to_owned()));
            }
        };
        match (said.kind, said.container) {
            (Kind::Container, Some(container)) => {
                let known = self.container(container, said.pod.as_deref(), root);
                let of_pod = said.pod.is_some();
                add("namespace", &known.pod.namespace);
                add("pod", &known.pod.pod);
                add("container", &known.container);
                add("name", if known.name.is_empty() { container } else { &known.name });
                let unknown = if known.sandbox { SANDBOX_IMAGE } else { UNKNOWN_IMAGE };
                add("image", if known.image.is_empty() { unknown } else { &known.image });
                let has_pod = !known.pod.pod.is_empty() && (known.sandbox || !known.container.is_empty());
                Named { labels, sandbox: known.sandbox, complete: !of_pod || has_pod }
            }
            (Kind::Pod, _) => {
                let pod = said.pod.as_deref().and_then(|uid| self.pod(uid, root)).unwrap_or_default();
                add("namespace", &pod.namespace);
                add("pod", &pod.pod);
                Named { labels, sandbox: false, complete: !pod.pod.is_empty() }
            }
            _ => Named { labels, sandbox: false, complete: true },
        }
    }

    fn pod(&mut self, uid: &str, root: &Path) -> Option<PodName> {
        let known = self.pods.get(uid).or_else(|| self.seen.get(uid)).cloned();
        known.or_else(|| self.logs.pod(uid, root))
    }

    fn container(&mut self, id: &str, pod: Option<&str>, root: &Path) -> ContainerName {
        let mut known = self.containers.get(id).cloned().unwrap_or_default();
        // Directives do not name sandboxes; the runtime's files fill in what they leave open.
        if (known.container.is_empty() || known.image.is_empty())
            && let Some(said) = runtime::look_up(id, root)
        {
            if let Some(uid) = pod
                && !said.pod.pod.is_empty()
            {
                self.seen.insert(uid.to_owned(), said.pod.clone());
            }
            let fill = |ours: &mut String, theirs: String| {
                if ours.is_empty() {
                    *ours = theirs;
                }
            };
            fill(&mut known.container, said.container);
            fill(&mut known.image, said.image);
            fill(&mut known.name, said.name);
            known.sandbox = said.sandbox;
            if known.pod.pod.is_empty() {
                known.pod = said.pod;
            }
        }
        if known.container.is_empty()
            && !known.sandbox
            && let Some((name, container)) = self.logs.container(id, root)
        {
            known.container = container;
            if known.pod.pod.is_empty() {
                known.pod = name;
            }
        }
        if known.pod.pod.is_empty()
            && let Some(uid) = pod
        {
            known.pod = self.pod(uid, root).unwrap_or_default();
        }
        if known.sandbox {
            known.container.clear();
        }
        known
    }
}

#[cfg(test)]
mod tests;
