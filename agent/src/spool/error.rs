//! Why the spool cannot be opened.

use std::path::PathBuf;

use ao_common::journal::JournalError;
use thiserror::Error;

use crate::spool::counts::CountsError;

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
    /// The ledger beside it.
    #[error(transparent)]
    Counts(#[from] CountsError),
}
