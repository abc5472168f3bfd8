//! The thread of the prober and of those whom it serves. An answer comes within microseconds of its probe, and the kernel
//! tells of each packet's leaving, too: whoever sends, reads and counts on one thread is awake already, where threads that
//! wait for each other are woken several times for each probe.

use std::io;

use tokio::runtime::{Builder, EnterGuard, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A thread with a runtime of its own; it ends when this is dropped, and what runs on it with it.
#[derive(Debug)]
pub struct Thread {
    handle: Handle,
    _end: DropGuard,
}

impl Thread {
    /// Nothing runs on it yet.
    ///
    /// # Errors
    /// Where the system gives no thread, or nothing to wait for sockets with.
    pub fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let end = CancellationToken::new();
        let ends = end.clone();
        let run = move || runtime.block_on(ends.cancelled());
        std::thread::Builder::new().name("net".to_owned()).spawn(run)?;
        Ok(Self { handle, _end: end.drop_guard() })
    }

    /// What is opened and spawned while the guard lives belongs to this thread.
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// For spawning on it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: work is put on the thread from another runtime; then the thread is dropped.
    /// Guarantees: it runs there; what has not ended is dropped with the thread.
    #[tokio::test]
    async fn runs_apart() {
        let thread = Thread::start().unwrap();
        let name = thread.handle().spawn(async { std::thread::current().name().map(str::to_owned) });
        assert_eq!(name.await.unwrap().as_deref(), Some("net"));
        let endless = {
            let _on = thread.enter();
            tokio::spawn(std::future::pending::<()>())
        };
        drop(thread);
        assert!(endless.await.unwrap_err().is_cancelled());
    }
}
