//! Routers' names, looked up when there is time: whoever asks gets what is known, and an unknown address is asked for in
//! the background. No round ever waits for a name server.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::net;

/// How long a name, or that there is none, is believed.
const BELIEVED: Duration = Duration::from_secs(3600);
const NONE_BELIEVED: Duration = Duration::from_secs(600);

/// Lookups at once: each holds a thread for as long as the name server takes.
const AT_ONCE: usize = 4;

/// Addresses remembered.
const MOST: usize = 4096;

/// What is known of one address.
#[derive(Clone, Debug)]
struct Known {
    name: Option<Arc<str>>,
    asked: Instant,
    /// Still being looked up: what was known before stays meanwhile.
    open: bool,
}

/// The names. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Names {
    known: Arc<Mutex<HashMap<IpAddr, Known>>>,
    turns: Arc<Semaphore>,
    /// The system's resolver; another one in tests.
    ask: fn(IpAddr) -> Option<String>,
}

impl Default for Names {
    fn default() -> Self {
        Self::by(net::name_of)
    }
}

impl Names {
    fn by(ask: fn(IpAddr) -> Option<String>) -> Self {
        Self { known: Arc::default(), turns: Arc::new(Semaphore::new(AT_ONCE)), ask }
    }

    /// The name, as far as known. To be called within a tokio runtime.
    pub(super) fn of(&self, address: IpAddr) -> Option<Arc<str>> {
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&address);
        let name = found.and_then(|found| found.name.clone());
        let believed = if name.is_some() { BELIEVED } else { NONE_BELIEVED };
        if found.is_some_and(|found| found.open || now.duration_since(found.asked) < believed) {
            return name;
        }
        if known.len() >= MOST {
            known.retain(|_, known| known.open || now.duration_since(known.asked) < NONE_BELIEVED);
        }
        if known.len() >= MOST {
            return name;
        }
        known.insert(address, Known { name: name.clone(), asked: now, open: true });
        tokio::spawn(self.clone().look_up(address));
        name
    }

    /// Whether all that were asked for have been answered.
    pub(super) fn is_settled(&self) -> bool {
        !self.known.lock().unwrap_or_else(PoisonError::into_inner).values().any(|known| known.open)
    }

    async fn look_up(self, address: IpAddr) {
        let Ok(turn) = self.turns.acquire_owned().await else { return };
        let ask = self.ask;
        let name = tokio::task::spawn_blocking(move || ask(address)).await.ok().flatten().map(Arc::from);
        drop(turn);
        let answer = Known { name, asked: Instant::now(), open: false };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(address, answer);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static ASKED: AtomicUsize = AtomicUsize::new(0);

    /// Scenario: an address with a name and one without, asked for many times, and again when they are not believed any
    /// more.
    /// Guarantees: nobody waits; each is looked up once, until it is old; the name stays while it is looked up again.
    #[tokio::test]
    async fn lazily() {
        let names = Names::by(|address| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            (address == IpAddr::from([10, 0, 0, 1])).then(|| "one.example".to_owned())
        });
        let [one, two] = [1, 2].map(|n| IpAddr::from([10, 0, 0, n]));
        for _ in 0..3 {
            assert_eq!((names.of(one), names.of(two)), (None, None));
        }
        let settled = async {
            while !names.is_settled() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), settled).await.unwrap();
        for _ in 0..3 {
            assert_eq!((names.of(one).as_deref(), names.of(two)), (Some("one.example"), None));
        }
        assert_eq!(ASKED.load(Ordering::Relaxed), 2);
    }
}
