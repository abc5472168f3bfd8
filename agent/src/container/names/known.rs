//! What may be known of a pod and of a container.

/// A pod's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodName {
    pub(super) namespace: String,
    pub(super) pod: String,
}

/// What is known of one container; empty where nothing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ContainerName {
    pub(super) pod: PodName,
    /// Its name in the pod.
    pub(super) container: String,
    pub(super) image: String,
    /// The runtime's name for it, where that is not its id.
    pub(super) name: String,
    /// It holds the pod's network and nothing else.
    pub(super) sandbox: bool,
}
