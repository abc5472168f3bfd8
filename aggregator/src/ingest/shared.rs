//! What the streams share.

use std::path::Path;
use std::sync::Arc;

use ao_common::journal::Journal;
use ao_common::repeated::Repeated;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::canaries::Canaries;
use crate::control::Plans;
use crate::identity::{Identity, Refusal};
use crate::ingest::api::{Config, SAID_EVERY};
use crate::ingest::content::Content;
use crate::ingest::guests::Guests;
use crate::ingest::pressure::{Ground, Pressure};
use crate::journal::{self, Memory};
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::nodes::Nodes;

static REFUSED: Repeated = Repeated::new("more streams were refused", SAID_EVERY);

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
    /// What is asked of them.
    pub canaries: Canaries,
    /// Who they are; `None`: plaintext, everybody is taken at their word.
    pub identity: Option<Arc<Identity>>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Our name in Welcome.
    pub name: String,
    /// Cancelled when we stop: streams end after what they have in hand.
    pub shutdown: CancellationToken,
    /// Sizes and counts.
    pub config: Config,
    /// One for each stream.
    pub permits: Arc<Semaphore>,
    /// One for each byte of a keyframe.
    pub keyframes: Arc<Semaphore>,
    /// Who is known.
    pub guests: Guests,
    /// Looks into frames.
    pub content: Content,
    /// How much room there is.
    pub pressure: Pressure,
}

impl Ingest {
    /// Watches how much room there is, until the shutdown.
    pub fn pressure(&self, journal: &journal::Config, data_dir: &Path) -> impl Future<Output = ()> + use<> {
        let ground = Ground {
            journal: self.journal.clone(),
            budget: journal.budget.0,
            segment: journal.segment.0,
            dir: data_dir.to_owned(),
            metrics: Arc::clone(&self.metrics),
        };
        self.pressure.clone().watch(ground, self.shutdown.clone())
    }

    /// Counts and logs a refusal, where it is the first of its reason for a minute; the answer to the peer.
    pub(crate) fn refuse(&self, refusal: &Refusal) -> tonic::Status {
        self.metrics.refused_stream(refusal.reason);
        if REFUSED.is_first(refusal.reason) {
            tracing::warn!(reason = refusal.reason, text = refusal.text, "a stream is refused");
        }
        refusal.status()
    }

    /// With all that follows from the configuration; the ledger knows the agents of earlier processes.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        config: Config,
        name: String,
        journal: Journal,
        memory: Arc<Memory>,
        ledger: &Ledger,
        nodes: Nodes,
        plans: Plans,
        identity: Option<Arc<Identity>>,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> Self {
        let bytes = usize::try_from(config.keyframes.0).unwrap_or(usize::MAX);
        Self {
            permits: Arc::new(Semaphore::new(config.max_streams.min(Semaphore::MAX_PERMITS))),
            keyframes: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
            guests: Guests::known(ledger.lines().into_iter().map(|(account, ..)| account)),
            content: Content::new(config.max_series),
            pressure: Pressure::default(),
            config,
            journal,
            memory,
            nodes,
            plans,
            canaries: Canaries::default(),
            identity,
            metrics,
            name,
            shutdown,
        }
    }
}
