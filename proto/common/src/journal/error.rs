//! Why the journal cannot do what it was asked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the journal cannot go on. Each names the path and the operation. Cheap to clone, since one failed fsync fails
/// everybody who waited for it.
#[derive(Debug, thiserror::Error, Clone)]
pub enum JournalError {
    /// The disk or the file system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// "open", "write", "fsync", ...
        operation: &'static str,
        /// File or folder.
        path: PathBuf,
        /// What the system answered.
        source: Arc<io::Error>,
    },
    /// Somebody else writes there.
    #[error("another process uses the data folder {}: give each its own", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A repair while the service runs.
    #[error("cannot repair {}: a service has it open; stop that first", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A segment that this build did not write.
    #[error("cannot read {}: {why}", path.display())]
    Format {
        /// The segment.
        path: PathBuf,
        /// What is strange about it.
        why: String,
    },
    /// A number that is not in the list of classes.
    #[error("the journal has no class {class}, only {classes}")]
    NoClass {
        /// The number.
        class: usize,
        /// How many there are.
        classes: usize,
    },
    /// A frame or keyframe larger than a record may be.
    #[error("cannot append {size} bytes as one record: the limit is {limit}")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The most a record may hold.
        limit: usize,
    },
    /// A cursor's name becomes a file's name.
    #[error(
        "cannot name a cursor {name:?}: use letters, digits, '-', '_' and '.', and begin with a letter or digit"
    )]
    CursorName {
        /// The name.
        name: String,
    },
    /// Two workers with one cursor would move it past each other's data.
    #[error("cursor {name} of {class} is in use already")]
    CursorInUse {
        /// Class.
        class: &'static str,
        /// Cursor.
        name: String,
    },
    /// The disk refuses the count of what was shed, which a cursor that missed it must not overtake.
    #[error("cursor {name} of {class} waits until the count of what was shed before it is stored")]
    Uncounted {
        /// Class.
        class: &'static str,
        /// Cursor.
        name: String,
    },
    /// A range that was left behind before and is not read to its end.
    #[error("there is a cursor {name} of {class} already: remove it once it is done, or choose another name")]
    CursorExists {
        /// Class.
        class: &'static str,
        /// Cursor.
        name: String,
    },
    /// After `close`, or after the writer's end.
    #[error("the journal in {} is closed", path.display())]
    Closed {
        /// Its folder.
        path: PathBuf,
    },
}

impl JournalError {
    /// For `map_err`: what was tried on which path.
    pub(super) fn io(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { operation, path: path.to_owned(), source: Arc::new(source) }
    }

    /// Whether deleting something would help.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ))
    }
}
