//! Which parts are ready, and why not; and whether the tasks that must keep moving still move.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// All parts and beating tasks of one process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    parts: Vec<PartStatus>,
    beats: Vec<Option<BeatStatus>>,
}

#[derive(Debug)]
struct BeatStatus {
    name: String,
    last: Instant,
    at_least_every: Duration,
}

/// One part, as of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartStatus {
    /// Its name, such as "uplink".
    pub name: String,
    /// `None` when ready, else why not.
    pub not_ready: Option<String>,
    /// What is wrong although it is ready: a backend is away and its data waits.
    pub trouble: Option<String>,
}

/// A task that has not ticked in its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// Its name.
    pub name: String,
    /// Since its last tick.
    pub silent_for: Duration,
}

impl Health {
    /// With no parts: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// The part of this name; a new one is not ready ("starting").
    pub fn part(&self, name: &str) -> Part {
        let mut inner = self.lock();
        let index = inner.parts.iter().position(|part| part.name == name).unwrap_or_else(|| {
            let not_ready = Some("starting".to_owned());
            inner.parts.push(PartStatus { name: name.to_owned(), not_ready, trouble: None });
            inner.parts.len() - 1
        });
        Part { health: self.clone(), index }
    }

    /// Registers a task that promises to call [`Beat::tick`] at least this often; forgotten when dropped.
    pub fn beat(&self, name: &str, at_least_every: Duration) -> Beat {
        let status = BeatStatus { name: name.to_owned(), last: Instant::now(), at_least_every };
        let mut inner = self.lock();
        let index = match inner.beats.iter().position(Option::is_none) {
            Some(free) => {
                inner.beats[free] = Some(status);
                free
            }
            None => {
                inner.beats.push(Some(status));
                inner.beats.len() - 1
            }
        };
        Beat { health: self.clone(), index }
    }

    /// All parts, in the order they were named.
    pub fn snapshot(&self) -> Vec<PartStatus> {
        self.lock().parts.clone()
    }

    /// Whether every part is ready.
    pub fn is_ready(&self) -> bool {
        self.lock().parts.iter().all(|part| part.not_ready.is_none())
    }

    /// The tasks that did not tick in their time.
    pub fn stalled(&self) -> Vec<Stalled> {
        let now = Instant::now();
        let inner = self.lock();
        let late = inner.beats.iter().flatten().filter(|beat| now - beat.last > beat.at_least_every);
        late.map(|beat| Stalled { name: beat.name.clone(), silent_for: now - beat.last }).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is inside is valid after any panic: single assignments only.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One named part, held by whoever knows its state.
#[derive(Clone, Debug)]
pub struct Part {
    health: Health,
    index: usize,
}

impl Part {
    /// It does its work.
    pub fn ready(&self) {
        self.set(None, None);
    }

    /// It does its work, which includes waiting for something that is away: a sentence for the user. The process stays
    /// ready, since nobody else could do better.
    pub fn troubled(&self, reason: impl Into<String>) {
        self.set(None, Some(reason.into()));
    }

    /// It does not, and this is why: a sentence for the user.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()), None);
    }

    fn set(&self, not_ready: Option<String>, trouble: Option<String>) {
        if let Some(part) = self.health.lock().parts.get_mut(self.index) {
            part.not_ready = not_ready;
            part.trouble = trouble;
        }
    }
}

/// One beating task.
#[derive(Debug)]
pub struct Beat {
    health: Health,
    index: usize,
}

impl Beat {
    /// Still moving.
    pub fn tick(&self) {
        if let Some(Some(beat)) = self.health.lock().beats.get_mut(self.index) {
            beat.last = Instant::now();
        }
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        if let Some(slot) = self.health.lock().beats.get_mut(self.index) {
            *slot = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a part starts, becomes ready, fails; it is asked for twice.
    /// Guarantees: readiness follows, the reason is kept, one name is one part.
    #[test]
    fn parts() {
        let health = Health::new();
        assert!(health.is_ready());
        let uplink = health.part("uplink");
        assert_eq!(health.snapshot()[0].not_ready.as_deref(), Some("starting"));
        uplink.ready();
        assert!(health.is_ready());
        health.part("uplink").not_ready("no aggregator answers");
        assert_eq!(
            health.snapshot(),
            [PartStatus {
                name: "uplink".into(),
                not_ready: Some("no aggregator answers".into()),
                trouble: None
            }]
        );
    }

    /// Scenario: one task ticks, one does not, one is gone.
    /// Guarantees: only the second is stalled.
    #[tokio::test(start_paused = true)]
    async fn beats() {
        let health = Health::new();
        let moving = health.beat("moving", Duration::from_secs(10));
        let _stuck = health.beat("stuck", Duration::from_secs(10));
        drop(health.beat("gone", Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(11)).await;
        moving.tick();
        assert_eq!(health.stalled(), [Stalled { name: "stuck".into(), silent_for: Duration::from_secs(11) }]);
    }
}
