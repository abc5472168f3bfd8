//! What the uplink works with, and why a connection ends: for all files of this room.

use std::sync::Arc;

use ao_common::health::Part;
use ao_common::journal::{Journal, JournalError, Position};
use ao_common::units::{Size, Span};
use ao_proto::class::CLASSES;
use ao_proto::v1::Directives;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::{broadcast, watch};

use crate::context::Node;
use crate::metrics::Metrics;

/// Section `aggregator`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Aggregators, tried in turn: `http://host:4417`.
    pub addresses: Vec<String>,
    /// Bytes sent and not yet acknowledged.
    pub window: Size,
    /// Longest wait between two attempts to connect.
    pub retry: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addresses: vec!["http://127.0.0.1:4417".to_owned()],
            window: Size::mib(16),
            retry: Span::secs(5),
        }
    }
}

/// Why a connection ended. All are retried.
#[derive(Debug, Error)]
pub enum UplinkError {
    /// Not an address.
    #[error("{address:?} is not an aggregator's address such as http://aggregator:4417")]
    Address {
        /// As configured.
        address: String,
    },
    /// No connection.
    #[error("cannot reach the aggregator at {address}: {why}")]
    Connect {
        /// Where.
        address: String,
        /// What the transport says.
        why: String,
    },
    /// The aggregator ended or refused the stream.
    #[error("the aggregator at {address} ended the stream: {why}")]
    Ended {
        /// Where.
        address: String,
        /// What it says.
        why: String,
    },
    /// The spool cannot be read.
    #[error(transparent)]
    Spool(#[from] JournalError),
    /// The aggregator asked to go elsewhere.
    #[error("the aggregator sent this agent on to {0:?}")]
    Moved(Vec<String>),
}

/// What the uplink works with.
pub struct Uplink {
    /// See [`Config`].
    pub config: Config,
    /// The spool to read.
    pub journal: Journal,
    /// This agent's id.
    pub agent: [u8; 16],
    /// Epochs that may still be in the spool.
    pub epochs: Vec<u64>,
    /// Who.
    pub node: Arc<Node>,
    /// Where directives go; its value is what this agent holds.
    pub directives: Arc<watch::Sender<Arc<Directives>>>,
    /// Where tokens of canaries go.
    pub canaries: broadcast::Sender<String>,
    /// See [`Metrics`].
    pub metrics: Arc<Metrics>,
    /// Ready while connected.
    pub health: Part,
}

/// How far the acks are, and how far anything was ever sent; by class.
pub(crate) struct Progress {
    pub(crate) acked: [watch::Sender<Position>; CLASSES.len()],
    pub(crate) sent: [watch::Sender<Position>; CLASSES.len()],
}
