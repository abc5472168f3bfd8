//! The spool: every frame is numbered, sealed and fsynced here before it is sent, and stays until the aggregator
//! has acknowledged it. It has a queue for each class and lane.
//!
//! | room | what it holds |
//! |---|---|
//! | `api` | what goes in |
//! | `writer` | one class's way to the disk |
//! | `lane` | fresh or backlog |
//! | `pace` | how fast the aggregator takes data |
//! | `fold` | what outlives older segments |
//! | `checkpoints` | how far each log file is |
//! | `acks` | how far the aggregator has acknowledged |
//! | `ledger` | what became of every record |
//! | `counts` | its part that goes with the cursor |
//! | `metrics` | both as metric families |
//! | `error` | why it cannot be opened |
//! | [`inspect`] | the command `journal` |

mod acks;
mod api;
mod checkpoints;
mod counts;
mod error;
mod fold;
pub(crate) mod fuzzing;
pub mod inspect;
mod lane;
mod ledger;
mod metrics;
mod pace;
mod writer;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use ao_common::journal::{Class as Log, Journal, Options};
use ao_common::units::{Size, Span};
use ao_proto::class::{self, CLASSES};
use ao_proto::model::FileId;
use ao_proto::queue::{self, Lane, QUEUES};
use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::warn;

use crate::context::Durable;
use crate::metrics::Metrics;
use crate::spool::checkpoints::Checkpoints;
use crate::spool::fold::Fold;
use crate::spool::lane::Choice;
use crate::spool::writer::{Waiting, Writer};

pub use crate::spool::acks::Acks;
#[cfg(test)]
pub(crate) use crate::spool::api::Count;
pub(crate) use crate::spool::api::{Draft, Fate, Frame};
pub use crate::spool::error::SpoolError;
pub use crate::spool::ledger::Ledger;
pub(crate) use crate::spool::ledger::Newest;
pub use crate::spool::metrics::{LedgerCollector, SpoolCollector};
pub(crate) use crate::spool::pace::Pace;

/// Section `spool`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Disk budget; beyond it the oldest data of the lowest class goes, counted.
    pub budget: Size,
    /// Size of a segment file.
    pub segment: Size,
    /// A segment is closed at this age.
    pub segment_age: Span,
    /// What is read while the aggregator takes data is there within this time. So what would have to wait for longer
    /// goes to the backlog, which drains beside it: of an outage, what the aggregator does not take in an eighth of it.
    pub fresh_within: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            budget: Size::mib(2048),
            segment: Size::mib(4),
            segment_age: Span::secs(600),
            fresh_within: Span::secs(2),
        }
    }
}

/// What is known once the spool is open.
pub struct Opened {
    /// To append to; one owner.
    pub spool: Spool,
    /// To read from: a log for each of [`QUEUES`].
    pub journal: Journal,
    /// To report to what the aggregator has.
    pub acks: Arc<Acks>,
    /// What became of every record.
    pub ledger: Arc<Ledger>,
    /// This agent's id: drawn once, kept in the data folder.
    pub agent: [u8; 16],
    /// How far each log file was in the spool when it was opened.
    pub checkpoints: Arc<HashMap<FileId, u64>>,
    /// How far each is now.
    pub durable: Durable,
    /// Every epoch that may still have frames in the spool.
    pub epochs: Vec<u64>,
}

/// The writing end.
pub struct Spool {
    /// By class.
    drafts: Vec<mpsc::Sender<Waiting>>,
    room: Arc<Semaphore>,
    writers: JoinSet<()>,
}

/// Frames of a class that wait for the disk, and bytes of all that wait.
const WAITING: usize = 64;
const WAITING_BYTES: usize = 16 << 20;

/// Opens the spool under `data_dir`. Blocking.
///
/// # Errors
/// Where the folder cannot be used, or another agent uses it.
pub fn open(data_dir: &Path, config: &Config, metrics: Arc<Metrics>) -> Result<Opened, SpoolError> {
    let folder = |why| SpoolError::Folder { path: data_dir.to_owned(), why };
    std::fs::create_dir_all(data_dir).map_err(folder)?;
    let agent = agent_id(&data_dir.join("agent-id")).map_err(folder)?;
    let checkpoints: Vec<Arc<Checkpoints>> = CLASSES.iter().map(|_| Arc::default()).collect();
    let ledger = Arc::<Ledger>::default();
    let logs = QUEUES.iter().enumerate().map(|(number, queue)| {
        let class = class::number(queue.class.into()).unwrap_or_default();
        let (ledger, checkpoints) = (Arc::clone(&ledger), Arc::clone(&checkpoints[class]));
        let fold = Fold { queue: number, ledger, checkpoints };
        Log { name: queue.name(), fold: Box::new(fold) }
    });
    let options = Options {
        segment_bytes: config.segment.0,
        segment_age: config.segment_age.0,
        budget_bytes: config.budget.0,
    };
    let path = data_dir.join("spool");
    let journal = Journal::open(&path, logs.collect(), options)?;
    let pace = Arc::new(Pace::new(config.fresh_within.0));
    let acks = Arc::new(Acks::open(&journal, &path, Arc::clone(&ledger), Arc::clone(&pace))?);
    let mut epochs: Vec<u64> = (0..QUEUES.len()).flat_map(|n| ledger.book(n).epochs.clone()).collect();
    let mut spool =
        Spool { drafts: Vec::new(), room: Arc::new(Semaphore::new(WAITING_BYTES)), writers: JoinSet::new() };
    for (class, checkpoints) in CLASSES.iter().zip(&checkpoints) {
        let queues = Lane::ALL.map(|lane| queue::number((*class).into(), lane.number()).unwrap_or_default());
        let mine = Lane::ALL.map(|_| (rand::random(), 1));
        epochs.extend(mine.map(|(epoch, _)| epoch));
        let fresh = queues[Lane::Fresh.number() as usize];
        let acked = acks.position(fresh);
        // Where that cannot be read, something is.
        let is_left = !matches!(journal.reader(fresh, acked).read(), Ok(None));
        let bytes = journal.stats(fresh).bytes.saturating_sub(acked.offset);
        let left = is_left.then(|| (*journal.durable(fresh).borrow(), bytes as usize));
        let writer = Writer {
            journal: journal.clone(),
            acks: Arc::clone(&acks),
            checkpoints: Arc::clone(checkpoints),
            metrics: Arc::clone(&metrics),
            choice: Choice::new(Arc::clone(&pace), acked, left),
            queues,
            epochs: mine,
        };
        let (sender, drafts) = mpsc::channel(WAITING);
        spool.drafts.push(sender);
        spool.writers.spawn(writer.run(drafts));
    }
    let known = Arc::new(checkpoints.iter().flat_map(|files| files.all()).collect());
    let durable: Durable = Arc::new(move |file| checkpoints.iter().filter_map(|files| files.end(file)).max());
    Ok(Opened { spool, journal, acks, ledger, agent, checkpoints: known, durable, epochs })
}

impl Spool {
    /// Hands the frame to its class's writer. Waits only for the disk.
    pub(crate) async fn append(&mut self, draft: Draft) {
        let Some(class) = class::number(draft.header.class) else { return };
        let bytes = draft.payload.len().clamp(1, WAITING_BYTES) as u32;
        // Never closed: the error cannot come.
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(bytes).await else { return };
        if self.drafts[class].send((draft, room)).await.is_err() {
            // A writer ends only behind its sender, unless it has failed.
            warn!("the spool's writer has ended; a frame was not taken");
        }
    }

    /// Waits until all is on disk.
    pub(crate) async fn flush(mut self) {
        self.drafts.clear();
        while let Some(ended) = self.writers.join_next().await {
            if let Err(error) = ended {
                warn!(%error, "the spool's last frames may not be on disk");
            }
        }
    }
}

/// Reads the id, or draws and keeps one.
fn agent_id(path: &Path) -> std::io::Result<[u8; 16]> {
    use std::io::{Error, ErrorKind, Write};
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let text = text.trim();
            let id = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32);
            let damaged = || {
                let text = format!("{} does not hold 32 hex digits; restore or delete it", path.display());
                Error::new(ErrorKind::InvalidData, text)
            };
            Ok(id.ok_or_else(damaged)?.to_be_bytes())
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let id: u128 = rand::random();
            let fresh = path.with_extension("new");
            let mut file = std::fs::File::create(&fresh)?;
            writeln!(file, "{id:032x}")?;
            file.sync_all()?;
            std::fs::rename(&fresh, path)?;
            Ok(id.to_be_bytes())
        }
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests;
