//! Why the fan-out cannot start.

use std::io;
use std::path::PathBuf;

use ao_common::journal::JournalError;
use thiserror::Error;

use super::counts::CountsError;
use crate::sink::api::KeepError;

/// Why the fan-out cannot start.
#[derive(Debug, Error)]
pub enum FanoutError {
    /// A cursor.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The counts of an earlier process.
    #[error(transparent)]
    Counts(#[from] CountsError),
    /// What a sink kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// The folder for dead letters.
    #[error("cannot make the folder {path}: {source}", path = path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
