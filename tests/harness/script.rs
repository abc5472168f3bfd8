//! How a server answers: by the script while there is one, else as a healthy one.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Takes the request.
    Accept,
    /// A status with headers and a body; the request is not taken.
    Status(u16, Vec<(&'static str, String)>, String),
    /// Never answers; the request is not taken.
    Hang,
    /// Breaks the connection; the request is not taken.
    Reset,
    /// Takes the request and breaks the connection: the sender cannot know.
    AcceptAndReset,
    /// Takes the request and never says so.
    AcceptAndHang,
}

/// The answers to come.
#[derive(Debug, Default)]
pub struct Script {
    state: Mutex<State>,
    /// Requests in hand.
    busy: watch::Sender<usize>,
    /// Requests that were never answered.
    hung: watch::Sender<usize>,
}

/// A request in hand.
pub(crate) struct Busy<'a>(&'a Script);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.send_modify(|count| *count -= 1);
    }
}

#[derive(Debug, Default)]
struct State {
    next: VecDeque<Reply>,
    always: Option<Reply>,
}

impl Script {
    /// Adds answers to requests to come; after them the server is healthy again.
    pub fn push(&self, replies: impl IntoIterator<Item = Reply>) {
        self.lock().next.extend(replies);
    }

    /// What is answered when no other answer is due; `None` for a healthy server.
    pub fn always(&self, reply: Option<Reply>) {
        self.lock().always = reply;
    }

    /// The answer to one request.
    pub fn next(&self) -> Reply {
        let mut state = self.lock();
        let next = state.next.pop_front();
        next.or_else(|| state.always.clone()).unwrap_or(Reply::Accept)
    }

    /// Answers still to be given.
    pub fn left(&self) -> usize {
        self.lock().next.len()
    }

    /// A request is in hand until the guard is dropped.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.busy.send_modify(|count| *count += 1);
        Busy(self)
    }

    /// Never answers.
    pub(crate) async fn hang(&self) -> Infallible {
        self.hung.send_modify(|count| *count += 1);
        std::future::pending().await
    }

    /// Waits until no request is in hand.
    pub(crate) async fn idle(&self) {
        // The sender is ours: it cannot be gone.
        let mut busy = self.busy.subscribe();
        let _idle = busy.wait_for(|count| *count == 0).await;
    }

    /// From now on no request is answered; waits for the first such.
    pub(crate) async fn hangs(&self, how: Reply) {
        let mut hung = self.hung.subscribe();
        let before = *hung.borrow_and_update();
        self.always(Some(how));
        // The sender is ours: it cannot be gone.
        let _one = hung.wait_for(|count| *count > before).await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
