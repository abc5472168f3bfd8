//! One canary: asks all places for it, each by a task of its own, until they have it or the time is over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ao_common::clock;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::parts::Parts;
use super::place::{Place, Signal};
use super::trail::Trail;

/// See the module.
pub(super) struct Run {
    token: String,
    node: String,
    connected: usize,
    timeout: Duration,
    started: Instant,
    at_ms: i64,
    trail: Trail,
    checks: Mutex<Vec<State>>,
}

struct State {
    signal: Signal,
    backend: &'static str,
    address: String,
    took: Option<Duration>,
    /// What the store last said, where it could not be asked.
    trouble: Option<String>,
    asked: u32,
}

/// How far a canary has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its token, 32 hex digits, and the id of its trace.
    pub token: String,
    /// Where it is let out.
    pub node: String,
    /// Nodes that are connected.
    pub connected: usize,
    /// When it was asked for, milliseconds since 1970.
    pub at_ms: i64,
    /// Milliseconds since then.
    pub elapsed_ms: u64,
    /// Milliseconds after which no store is asked any more.
    pub timeout_ms: u64,
    /// All have it, or the time is over.
    pub done: bool,
    /// Each signal at each store.
    pub checks: Vec<Check>,
}

/// One signal at one store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// "metric", "line", "span".
    pub signal: String,
    /// "prometheus", "loki", "tempo", "embedded".
    pub backend: String,
    /// Where it is asked; empty for the embedded store.
    pub address: String,
    /// Milliseconds from the request for the canary to the store's first answer that shows it.
    pub took_ms: Option<u64>,
    /// While it is missing: where it was seen last, and why it is not further.
    pub seen: String,
}

impl Run {
    pub(super) fn new(
        token: String,
        node: String,
        connected: usize,
        timeout: Duration,
        trail: Trail,
    ) -> Self {
        let at_ms = clock::now_ms();
        let (started, checks) = (Instant::now(), Mutex::default());
        Self { token, node, connected, timeout, started, at_ms, trail, checks }
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Starts to look for it everywhere.
    pub(super) fn watch(self: &Arc<Self>, places: &[Place]) {
        let states = places.iter().map(|place| State {
            signal: place.signal,
            backend: place.backend,
            address: place.address.clone(),
            took: None,
            trouble: None,
            asked: 0,
        });
        *self.lock() = states.collect();
        for (index, place) in places.iter().cloned().enumerate() {
            let run = Arc::clone(self);
            tokio::spawn(async move {
                let deadline = run.started + run.timeout;
                // Cancelled at the deadline, whatever it waits for.
                let _over = tokio::time::timeout_at(deadline, run.look(index, &place)).await;
            });
        }
    }

    async fn look(&self, index: usize, place: &Place) {
        loop {
            let answer = place.find(&self.token, clock::now()).await;
            let elapsed = self.started.elapsed();
            {
                let mut checks = self.lock();
                let state = &mut checks[index];
                state.asked += 1;
                match answer {
                    Ok(true) => {
                        state.took = Some(elapsed);
                        return;
                    }
                    Ok(false) => state.trouble = None,
                    Err(why) => state.trouble = Some(why),
                }
            }
            tokio::time::sleep(pause(elapsed)).await;
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.started.elapsed() >= self.timeout || self.lock().iter().all(|state| state.took.is_some())
    }

    pub(super) fn report(&self, parts: &Parts) -> Report {
        let done = self.is_done();
        let checks = self.lock();
        let check = |state: &State| Check {
            signal: state.signal.name().to_owned(),
            backend: state.backend.to_owned(),
            address: state.address.clone(),
            took_ms: state.took.map(|took| took.as_millis() as u64),
            seen: match (state.took, state.asked) {
                (Some(_), _) => String::new(),
                _ => self.trail.words(parts, state.signal, state.backend, state.trouble.as_deref()),
            },
        };
        Report {
            token: self.token.clone(),
            node: self.node.clone(),
            connected: self.connected,
            at_ms: self.at_ms,
            elapsed_ms: self.started.elapsed().as_millis() as u64,
            timeout_ms: self.timeout.as_millis() as u64,
            done,
            checks: checks.iter().map(check).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<State>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signal {
    /// In tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metric => "metric",
            Self::Line => "line",
            Self::Span => "span",
        }
    }
}

/// Often while it may come any moment, seldom where something is wrong anyway.
fn pause(elapsed: Duration) -> Duration {
    match elapsed.as_secs() {
        0..10 => Duration::from_millis(100),
        10..60 => Duration::from_millis(500),
        _ => Duration::from_secs(2),
    }
}
