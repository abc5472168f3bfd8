//! The aggregator's journals: one per queue (a class in a lane), with the memory of which frames are in them.

mod cursors;
mod fold;
pub(crate) mod fuzzing;
pub mod inspect;
mod ranges;
mod received;

use std::path::Path;
use std::sync::Arc;

use ao_common::journal::{Class, Journal, JournalError, Key, Options};
use ao_common::units::{Size, Span};
use ao_proto::v1::FrameHeader;
use serde::Deserialize;

use crate::journal::fold::Fold;
use crate::journal::received::Received;
use crate::ledger::{Entry, Ledger};

pub use ao_proto::class::CLASSES;
pub use ao_proto::queue::{self, QUEUES, Queue};
pub use cursors::{late_number, reader_of};
pub use fold::{Known, Memory, Stream};
pub use ranges::Ranges;

/// Section `journal`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Disk budget over all queues; beyond it the oldest data of the lowest queue goes, counted.
    pub budget: Size,
    /// Size of a segment file.
    pub segment: Size,
    /// A segment is closed at this age.
    pub segment_age: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self { budget: Size::mib(10 << 10), segment: Size::mib(64), segment_age: Span::secs(3600) }
    }
}

/// Opens the journals under `data_dir`, for these sinks. Blocking. What is returned beside the journal knows every frame in it.
///
/// # Errors
/// Where the folder cannot be used, or another aggregator uses it.
pub fn open(
    data_dir: &Path,
    config: &Config,
    ledger: &Ledger,
    sinks: &[&'static str],
) -> Result<(Journal, Arc<Memory>), JournalError> {
    let memory = Arc::new(Memory::default());
    let folds = |(number, _)| Fold::new(number, Arc::clone(&memory), ledger.clone(), sinks);
    let folds: Vec<Fold> = QUEUES.iter().enumerate().map(folds).collect();
    let books: Vec<_> = folds.iter().map(Fold::books).collect();
    let queues =
        QUEUES.iter().zip(folds).map(|(queue, fold)| Class { name: queue.name(), fold: Box::new(fold) });
    let options = Options {
        segment_bytes: config.segment.0,
        segment_age: config.segment_age.0,
        budget_bytes: config.budget.0,
    };
    let journal = Journal::open(&data_dir.join("journal"), queues.collect(), options)?;
    memory.all_durable();
    let notes = data_dir.join("received");
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| JournalError::Io {
            operation: "keep what was received in",
            path,
            source: Arc::new(source),
        }
    };
    std::fs::create_dir_all(&notes).map_err(io(&notes))?;
    for (queue, books) in QUEUES.iter().zip(books) {
        let path = notes.join(format!("{}.counts", queue.name()));
        let mut books = fold::locked(&books);
        let note = Received::open(&path, &books.received).map_err(io(&path))?;
        for ((agent, source, _), count) in note.lost() {
            let (agent, source) = (agent.clone(), source.clone());
            let header = FrameHeader { agent, source, class: queue.class.into(), ..FrameHeader::default() };
            ledger.add(&header, Entry::Received, *count);
        }
        books.note = Some(note);
    }
    Ok((journal, memory))
}

/// The journal's name for the keyframe that a frame needs: a cryptographic digest with the agent's id in it, which
/// its certificate proves, so that no agent can put a keyframe in another's way. `None` where the frame needs none.
pub fn keyframe_key(header: &FrameHeader) -> Option<Key> {
    if header.keyframe == 0 {
        return None;
    }
    let mut named = header.agent.clone();
    named.extend(header.keyframe.to_be_bytes());
    let digest = ao_common::tls::sha256(&named);
    Some(digest.iter().take(16).fold(0, |key, byte| key << 8 | u128::from(*byte)))
}
