//! What the uplink works with, and why a connection ends: for all files of this room.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ao_common::health::Part;
use ao_common::journal::{Journal, JournalError, Position};
use ao_common::units::{Size, Span};
use ao_proto::queue::QUEUES;
use ao_proto::v1::Directives;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::{broadcast, watch};

use crate::context::Node;
use crate::identity::{self, Identity, IdentityError};
use crate::metrics::Metrics;
use crate::spool::Acks;

/// Section `aggregator`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Aggregators, tried in turn: `https://host:4417`; `http://` is for labs alone, and the aggregator must say `ingest.plaintext`.
    pub addresses: Vec<String>,
    /// What this node enrols with.
    pub tls: identity::Config,
    /// Bytes sent and not yet acknowledged.
    pub window: Size,
    /// Longest wait between two attempts to connect to one of them.
    pub retry: Span,
    /// With several: the time in which an agent whose aggregator dies goes on with another.
    pub failover: Span,
    /// The backlog's share of the bytes while there is fresh data to send, from 0 to 1; else it has everything.
    pub backlog_share: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            addresses: vec!["https://127.0.0.1:4417".to_owned()],
            tls: identity::Config::default(),
            window: Size::mib(16),
            retry: Span::secs(5),
            failover: Span::secs(5),
            backlog_share: 0.5,
        }
    }
}

impl Config {
    /// Whether the configuration itself asks for connections without encryption.
    pub fn plaintext(&self) -> bool {
        self.addresses.iter().any(|address| address.starts_with("http://"))
    }
}

/// Why a connection ended. All are retried.
#[derive(Debug, Error)]
pub enum UplinkError {
    /// Not an address.
    #[error("{address:?} is not an aggregator's address such as https://aggregator:4417")]
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
    /// An aggregator named another one without encryption.
    #[error("{address} is not encrypted; only addresses of the configuration may be http://")]
    Plaintext {
        /// As it was named.
        address: String,
    },
    /// No certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The aggregator does not take the certificate.
    #[error("the aggregator at {address} refused this node's certificate: {why}")]
    Refused {
        /// Where.
        address: String,
        /// Its sentence.
        why: String,
    },
    /// A new certificate is there; the old one's connection has ended.
    #[error("the certificate was renewed")]
    Renewed,
    /// The aggregator ended or refused the stream.
    #[error("the aggregator at {address} ended the stream: {why}")]
    Ended {
        /// Where.
        address: String,
        /// What it says.
        why: String,
    },
    /// Frames are under way, and no acknowledgement comes.
    #[error("the aggregator at {address} has acknowledged nothing for {:.1} s", silent.as_secs_f64())]
    Silent {
        /// Where.
        address: String,
        /// For so long.
        silent: Duration,
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
    /// Where its queues' acks go.
    pub acks: Arc<Acks>,
    /// This agent's id.
    pub agent: [u8; 16],
    /// Epochs that may still be in the spool.
    pub epochs: Vec<u64>,
    /// Key and certificate.
    pub identity: Identity,
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

/// How far anything of a queue was ever sent.
#[derive(Default)]
pub(crate) struct SentBefore(Mutex<[Position; QUEUES.len()]>);

impl SentBefore {
    /// Notes a frame; true if it was sent before.
    pub(crate) fn note(&self, queue: usize, end: Position) -> bool {
        let sent = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner)[queue];
        let before = end <= *sent;
        *sent = end.max(*sent);
        before
    }
}
