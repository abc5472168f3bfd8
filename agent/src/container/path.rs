//! What a cgroup's path says of it: a pod, a container, a service of systemd, or a folder that holds others.
//!
//! | made by | pod | container |
//! |---|---|---|
//! | systemd driver | `kubepods-burstable-podUID.slice`, `_` for `-` in the UID | `cri-containerd-ID.scope`, `crio-ID.scope`, `docker-ID.scope` |
//! | cgroupfs driver | `kubepods/burstable/podUID` | `ID`, `crio-ID` |
//! | a wrong mixture of both | `kubepods-...-podUID.slice:cri-containerd:ID`, in one name | |
//! | Docker, Podman alone | | `docker/ID`, `docker-ID.scope`, `libpod-ID.scope` |
//!
//! Anything may stand before it: kind and k3s nest a whole node in a container, under `kubelet.slice/kubelet-` or
//! `kubelet/`.

use std::ffi::OsStr;
use std::path::Path;

/// See the file's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The whole host.
    Root,
    /// Only holds others.
    Slice,
    /// Of systemd.
    Service,
    /// All of a pod.
    Pod,
    /// One container.
    Container,
    /// Within a container or a service, and made by it: its figures are part of theirs.
    Inside,
    /// A mount point of systemd, or the process that watches over a container: nothing of interest, and nothing below.
    Noise,
}

/// What a path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said<'a> {
    pub(super) kind: Kind,
    /// The UID as the API server writes it.
    pub(super) pod: Option<String>,
    /// The runtime's id.
    pub(super) container: Option<&'a str>,
}

/// Reads a path such as `/kubepods.slice/kubepods-pod1234.slice/cri-containerd-abcd.scope`.
pub(super) fn read(id: &str) -> Said<'_> {
    let mut said = Said { kind: Kind::Root, pod: None, container: None };
    let mut kube = false;
    for name in id.split('/').filter(|name| !name.is_empty() && *name != "." && *name != "..") {
        if is_noise(name) {
            return Said { kind: Kind::Noise, ..said };
        }
        let (folder, rest) = name.split_once(".slice:").map_or((name, None), |(f, r)| (f, Some(r)));
        kube |= folder.contains("kubepods");
        if let Some(uid) = kube.then(|| pod_of(folder)).flatten() {
            (said.pod, said.container, said.kind) = (Some(uid), None, Kind::Pod);
            if rest.is_none() {
                continue;
            }
        }
        if let Some(container) = container_of(rest.unwrap_or(name)) {
            // A container that is not below a pod of its own node is none of that pod's.
            if said.kind != Kind::Pod {
                said.pod = None;
            }
            (said.container, said.kind, kube) = (Some(container), Kind::Container, false);
            continue;
        }
        said.kind = match said.kind {
            Kind::Container | Kind::Service | Kind::Inside if !kube => Kind::Inside,
            _ if ends_with(name, "service") || ends_with(name, "scope") => Kind::Service,
            _ => Kind::Slice,
        };
    }
    said
}

/// Conmon watches over CRI-O's and Podman's containers. Of systemd's units only slices, services and scopes hold what
/// people ask for.
pub(super) fn is_noise(name: &str) -> bool {
    let conmon = name.starts_with("crio-conmon-") || name.starts_with("libpod-conmon-");
    conmon || ["mount", "swap", "socket", "device", "automount"].iter().any(|kind| ends_with(name, kind))
}

fn ends_with(name: &str, extension: &str) -> bool {
    Path::new(name).extension() == Some(OsStr::new(extension))
}

/// The UID in `pod1234-56` or `kubepods-besteffort-pod1234_56.slice`.
fn pod_of(name: &str) -> Option<String> {
    let uid = match name.strip_prefix("pod") {
        Some(uid) if !name.ends_with(".slice") => uid.to_owned(),
        _ => {
            let name = name.strip_suffix(".slice").unwrap_or(name);
            let (_, uid) = name.rsplit_once("-pod")?;
            uid.replace('_', "-")
        }
    };
    (!uid.is_empty()).then_some(uid)
}

/// The id in `ID`, `crio-ID`, `cri-containerd-ID.scope` or `cri-containerd:ID`: 64 hexadecimal digits.
fn container_of(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    let id = name.rsplit(['-', ':']).next().unwrap_or(name);
    (id.len() == 64 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))).then_some(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "5d0a6c1e-7f7b-4a53-9d3c-0a4f7ad0d001";

    /// Scenario: the paths of each runtime and driver, nested ones, services, and noise.
    /// Guarantees: kind, pod and container are seen in all of them.
    #[test]
    fn layouts() {
        let flat = UID.replace('-', "_");
        let pod = |kind, container| (kind, Some(UID), container);
        let own = |container| (Kind::Container, None, Some(container));
        for (path, (kind, uid, container)) in [
            ("/".to_owned(), (Kind::Root, None, None)),
            ("/system.slice".to_owned(), (Kind::Slice, None, None)),
            ("/system.slice/ssh.service".to_owned(), (Kind::Service, None, None)),
            ("/user.slice/user-0.slice/session-3.scope".to_owned(), (Kind::Service, None, None)),
            ("/system.slice/ssh.service/sub".to_owned(), (Kind::Inside, None, None)),
            ("/system.slice/var-lib.mount".to_owned(), (Kind::Noise, None, None)),
            ("/kubepods.slice/kubepods-burstable.slice".to_owned(), (Kind::Slice, None, None)),
            (format!("/kubepods.slice/kubepods-pod{flat}.slice"), pod(Kind::Pod, None)),
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{flat}.slice/cri-containerd-{ID}.scope"
                ),
                pod(Kind::Container, Some(ID)),
            ),
            (
                format!("/kubepods.slice/kubepods-pod{flat}.slice/crio-{ID}.scope"),
                pod(Kind::Container, Some(ID)),
            ),
            (
                format!("/kubepods.slice/kubepods-pod{flat}.slice/crio-conmon-{ID}.scope"),
                pod(Kind::Noise, None),
            ),
            (format!("/kubepods/burstable/pod{UID}"), pod(Kind::Pod, None)),
            (format!("/kubepods/burstable/pod{UID}/{ID}"), pod(Kind::Container, Some(ID))),
            (format!("/kubepods/pod{UID}/crio-{ID}"), pod(Kind::Container, Some(ID))),
            (format!("/kubepods/pod{UID}/{ID}/init.scope"), (Kind::Inside, Some(UID), Some(ID))),
            (
                format!(
                    "/system.slice/containerd.service/kubepods-burstable-pod{flat}.slice:cri-containerd:{ID}"
                ),
                pod(Kind::Container, Some(ID)),
            ),
            (format!("/docker/{ID}"), own(ID)),
            (format!("/system.slice/docker-{ID}.scope"), own(ID)),
            (format!("/system.slice/docker-{ID}.scope/init.scope"), (Kind::Inside, None, Some(ID))),
            (format!("/machine.slice/libpod-{ID}.scope/container"), (Kind::Inside, None, Some(ID))),
            (
                format!("/docker/{ID}/kubelet/kubepods/burstable/pod{UID}/{ID}"),
                pod(Kind::Container, Some(ID)),
            ),
            (
                format!(
                    "/system.slice/docker-{ID}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{flat}.slice/cri-containerd-{ID}.scope"
                ),
                pod(Kind::Container, Some(ID)),
            ),
            (
                "/kubepods.slice/kubepods-pod5e5c1aafc49a1ae0.slice".to_owned(),
                (Kind::Pod, Some("5e5c1aafc49a1ae0"), None),
            ),
            ("/podman/x".to_owned(), (Kind::Slice, None, None)),
        ] {
            let said = read(&path);
            assert_eq!((said.kind, said.pod.as_deref(), said.container), (kind, uid, container), "{path}");
        }
        // As a process in another cgroup namespace sees it.
        assert_eq!(read(&format!("/../cri-containerd-{ID}.scope")).container, Some(ID));
    }

    proptest! {
        /// Scenario: any path.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(path in "(/|pod|kubepods|-|_|:|\\.slice|\\.scope|[0-9a-f]{64}|.){0,12}") {
            let _any = read(&path);
        }
    }
}
