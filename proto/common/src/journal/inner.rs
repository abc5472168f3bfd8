//! What the journal, its cursors and its readers hold together; with the last of them the writer ends.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::sync::{Semaphore, mpsc, watch};

use super::catalog::{Shared, locked};
use super::error::JournalError;
use super::writer::Request;

/// Held by all of them.
pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: mpsc::Sender<Request>,
    /// Bytes that the queue still takes.
    pub(super) room: Arc<Semaphore>,
    pub(super) thread: Mutex<Option<JoinHandle<()>>>,
    /// Its other end is dropped when the writer has ended.
    pub(super) ended: watch::Receiver<()>,
}

impl Inner {
    pub(super) fn closed(&self) -> JournalError {
        JournalError::Closed { path: self.shared.dir.clone() }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The sender must be gone before the thread can end.
        self.queue = mpsc::channel(1).0;
        if let Some(thread) = locked(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's writer panicked");
        }
    }
}
