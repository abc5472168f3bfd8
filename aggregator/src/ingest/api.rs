//! What the streams share.

use std::net::SocketAddr;
use std::sync::Arc;

use ao_common::journal::Journal;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::control::Plans;
use crate::journal::Memory;
use crate::metrics::Metrics;
use crate::nodes::Nodes;

/// Section `ingest`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where agents connect.
    pub listen: SocketAddr,
    /// Streams at one time; more are refused.
    pub max_streams: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 4417)), max_streams: 1024 }
    }
}

/// What the streams share.
#[derive(Clone)]
pub struct Ingest {
    /// Where frames go.
    pub journal: Journal,
    /// Which frames are there.
    pub memory: Arc<Memory>,
    /// Who is there.
    pub nodes: Nodes,
    /// What to tell them.
    pub plans: Plans,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Our name in Welcome.
    pub name: String,
    /// Cancelled when we stop: streams end after what they have in hand.
    pub shutdown: CancellationToken,
    /// One for each stream.
    pub permits: Arc<tokio::sync::Semaphore>,
}
