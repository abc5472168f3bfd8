//! Proof by example: a canary is let out at an agent, and every store is asked until it shows it. What does not come
//! is named together with where it was seen last.
//!
//! | room | what it does |
//! |---|---|
//! | `parts` | what it works with |
//! | `place` | the stores, and what each is asked |
//! | `run` | one canary: asks all places until they have it |
//! | `trail` | where it was seen last |
//! | [`command`] | `ao-aggregator verify` |

pub mod command;
pub(crate) mod fuzzing;
mod parts;
mod place;
mod run;
mod trail;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

pub use parts::Parts;
pub use place::{Place, PlaceError, Signal, places};
use run::Run;
pub use run::{Check, Report};
use trail::Trail;

/// Canaries under way at one time.
const MAX_UNDER_WAY: usize = 4;
/// Reports kept for whoever asks later.
const MAX_KEPT: usize = 32;
/// Between two canaries: each is a new series and a new trace in the stores.
const PACE: Duration = Duration::from_secs(1);
/// Longest wait for the stores.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(600);

/// Why no canary is let out.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StartError {
    /// Nobody to ask.
    #[error("no agent is connected")]
    Nobody,
    /// Not that one.
    #[error("node {node:?} is not connected; connected are: {connected}")]
    Unknown {
        /// As asked.
        node: String,
        /// A few names.
        connected: String,
    },
    /// Too many at once.
    #[error("canaries are let out one a second, and at most {MAX_UNDER_WAY} at a time: try again soon")]
    Busy,
}

/// Lets canaries out and keeps the reports. Cheap to clone.
#[derive(Clone)]
pub struct Verifier {
    parts: Arc<Parts>,
    runs: Arc<Mutex<Runs>>,
}

#[derive(Default)]
struct Runs {
    /// Oldest first.
    kept: VecDeque<Arc<Run>>,
    last: Option<Instant>,
}

impl Verifier {
    /// None is let out yet.
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), runs: Arc::default() }
    }

    /// Lets one out at a node (where none is named, at the first by name that is connected) and begins to look for it.
    /// Call it within the runtime.
    ///
    /// # Errors
    /// Where the node is not connected, or too many are asked for.
    pub fn start(&self, node: &str, timeout: Duration) -> Result<Report, StartError> {
        let mut connected: Vec<String> = self
            .parts
            .nodes
            .list()
            .into_iter()
            .filter(|info| info.streams > 0)
            .map(|info| info.node)
            .collect();
        connected.sort();
        connected.dedup();
        let node = match (connected.iter().find(|name| node.is_empty() || *name == node), node) {
            (Some(found), _) => found.clone(),
            (None, "") => return Err(StartError::Nobody),
            (None, node) => {
                let few = connected.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
                let connected = if few.is_empty() { "none".to_owned() } else { few };
                return Err(StartError::Unknown { node: node.to_owned(), connected });
            }
        };
        let mut runs = self.lock();
        let now = Instant::now();
        let under_way = runs.kept.iter().filter(|run| !run.is_done()).count();
        if under_way >= MAX_UNDER_WAY || runs.last.is_some_and(|last| now - last < PACE) {
            return Err(StartError::Busy);
        }
        runs.last = Some(now);
        // Zero is no trace's id.
        let token = format!("{:032x}", rand::random::<u128>().max(1));
        let trail = Trail::new(&self.parts, &node);
        let run = Arc::new(Run::new(token.clone(), node.clone(), connected.len(), timeout, trail));
        runs.kept.push_back(Arc::clone(&run));
        while runs.kept.len() > MAX_KEPT {
            runs.kept.pop_front();
        }
        drop(runs);
        run.watch(&self.parts.places);
        self.parts.canaries.ask(&node, &token);
        tracing::info!(node, token, "a canary is asked for");
        Ok(run.report(&self.parts))
    }

    /// How far a canary has come; `None` where the token is not known (any more).
    pub fn report(&self, token: &str) -> Option<Report> {
        let run = self.lock().kept.iter().find(|run| run.token() == token).cloned()?;
        Some(run.report(&self.parts))
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
