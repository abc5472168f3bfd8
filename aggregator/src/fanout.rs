//! From the journals to the sinks: one worker per sink and queue, each with its own cursor, backoff and request under
//! way, so that one that is blocked holds up no other.
//!
//! | room | what it does |
//! |---|---|
//! | `worker` | the way of a request, from the journal to the cursor's step |
//! | `tap`, `decode` | frames out of the journal, as telemetry |
//! | `check` | what is known to be refused is left out |
//! | `intent` | notes what was left out, so that a request can be built again |
//! | `deliver` | sends until nothing is left: waits, halves, bisects |
//! | `counts` | the ledger's part of it, on disk |
//! | `dead_letter` | what was refused, for people |
//! | `report`, `metrics`, [`Status`] | what is told of it |

mod check;
mod counts;
mod dead_letter;
mod decode;
mod deliver;
mod intent;
mod metrics;
mod report;
mod status;
mod tap;
mod worker;

#[cfg(test)]
mod scripted;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ao_common::health::Health;
use ao_common::journal::{Journal, JournalError};
use ao_common::shutdown::Tasks;
use ao_common::units::{Size, Span};
use prometheus_client::registry::Registry;
use serde::Deserialize;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::journal::{QUEUES, queue};
use crate::ledger::{Ledger, class_name};
use crate::sink::api::{Lane, Sink};
use check::Ahead;
use counts::{Counts, CountsError};
use dead_letter::DeadLetters;
use decode::Keyframes;
use deliver::{Courier, Patience};
use intent::Intent;
use metrics::Metrics;
use report::Report;
use tap::Tap;
use worker::{Desk, Worker};

pub use status::{State, Status, Statuses};

/// `fanout` of the configuration: what is the same for all sinks.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The first wait after a failed request is up to this; each further one up to twice as much.
    pub retry_base: Span,
    /// No wait is longer than up to this, unless the backend asks for more.
    pub retry_cap: Span,
    /// Between attempts while a person must act (credentials, address, a full disk).
    pub held_every: Span,
    /// How long the request in flight may still take at the shutdown.
    pub drain: Span,
    /// Records further ahead of our clock wait until they no longer are.
    pub max_ahead: Span,
    /// Records further ahead of our clock are dropped{future}.
    pub max_hold: Span,
    /// Disk for each dead-letter file and its forerunner.
    pub dead_letters: Size,
    /// Memory for decoded keyframes.
    pub keyframes: Size,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            retry_base: Span(std::time::Duration::from_millis(500)),
            retry_cap: Span::secs(30),
            held_every: Span::secs(30),
            drain: Span::secs(5),
            max_ahead: Span::secs(60),
            max_hold: Span::secs(600),
            dead_letters: Size::mib(16),
            keyframes: Size::mib(256),
        }
    }
}

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

/// Why the fan-out cannot start.
#[derive(Debug, Error)]
pub enum FanoutError {
    /// A cursor.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The counts of an earlier process.
    #[error(transparent)]
    Counts(#[from] CountsError),
    /// The folder for dead letters.
    #[error("cannot make the folder {path}: {source}", path = path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Starts a worker for every sink and queue. Blocking, but only on the disk. Cursors of sinks that are no longer in the
/// list are removed, since the journal keeps everything that a cursor has not passed.
///
/// # Errors
/// Where the data folder cannot be used.
pub fn spawn(config: &Config, sinks: &[Arc<dyn Sink>], ground: Ground<'_>) -> Result<Statuses, FanoutError> {
    let dir = ground.dir.join("fanout");
    std::fs::create_dir_all(&dir).map_err(|source| FanoutError::Folder { path: dir.clone(), source })?;
    let metrics = Metrics::register(ground.registry);
    let keyframes = Keyframes::new(usize::try_from(config.keyframes.0).unwrap_or(usize::MAX));
    let statuses = Statuses::default();
    for (number, queue) in QUEUES.iter().enumerate() {
        for name in ground.journal.cursors(number) {
            if !sinks.iter().any(|sink| sink.name() == name && sink.classes().contains(&queue.class)) {
                let queue = queue.name();
                tracing::warn!(sink = name, queue, "this sink is no longer configured: forgotten");
                ground.journal.remove_cursor(number, &name)?;
            }
        }
    }
    for sink in sinks {
        for (number, queue) in QUEUES.iter().enumerate() {
            if !sink.classes().contains(&queue.class) {
                continue;
            }
            let lane = match queue.lane {
                queue::Lane::Fresh => Lane::Fresh,
                queue::Lane::Backlog => Lane::Backlog,
            };
            let class = class_name(queue.class.into());
            let name = file_name(sink.name(), class, lane);
            let cursor = ground.journal.cursor(number, sink.name())?;
            let position = cursor.position();
            let counts = Counts::open(&dir, &name, sink.name(), position)?;
            for ((account, entry), count) in counts.total() {
                ground.ledger.add_to(account.clone(), *entry, *count);
            }
            let report = Report {
                sink: sink.name(),
                class,
                lane,
                ledger: ground.ledger.clone(),
                metrics: metrics.of(sink.name(), class, lane),
                status: statuses.add(sink.name(), class, lane),
                health: ground.health.part(&format!("sink {name}")),
                state: State::Ok,
                tally: counts::Tally::new(),
            };
            let tap = Tap::new(ground.journal.reader(number, position), keyframes.clone());
            let worker = Worker {
                courier: Courier {
                    sink: sink.clone(),
                    patience: patience(config),
                    report,
                    shutdown: ground.shutdown.clone(),
                },
                ahead: Ahead { max_ahead: config.max_ahead.0, max_hold: config.max_hold.0 },
                journal: ground.journal.clone(),
                queue: number,
                durable: ground.journal.durable(number),
                letters: Arc::new(DeadLetters::new(&dir, &name, config.dead_letters.0)),
                position,
                desk: Some(Box::new(Desk { tap, cursor, intent: Intent::new(&dir, &name), counts })),
            };
            ground.tasks.spawn(format!("sink {name}"), worker.run());
        }
    }
    Ok(statuses)
}

/// Of a worker's files, its part of the readiness and its task: "loki-logs", "loki-logs-backlog".
fn file_name(sink: &str, class: &str, lane: Lane) -> String {
    match lane {
        Lane::Fresh => format!("{sink}-{class}"),
        Lane::Backlog | Lane::Late => format!("{sink}-{class}-{}", lane.name()),
    }
}

fn patience(config: &Config) -> Patience {
    Patience {
        retry_base: config.retry_base.0,
        retry_cap: config.retry_cap.0,
        held_every: config.held_every.0,
        drain: config.drain.0,
    }
}

#[cfg(test)]
mod tests;
