//! The plan: a pure function of what is observed, so that all replicas push the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ao_proto::v1::{Container, Directives, Pod, Target};
use prost::Message;
use serde::Deserialize;
use thiserror::Error;

use crate::control::mesh::Mesh;

/// Everything that nodes are told. As YAML:
///
/// ```yaml
/// nodes:
///   "*":                    # every node
///     latency: [192.0.2.1, {host: dns.example, labels: {site: lab}}]
///     paths: [192.0.2.1]
///   worker-1:               # beside what "*" says
///     latency: [192.0.2.7]
/// pods:
///   - {uid: 3f..., namespace: shop, name: web-1, node: worker-1, owner: {kind: Deployment, name: web}, labels: {app: web}}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// By node name; `*` is every node.
    pub nodes: BTreeMap<String, NodePlan>,
    /// All pods.
    pub pods: Vec<PodEntry>,
}

/// What a node is to probe.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodePlan {
    /// Round trips to these.
    pub latency: Vec<TargetEntry>,
    /// Paths to these.
    pub paths: Vec<TargetEntry>,
}

/// A host, or a host with labels for its series.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum TargetEntry {
    /// The host alone.
    Host(String),
    /// With labels.
    Labelled {
        /// Name or address.
        host: String,
        /// Extra labels.
        #[serde(default)]
        labels: BTreeMap<String, String>,
    },
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PodEntry {
    uid: String,
    namespace: String,
    name: String,
    node: String,
    #[serde(default)]
    owner: Owner,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    containers: Vec<ContainerEntry>,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContainerEntry {
    id: String,
    name: String,
    #[serde(default)]
    image: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Owner {
    kind: String,
    name: String,
}

/// Why a plan's file is not taken; the plan before it stays in force.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The file.
    #[error("cannot read the directives in {path}: {why}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// Its content.
    #[error(transparent)]
    Content(#[from] ao_common::config::ConfigError),
}

impl Plan {
    /// Reads a file.
    ///
    /// # Errors
    /// Where it cannot be read, or says something unknown.
    pub fn load(path: &Path) -> Result<Self, PlanError> {
        let read = |why| PlanError::Read { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(read)?;
        Ok(ao_common::config::parse(&text, &path.display().to_string())?)
    }

    /// What one node is told, of this plan and the mesh. The version is a hash of the content and never 0.
    pub fn for_node(&self, cluster: &str, node: &str, mesh: &Mesh) -> Directives {
        let plans: Vec<&NodePlan> = ["*", node].iter().filter_map(|name| self.nodes.get(*name)).collect();
        let pods = self.pods.iter().filter(|pod| pod.node == node).map(PodEntry::message);
        let mut directives = Directives {
            pods: pods.collect(),
            latency: targets(plans.iter().flat_map(|plan| &plan.latency)),
            paths: targets(plans.iter().flat_map(|plan| &plan.paths)),
            ..Directives::default()
        };
        mesh.direct(cluster, node, &mut directives);
        let content = directives.encode_to_vec();
        let hash = content.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        directives.version = hash.max(1);
        directives
    }
}

/// Each host once; the first entry of a host stays.
fn targets<'a>(entries: impl Iterator<Item = &'a TargetEntry>) -> Vec<Target> {
    let mut found: Vec<Target> = Vec::new();
    for entry in entries {
        let (host, labels) = match entry {
            TargetEntry::Host(host) => (host, BTreeMap::new()),
            TargetEntry::Labelled { host, labels } => (host, labels.clone()),
        };
        if found.iter().all(|known| known.host != *host) {
            found.push(Target { host: host.clone(), labels });
        }
    }
    found
}

impl PodEntry {
    fn message(&self) -> Pod {
        let container =
            |c: &ContainerEntry| Container { id: c.id.clone(), name: c.name.clone(), image: c.image.clone() };
        Pod {
            uid: self.uid.clone(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            owner_kind: self.owner.kind.clone(),
            owner_name: self.owner.name.clone(),
            labels: self.labels.clone(),
            containers: self.containers.iter().map(container).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = r#"
nodes:
  "*": {latency: [192.0.2.1, {host: dns.example, labels: {site: lab}}]}
  a: {latency: [192.0.2.1, 192.0.2.7], paths: [192.0.2.9]}
pods:
  - {uid: u1, namespace: shop, name: web-1, node: a, owner: {kind: Deployment, name: web}, labels: {app: web}, containers: [{id: c1, name: app, image: web:1}]}
  - {uid: u2, namespace: shop, name: web-2, node: b}
"#;

    /// Scenario: a plan for all nodes and more for one.
    /// Guarantees: each node sees its own pods, each target once; the version follows the content and nothing else.
    #[test]
    fn each_node_sees_its_own() {
        let plan: Plan = ao_common::config::parse(YAML, "test").unwrap();
        let told = |node| plan.for_node("", node, &Mesh::default());
        let (a, b) = (told("a"), told("b"));
        let hosts: Vec<_> = a.latency.iter().map(|t| t.host.as_str()).collect();
        assert_eq!(hosts, ["192.0.2.1", "dns.example", "192.0.2.7"]);
        assert_eq!((a.paths.len(), b.paths.len(), b.latency.len()), (1, 0, 2));
        assert_eq!((a.pods[0].owner_name.as_str(), b.pods[0].uid.as_str()), ("web", "u2"));
        assert_eq!((a.pods[0].containers[0].image.as_str(), b.pods[0].containers.len()), ("web:1", 0));
        assert_eq!(a.version, plan.clone().for_node("", "a", &Mesh::default()).version);
        assert!(a.version != b.version && a.version != 0);
    }

    /// Scenario: a misspelt key.
    /// Guarantees: it is refused, with its name.
    #[test]
    fn unknown_keys_are_refused() {
        let error = ao_common::config::parse::<Plan>("nodes: {a: {latencies: []}}", "test").unwrap_err();
        assert!(error.to_string().contains("latencies"), "{error}");
    }
}
