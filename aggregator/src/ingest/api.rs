//! The configuration of the agents' door, and how often it speaks of what comes to it.

use std::net::SocketAddr;
use std::time::Duration;

use ao_common::units::Size;
use serde::Deserialize;

/// What a peer may cause without end is said once in this time, of each kind.
pub(crate) const SAID_EVERY: Duration = Duration::from_secs(60);

/// Section `ingest`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where agents connect.
    pub listen: SocketAddr,
    /// No encryption and no check of who speaks: for labs alone, and only where agents say `http://` too.
    pub plaintext: bool,
    /// Connections at one time; beyond it those that have not greeted make room.
    pub max_connections: usize,
    /// Streams at one time (two for each agent); more are refused.
    pub max_streams: usize,
    /// Agents that this aggregator may know, connected or not; an agent keeps its id with its data folder.
    pub max_agents: usize,
    /// Series that an agent's metrics may have at one time.
    pub max_series: usize,
    /// Memory for messages on their way to the journal, over all streams; beyond it streams wait their turn.
    pub memory: Size,
    /// Memory for keyframes, over all streams.
    pub keyframes: Size,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4417)),
            plaintext: false,
            max_connections: 1024,
            max_streams: 2048,
            max_agents: 4096,
            max_series: 1 << 18,
            memory: Size::mib(256),
            keyframes: Size::mib(128),
        }
    }
}
