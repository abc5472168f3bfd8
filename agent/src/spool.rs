//! The spool: every frame is sealed, numbered and fsynced here before it is sent, and stays until the aggregator
//! has acknowledged it.

mod fold;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ao_common::journal::{Append, Class, Journal, JournalError, Key, Options, Pending};
use ao_common::units::{Size, Span};
use ao_proto::class::{self, CLASSES};
use ao_proto::frame::seal;
use ao_proto::model::FileId;
use ao_proto::v1::FrameHeader;
use bytes::Bytes;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::warn;

use crate::metrics::{ClassLabel, Metrics};
use crate::spool::fold::{Fold, Shared};

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
}

impl Default for Config {
    fn default() -> Self {
        Self { budget: Size::mib(2048), segment: Size::mib(4), segment_age: Span::secs(600) }
    }
}

/// A frame that lacks its place in the spool.
pub(crate) struct Draft {
    /// All but epoch and sequence.
    pub(crate) header: FrameHeader,
    /// Compressed.
    pub(crate) payload: Vec<u8>,
    /// The keyframe it needs, sealed.
    pub(crate) keyframe: Option<(Key, Bytes)>,
    /// Told once the frame is fsynced.
    pub(crate) stored: Vec<oneshot::Sender<()>>,
    /// Files whose checkpoints go once the frame is fsynced.
    pub(crate) forget: Vec<FileId>,
}

/// Why the spool cannot be opened.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// The data folder.
    #[error("cannot use {path} for the agent's state: {why}; choose another folder with --data-dir", path = .path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// The journal in it.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What is known once the spool is open.
pub struct Opened {
    /// To append to; one owner.
    pub spool: Spool,
    /// To read from.
    pub journal: Journal,
    /// This agent's id: drawn once, kept in the data folder.
    pub agent: [u8; 16],
    /// How far each log file is in the spool.
    pub checkpoints: Arc<HashMap<FileId, u64>>,
    /// Every epoch that may still have frames in the spool.
    pub epochs: Vec<u64>,
}

/// The writing end.
pub struct Spool {
    journal: Journal,
    epochs: [u64; CLASSES.len()],
    next: [u64; CLASSES.len()],
    settle: mpsc::Sender<Settling>,
    settled: JoinHandle<()>,
}

/// A frame on its way to the disk.
struct Settling {
    class: usize,
    append: Append,
    pending: Pending,
    stored: Vec<oneshot::Sender<()>>,
    forget: Vec<FileId>,
}

/// Frames on their way to the disk at one time.
const SETTLING: usize = 64;

/// Opens the spool under `data_dir`. Blocking.
///
/// # Errors
/// Where the folder cannot be used, or another agent uses it.
pub fn open(data_dir: &Path, config: &Config, metrics: Arc<Metrics>) -> Result<Opened, SpoolError> {
    let folder = |why| SpoolError::Folder { path: data_dir.to_owned(), why };
    std::fs::create_dir_all(data_dir).map_err(folder)?;
    let agent = agent_id(&data_dir.join("agent-id")).map_err(folder)?;
    let shared: Vec<Arc<Shared>> = CLASSES.iter().map(|_| Arc::default()).collect();
    let classes = CLASSES.iter().zip(&shared).map(|(class, shared)| Class {
        name: class::name(*class),
        fold: Box::new(Fold::new(Arc::clone(shared), Arc::clone(&metrics))),
    });
    let options = Options {
        segment_bytes: config.segment.0,
        segment_age: config.segment_age.0,
        budget_bytes: config.budget.0,
    };
    let journal = Journal::open(&data_dir.join("spool"), classes.collect(), options)?;
    let mut checkpoints = HashMap::new();
    let mut epochs = Vec::new();
    for shared in &shared {
        let state = shared.lock();
        checkpoints.extend(state.files.iter().map(|(file, end)| (*file, *end)));
        epochs.extend(state.epochs.iter().copied());
    }
    let mine: [u64; CLASSES.len()] = std::array::from_fn(|_| rand::random());
    epochs.extend(mine);
    let (settle, settling) = mpsc::channel(SETTLING);
    let settled = tokio::spawn(settle_all(journal.clone(), settling, shared, metrics));
    let spool = Spool { journal: journal.clone(), epochs: mine, next: [1; CLASSES.len()], settle, settled };
    Ok(Opened { spool, journal, agent, checkpoints: Arc::new(checkpoints), epochs })
}

impl Spool {
    /// Numbers, seals and hands the frame to the journal. Waits only for the disk.
    pub(crate) async fn append(&mut self, draft: Draft) {
        let Some(class) = class::number(draft.header.class) else { return };
        let mut header = draft.header;
        header.epoch = self.epochs[class];
        header.sequence = self.next[class];
        self.next[class] += 1;
        let append = Append { frame: seal(&header, &draft.payload), keyframe: draft.keyframe };
        let Ok(pending) = self.journal.append(class, vec![append.clone()]).await else {
            // Only after close(), which comes behind the last append.
            warn!("the spool is closed; a frame of {} records was not taken", header.records);
            return;
        };
        let settling = Settling { class, append, pending, stored: draft.stored, forget: draft.forget };
        // The task ends only after this sender.
        let _ended = self.settle.send(settling).await;
    }

    /// Waits until all is on disk.
    pub(crate) async fn flush(self) {
        drop(self.settle);
        if let Err(error) = self.settled.await {
            warn!(%error, "the spool's last frames may not be on disk");
        }
    }
}

/// Waits for each frame's fsync; a frame that the disk refused is offered again until it is taken, so that a full
/// disk holds the sources up and loses nothing.
async fn settle_all(
    journal: Journal,
    mut settling: mpsc::Receiver<Settling>,
    shared: Vec<Arc<Shared>>,
    metrics: Arc<Metrics>,
) {
    while let Some(frame) = settling.recv().await {
        let mut pending = Some(frame.pending);
        let mut wait = Duration::from_millis(100);
        while let Some(now) = pending.take() {
            let Err(error) = now.durable().await else { break };
            metrics.spool_errors.inc();
            warn!(%error, "cannot write to the spool; trying again in {wait:?}");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(10));
            pending = journal.append(frame.class, vec![frame.append.clone()]).await.ok();
        }
        for stored in frame.stored {
            // The client that waited may have gone.
            let _gone = stored.send(());
        }
        if !frame.forget.is_empty() {
            let mut state = shared[frame.class].lock();
            for file in &frame.forget {
                state.files.remove(file);
            }
        }
        let label = ClassLabel { class: class::name(CLASSES[frame.class]) };
        metrics.spool_frames.get_or_create(&label).inc();
        metrics.spool_bytes.get_or_create(&label).inc_by(frame.append.frame.len() as u64);
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
