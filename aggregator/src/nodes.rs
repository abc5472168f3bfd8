//! Which agents there are, by node name: for the console, the ledger and `up`. Names are kept on disk, so that the
//! ledger's accounts go by their nodes' names after a restart, before the agents greet again.

mod names;
mod reach;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ao_common::clock::{self, now_ms};
use ao_proto::queue::Lane;
use ao_proto::v1::{ClockAsk, Hello};

pub use reach::Reach;

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
    /// The same by boot time, which nobody sets.
    pub last_seen_boot_ns: i64,
    /// Its clock less ours, milliseconds: as the agent has measured it, or from its greeting, which was some way.
    pub clock_ahead_ms: i64,
    /// What its last question about the clock said.
    pub clock: Option<NodeClock>,
}

/// What a question about the clock said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeClock {
    /// The node's clock less ours, nanoseconds.
    pub ahead_ns: i64,
    /// When it came, by boot time.
    pub asked_boot_ns: i64,
}

/// In place of an agent's id: what the aggregator writes itself. No agent may greet with it.
pub const AUTHOR: [u8; 16] = *b"ao-aggregator\0\0\0";
/// Its name among the nodes' names.
pub const AUTHOR_NAME: &str = "aggregator";

/// A node's cluster and name.
pub type Node = (String, String);

/// A node that has been there, under whatever agent ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// When anything of it last came, milliseconds since 1970.
    pub seen_ms: i64,
    /// The same by boot time; `None` where it was before this process.
    pub seen_boot_ns: Option<i64>,
}

/// More are not kept: those that are gone the longest are forgotten.
const MAX_NODES: usize = 8192;

/// All agents that have greeted since the start, and the names of those before. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Nodes {
    greeted: Arc<Mutex<BTreeMap<[u8; 16], NodeInfo>>>,
    names: names::Names,
}

impl Nodes {
    /// With the names that an earlier process has kept under `data_dir`. Blocking.
    pub fn open(data_dir: &Path) -> Self {
        Self { greeted: Arc::default(), names: names::Names::load(&data_dir.join("nodes.json")) }
    }

    /// The node of an agent, where it has ever greeted.
    pub fn name_of(&self, agent: &[u8; 16]) -> Option<String> {
        if *agent == AUTHOR { Some(AUTHOR_NAME.to_owned()) } else { self.names.get(agent) }
    }

    /// All nodes that have ever been there, by cluster and name. Has it kept on disk when they were seen.
    pub fn sightings(&self) -> BTreeMap<Node, Sighting> {
        let greeted = self.list();
        self.names.seen(greeted.iter().map(|info| (info.agent, info.last_seen_ms)));
        let mut all = BTreeMap::<_, Sighting>::new();
        for known in self.names.list() {
            let of = all.entry((known.cluster, known.node)).or_default();
            of.seen_ms = of.seen_ms.max(known.seen_ms);
        }
        for info in greeted {
            let of = all.entry((info.cluster, info.node)).or_default();
            of.seen_ms = of.seen_ms.max(info.last_seen_ms);
            of.seen_boot_ns = of.seen_boot_ns.max(Some(info.last_seen_boot_ns));
        }
        all
    }

    /// Whoever was there when an earlier process ended was seen at this time or later, milliseconds since 1970.
    pub fn earlier_ms(&self) -> i64 {
        self.names.earlier_ms()
    }

    /// Those that take part in the mesh, each node once, and when they were last seen. Of a node that got a new agent id
    /// the newest holds.
    pub fn members(&self) -> Vec<(Node, Reach, Sighting)> {
        let sightings = self.sightings();
        let mut newest = BTreeMap::<Node, names::Known>::new();
        for known in self.names.list() {
            let node = (known.cluster.clone(), known.node.clone());
            if newest.get(&node).is_none_or(|held| held.seen_ms <= known.seen_ms) {
                newest.insert(node, known);
            }
        }
        let member = |(node, known): (Node, names::Known)| {
            let seen = sightings.get(&node).copied().unwrap_or_default();
            known.reach.map(|reach| (node, reach, seen))
        };
        newest.into_iter().filter_map(member).collect()
    }

    /// The node of an agent, or the agent's id where that is all that is known of it.
    pub fn name_or_id(&self, agent: &[u8; 16]) -> String {
        self.name_of(agent).unwrap_or_else(|| format!("{:032x}", u128::from_be_bytes(*agent)))
    }

    /// Keeps new names on disk, until the shutdown.
    pub async fn keep(self, shutdown: tokio_util::sync::CancellationToken) {
        self.names.keep(shutdown).await;
    }

    pub(crate) fn greeted(&self, agent: [u8; 16], hello: &Hello) {
        let now = now_ms();
        // Only the fresh lane's hello tells how the node is reached.
        let reach = (hello.lane == Lane::Fresh.number()).then(|| Reach::of(hello));
        self.names.note(agent, &hello.node, &hello.cluster, reach, now);
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
            info.last_seen_boot_ns = clock::boot_ns();
            info.clock_ahead_ms = hello.now_ms.saturating_sub(now);
        });
    }

    /// A question about the clock has come: what the agent has measured, else what its stamp says.
    pub(crate) fn asked(&self, agent: [u8; 16], ask: &ClockAsk, received_ns: i64) {
        let ahead_ns = ask.offset_ns.unwrap_or(ask.sent_ns.saturating_sub(received_ns));
        let clock = NodeClock { ahead_ns, asked_boot_ns: clock::boot_ns() };
        self.with(|all| {
            if let Some(info) = all.get_mut(&agent) {
                info.clock = Some(clock);
                info.clock_ahead_ms = ahead_ns / 1_000_000;
            }
        });
    }

    /// Our clock has moved, and with it what was measured against it.
    pub(crate) fn clock_moved(&self, by_ns: i64) {
        self.with(|all| {
            for info in all.values_mut() {
                if let Some(clock) = &mut info.clock {
                    clock.ahead_ns = clock.ahead_ns.saturating_sub(by_ns);
                    info.clock_ahead_ms = clock.ahead_ns / 1_000_000;
                }
            }
        });
    }

    pub(crate) fn heard(&self, agent: [u8; 16]) {
        let (now, boot) = (now_ms(), clock::boot_ns());
        self.with(|all| {
            if let Some(info) = all.get_mut(&agent) {
                (info.last_seen_ms, info.last_seen_boot_ns) = (now, boot);
            }
        });
    }

    pub(crate) fn left(&self, agent: [u8; 16]) {
        self.with(|all| all.get_mut(&agent).map(|info| info.streams = info.streams.saturating_sub(1)));
    }

    /// All of them.
    pub fn list(&self) -> Vec<NodeInfo> {
        self.with(|all| all.values().cloned().collect())
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<[u8; 16], NodeInfo>) -> T) -> T {
        work(&mut self.greeted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
