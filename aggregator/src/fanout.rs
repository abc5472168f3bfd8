//! From the journals to the sinks: one worker per sink and queue, each with its own cursor, backoff and request under
//! way, so that one that is blocked holds up no other.
//!
//! | room | what it does |
//! |---|---|
//! | `crew` | makes the workers of a sink and class: fresh, backlog, late |
//! | `worker` | the way of a request, from the journal to the cursor's step |
//! | `share` | the others leave the fresh worker its share |
//! | `arrivals`, `ranges`, `late` | what was not taken in time is left behind, and drained beside what is new |
//! | `tap`, `decode` | frames out of the journal, as telemetry |
//! | `check` | what is known to be refused is left out |
//! | `intent` | notes what was left out, so that a request can be built again |
//! | `deliver` | sends until nothing is left: waits, halves, bisects |
//! | `outcome`, `tally`, `counts`, `opening` | the ledger's part of it, and on disk |
//! | `dead_letter` | what was refused, for people |
//! | `report`, `metrics`, `lag`, [`Status`] | what is told of it |

mod arrivals;
mod check;
mod config;
mod counts;
mod crew;
mod dead_letter;
mod decode;
mod deliver;
mod error;
pub(crate) mod fuzzing;
mod intent;
mod lag;
mod late;
mod metrics;
mod opening;
mod outcome;
mod ranges;
mod report;
mod share;
mod status;
mod tally;
mod tap;
mod worker;

#[cfg(test)]
mod scripted;

use std::path::Path;
use std::sync::Arc;

use ao_common::health::Health;
use ao_common::journal::Journal;
use ao_common::shutdown::Tasks;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::journal::{CLASSES, QUEUES, reader_of};
use crate::ledger::{Ledger, class_name};
use crate::sink::api::Sink;
use crew::Crew;
use decode::Keyframes;
use metrics::Metrics;

pub use config::Config;
pub use error::FanoutError;
pub use status::{State, Status, Statuses};

/// What the workers stand on.
pub struct Ground<'a> {
    /// The aggregator's data folder; dead letters and intents go to `fanout` in it.
    pub dir: &'a Path,
    /// What they read.
    pub journal: &'a Journal,
    /// What they count in.
    pub ledger: &'a Ledger,
    /// A part per worker, not ready while a person must act.
    pub health: &'a Health,
    /// Where their metrics go.
    pub registry: &'a mut Registry,
    /// Where they run, as "sink loki-logs".
    pub tasks: &'a mut Tasks,
    /// Ends them.
    pub shutdown: CancellationToken,
}

/// Starts the workers of every sink. Blocking, but only on the disk. Cursors of sinks that are no longer in the
/// list are removed, since the journal keeps everything that a cursor has not passed.
///
/// # Errors
/// Where the data folder cannot be used.
pub fn spawn(config: &Config, sinks: &[Arc<dyn Sink>], ground: Ground<'_>) -> Result<Statuses, FanoutError> {
    let dir = ground.dir.join("fanout");
    std::fs::create_dir_all(&dir).map_err(|source| FanoutError::Folder { path: dir.clone(), source })?;
    for (number, of) in QUEUES.iter().enumerate() {
        for name in ground.journal.cursors(number) {
            let reader = reader_of(&name);
            if !sinks.iter().any(|sink| sink.name() == reader && sink.classes().contains(&of.class)) {
                let queue = of.name();
                tracing::warn!(cursor = name, queue, "this sink is no longer configured: forgotten");
                let books = format!("{reader}-{}", class_name(of.class.into()));
                let failed = |source| FanoutError::Folder { path: dir.clone(), source };
                // First: while its cursor is there this is done again.
                opening::close(&dir, &books).map_err(failed)?;
                ground.journal.remove_cursor(number, &name)?;
            }
        }
    }
    let crew = Crew {
        config,
        dir,
        journal: ground.journal,
        ledger: ground.ledger,
        health: ground.health,
        metrics: Metrics::register(ground.registry),
        keyframes: Keyframes::new(usize::try_from(config.keyframes.0).unwrap_or(usize::MAX)),
        statuses: Statuses::default(),
        shutdown: ground.shutdown,
    };
    let arrivals = crew.arrivals(ground.tasks);
    for sink in sinks {
        sink.keep_in(&crew.dir)?;
    }
    let wells: Vec<_> = sinks.iter().map(|_| watch::Sender::new(())).collect();
    for (class, arrivals) in CLASSES.iter().zip(&arrivals) {
        let of_class = sinks.iter().zip(&wells).filter(|(sink, _)| sink.classes().contains(class));
        crew.spawn(*class, arrivals, &of_class.collect::<Vec<_>>(), ground.tasks)?;
    }
    Ok(crew.statuses)
}

#[cfg(test)]
mod tests;
