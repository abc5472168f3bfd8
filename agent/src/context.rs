//! What every source is handed: where its events go, what the aggregator wants of this node, who this node is, and
//! when to stop.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ao_proto::model::FileId;
use ao_proto::v1::Directives;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::event::Event;

/// How far a log file is in the spool, fsynced; `None` where the spool knows nothing of it.
pub type Durable = Arc<dyn Fn(FileId) -> Option<u64> + Send + Sync>;

/// Handed to each source's `run`. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// Bounded; sending waits while the batcher is behind, never for the network.
    pub events: mpsc::Sender<Event>,
    /// The newest directives; begins with those kept on disk, or empty ones.
    pub directives: watch::Receiver<Arc<Directives>>,
    /// Who and where.
    pub node: Arc<Node>,
    /// Cancelled when the agent stops: a source ends what it has in hand and returns.
    pub shutdown: CancellationToken,
}

/// This node.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// The `node` label, and `instance` of host data.
    pub name: String,
    /// The `cluster` label.
    pub cluster: String,
    /// The host's /proc, /sys and / (options, so that a container sees the host).
    pub roots: Roots,
    /// How other nodes reach it; `None` where it takes no part in the mesh.
    pub reach: Option<Reach>,
}

/// How other nodes reach this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Address; `None` for the one from which it speaks to the aggregator.
    pub address: Option<IpAddr>,
    /// UDP port of its echo.
    pub port: u16,
    /// Zone, rack or site; may be empty.
    pub zone: String,
    /// The site declares this node's clock synchronised.
    pub synchronised: bool,
}

/// Where the host's trees are mounted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Roots {
    /// /proc
    pub proc: PathBuf,
    /// /sys
    pub sys: PathBuf,
    /// /
    pub root: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into(), root: "/".into() }
    }
}
