//! Looks at the processes while they run: memory, and how new the newest record at each sink is.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ao_tests::load::{counter, spans};
use ao_tests::prometheus::query_at;
use ao_tests::verdict::now_s;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::world::World;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(250);

/// One look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Since the beginning.
    pub(crate) at: Duration,
    /// When the newest record at each sink was made, since the beginning; metrics, lines, spans.
    pub(crate) newest: [Duration; 3],
    /// Bytes of memory that agent and aggregator hold.
    pub(crate) resident: [u64; 2],
}

/// What the watch needs to know of the processes, kept up to date by who starts them.
#[derive(Clone, Default)]
pub(crate) struct Ids(Arc<[AtomicU32; 2]>);

impl Ids {
    /// Of agent and aggregator.
    pub(crate) fn set(&self, ids: [u32; 2]) {
        for (place, id) in self.0.iter().zip(ids) {
            place.store(id, Ordering::Relaxed);
        }
    }
}

/// The looks so far; the watch ends when this is dropped.
pub(crate) struct Watch {
    looks: Arc<Mutex<Vec<Look>>>,
    ends: Arc<AtomicBool>,
}

impl Watch {
    /// Begins to look.
    pub(crate) fn start(begin: Instant, world: &World, ids: Ids) -> Self {
        let watch = Self { looks: Arc::default(), ends: Arc::default() };
        let (looks, ends) = (Arc::clone(&watch.looks), Arc::clone(&watch.ends));
        let (loki, tempo) = (Arc::clone(&world.loki), Arc::clone(&world.tempo));
        let prometheus = world.prometheus.url.clone();
        let began_ns = (now_s() * 1e9) as u64 - begin.elapsed().as_nanos() as u64;
        tokio::spawn(async move {
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let since = |ns: u64| Duration::from_nanos(ns.saturating_sub(began_ns));
            let (mut sample, mut span, mut requests) = (Duration::ZERO, Duration::ZERO, 0);
            while !ends.load(Ordering::Relaxed) {
                ticks.tick().await;
                // While Prometheus is frozen nobody answers.
                let asked = timeout(EVERY * 4, query_at(&prometheus, counter::METRIC, now_s())).await;
                if let Ok(Ok(found)) = asked
                    && let Some(series) = found.first()
                {
                    sample = sample.max(Duration::from_millis(series.points[0].1 as u64));
                }
                let line = since(loki.recorded().newest_ns.unsigned_abs());
                for request in tempo.accepted().iter().skip(requests) {
                    requests += 1;
                    let newest = spans::of(request).map(|span| span.start_time_unix_nano).max();
                    span = span.max(since(newest.unwrap_or_default()));
                }
                let resident = std::array::from_fn(|i| resident(ids.0[i].load(Ordering::Relaxed)));
                let look = Look { at: begin.elapsed(), newest: [sample, line, span], resident };
                looks.lock().unwrap_or_else(PoisonError::into_inner).push(look);
            }
        });
        watch
    }

    /// All looks up to now.
    pub(crate) fn looks(&self) -> Vec<Look> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// Bytes; 0 where it is gone.
fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}
