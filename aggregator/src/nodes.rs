//! Which agents there are, by node name: for the console, the ledger and `up`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ao_common::clock::now_ms;
use ao_proto::v1::Hello;

/// One agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// Agent's id.
    pub agent: [u8; 16],
    /// Node's name.
    pub node: String,
    /// Cluster's name.
    pub cluster: String,
    /// The agent's build.
    pub build: String,
    /// Streams that are open.
    pub streams: u32,
    /// When it last sent anything, milliseconds since 1970.
    pub last_seen_ms: i64,
    /// Its clock less ours when it greeted, milliseconds; the way of the greeting is in it.
    pub clock_ahead_ms: i64,
}

/// More are not kept: those that are gone the longest are forgotten.
const MAX_NODES: usize = 8192;

/// All agents that have greeted since the start. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Nodes(Arc<Mutex<BTreeMap<[u8; 16], NodeInfo>>>);

impl Nodes {
    pub(crate) fn greeted(&self, agent: [u8; 16], hello: &Hello) {
        let now = now_ms();
        self.with(|all| {
            if all.len() >= MAX_NODES && !all.contains_key(&agent) {
                let gone = all.values().filter(|info| info.streams == 0);
                if let Some(oldest) = gone.min_by_key(|info| info.last_seen_ms).map(|info| info.agent) {
                    all.remove(&oldest);
                }
            }
            let info = all.entry(agent).or_default();
            info.agent = agent;
            info.node.clone_from(&hello.node);
            info.cluster.clone_from(&hello.cluster);
            info.build.clone_from(&hello.build);
            info.streams += 1;
            info.last_seen_ms = now;
            info.clock_ahead_ms = hello.now_ms.saturating_sub(now);
        });
    }

    pub(crate) fn heard(&self, agent: [u8; 16]) {
        let now = now_ms();
        self.with(|all| all.get_mut(&agent).map(|info| info.last_seen_ms = now));
    }

    pub(crate) fn left(&self, agent: [u8; 16]) {
        self.with(|all| all.get_mut(&agent).map(|info| info.streams = info.streams.saturating_sub(1)));
    }

    /// All of them.
    pub fn list(&self) -> Vec<NodeInfo> {
        self.with(|all| all.values().cloned().collect())
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<[u8; 16], NodeInfo>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
