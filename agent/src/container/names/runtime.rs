//! What the container runtimes write down of each container, below the host's root: the OCI configuration with the
//! annotations of containerd (docs of its CRI plugin) and CRI-O, and Docker's own `config.v2.json`.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;

use super::known::{ContainerName, PodName};

/// Where the file of a container is, around its id.
const PLACES: [(&str, &str); 6] = [
    ("run/containerd/io.containerd.runtime.v2.task/k8s.io", "config.json"),
    ("run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io", "config.json"),
    ("run/containers/storage/overlay-containers", "userdata/config.json"),
    ("var/lib/containers/storage/overlay-containers", "userdata/config.json"),
    ("var/lib/docker/containers", "config.v2.json"),
    ("run/containerd/io.containerd.runtime.v2.task/default", "config.json"),
];

/// An OCI configuration has some 30 KiB; one with a long environment more.
const MOST_BYTES: u64 = 4 << 20;

/// All of these files at once: what is of interest has other names in each.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    annotations: HashMap<String, String>,
    /// Docker: with a slash before it.
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Config")]
    config: DockerConfig,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct DockerConfig {
    image: String,
    labels: Option<HashMap<String, String>>,
}

/// What a runtime says of this container.
pub(super) fn look_up(id: &str, root: &Path) -> Option<ContainerName> {
    PLACES.iter().find_map(|(folder, file)| {
        let path = root.join(folder).join(id).join(file);
        let mut bytes = Vec::new();
        File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        parse(&bytes)
    })
}

/// `None` where the file is not what a runtime writes, or not of the shape that is known.
pub(super) fn parse(bytes: &[u8]) -> Option<ContainerName> {
    let written: Written = serde_json::from_slice(bytes).ok()?;
    let mut notes = written.annotations;
    notes.extend(written.config.labels.unwrap_or_default());
    let mut take = |names: &[&str]| names.iter().find_map(|name| notes.remove(*name)).unwrap_or_default();
    let kind = take(&[
        "io.kubernetes.cri.container-type",
        "io.kubernetes.cri-o.ContainerType",
        "io.kubernetes.docker.type",
    ]);
    let container = take(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]);
    let sandbox = matches!(&*kind, "sandbox" | "podsandbox") || container == "POD";
    let image = take(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]);
    let of_sandbox = take(&["io.kubernetes.cri.podsandbox.image-name"]);
    let pod = PodName {
        namespace: take(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
        pod: take(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
    };
    let name = take(&["io.kubernetes.cri-o.Name", "nerdctl/name"]);
    let first = |a: String, b: String| if a.is_empty() { b } else { a };
    let found = ContainerName {
        pod,
        container: if sandbox { String::new() } else { container },
        image: first(first(image, if sandbox { of_sandbox } else { String::new() }), written.config.image),
        name: first(written.name.trim_start_matches('/').to_owned(), name),
        sandbox,
    };
    (found != ContainerName::default()).then_some(found)
}
