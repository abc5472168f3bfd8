//! Under whose labels a pod's network is reported, and which process tells it: the sandbox where there is one, as cAdvisor
//! does, else the pod's own cgroup. A container of no pod has a network of its own.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::cgroup::Cgroup;
use super::network::HOST;
use super::path::Kind;
use super::reader::Reader;
use crate::event::SharedLabels;

/// Of one group, in one round.
#[derive(Default)]
pub(super) struct Carriers {
    /// By the pod's UID or the container's id.
    all: BTreeMap<String, Carrier>,
}

struct Carrier {
    /// Whose labels these are: the higher the better.
    rank: u8,
    labels: SharedLabels,
    pid: Option<u32>,
    containers: Vec<String>,
}

/// A network to report.
pub(super) struct Network {
    pub(super) pid: u32,
    pub(super) labels: SharedLabels,
}

impl Carriers {
    /// Each cgroup of the group, once it is read.
    pub(super) fn note(&mut self, cgroup: &Cgroup, labels: &SharedLabels) {
        let (rank, key) = match (cgroup.kind, &cgroup.pod, &cgroup.container) {
            (Kind::Pod, Some(pod), _) => (1, pod),
            (Kind::Container, Some(pod), _) if cgroup.sandbox => (2, pod),
            (Kind::Container, Some(pod), _) => (0, pod),
            (Kind::Container, None, Some(container)) => (0, container),
            _ => return,
        };
        let carrier = self.all.entry(key.clone()).or_insert_with(|| Carrier {
            rank,
            labels: labels.clone(),
            pid: None,
            containers: Vec::new(),
        });
        if rank > carrier.rank {
            (carrier.rank, carrier.labels) = (rank, labels.clone());
        }
        carrier.pid = carrier.pid.or(cgroup.pid);
        carrier.containers.extend(cgroup.container.clone());
    }

    /// The networks that are not the host's, each once; whether processes are missing that a scan may find.
    /// `scanned`: a process of each container, found before.
    pub(super) fn networks(
        self,
        reader: &mut Reader,
        scanned: &HashMap<String, u32>,
    ) -> (Vec<Network>, bool) {
        let host = reader.processes().network(HOST);
        let (mut found, mut seen, mut missing) = (Vec::new(), HashSet::new(), false);
        for Carrier { labels, pid, containers, .. } in self.all.into_values() {
            let mut by_scan = || {
                containers.iter().find_map(|container| {
                    let pid = *scanned.get(container)?;
                    reader.is_in(pid, container).then_some(pid)
                })
            };
            let Some(pid) = pid.or_else(&mut by_scan) else {
                missing |= !containers.is_empty();
                continue;
            };
            let network = reader.processes().network(pid);
            if network.is_some() && network != host && seen.insert(network) {
                found.push(Network { pid, labels });
            }
        }
        (found, missing)
    }
}
