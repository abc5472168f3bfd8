//! How a server answers: by the script while there is one, else as a healthy one.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

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
pub struct Script(Mutex<State>);

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

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
