//! Requests and answers that pass a [`link`](crate::link), read from its bytes on the client's side: so it is known what
//! a client has sent, which answers it was given, and which it waited for in vain.
//!
//! | room | what it holds |
//! |---|---|
//! | `http1` | RFC 9112: one request at a time, with Content-Length |
//! | `http2` | RFC 9113: frames by stream |

mod http1;
mod http2;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// An answer that came so shortly before the end of its connection may not have been read.
const UNREAD: Duration = Duration::from_millis(500);

/// What a client was told of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing yet.
    UnderWay,
    /// It was taken.
    Taken,
    /// It was not.
    Refused,
    /// Nothing before the connection ended, or so shortly before that it may not have been heard.
    Unclear,
}

/// One request, all of which left the client.
#[derive(Clone, Debug)]
pub struct Passed {
    /// Its body; over HTTP/2 all of its DATA.
    pub body: Bytes,
    /// When the client had sent all of it.
    pub sent: Instant,
    /// When it was answered or given up.
    pub ended: Option<Instant>,
    /// What became of it.
    pub answer: Answer,
}

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, by prior knowledge.
    Http2,
}

/// All requests of a link, in the order in which they left the client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Capture {
    protocol: Protocol,
    passed: Arc<Mutex<Vec<Passed>>>,
}

impl Capture {
    /// None yet.
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, passed: Arc::default() }
    }

    /// All up to now.
    pub fn passed(&self) -> Vec<Passed> {
        self.lock().clone()
    }

    /// Follows one connection more.
    pub(crate) fn tap(&self) -> Tap {
        let parser = match self.protocol {
            Protocol::Http1 => Parser::One(http1::Parser::default()),
            Protocol::Http2 => Parser::Two(http2::Parser::default()),
        };
        let book = Book { capture: self.clone(), requests: Vec::new() };
        Tap(Arc::new(Mutex::new(State { book, parser })))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Passed>> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows one connection; both directions share it.
#[derive(Clone)]
pub(crate) struct Tap(Arc<Mutex<State>>);

struct State {
    book: Book,
    parser: Parser,
}

enum Parser {
    One(http1::Parser),
    Two(http2::Parser),
}

impl Tap {
    /// The client has sent these bytes.
    pub(crate) fn sent(&self, bytes: &[u8]) {
        let State { book, parser } = &mut *self.lock();
        match parser {
            Parser::One(parser) => parser.sent(bytes, book),
            Parser::Two(parser) => parser.sent(bytes, book),
        }
    }

    /// The client was given these bytes.
    pub(crate) fn given(&self, bytes: &[u8]) {
        let State { book, parser } = &mut *self.lock();
        match parser {
            Parser::One(parser) => parser.given(bytes, book),
            Parser::Two(parser) => parser.given(bytes, book),
        }
    }

    /// One of the two has ended the connection.
    pub(crate) fn ended(&self) {
        self.lock().book.ended();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's requests.
struct Book {
    capture: Capture,
    /// Their places among all.
    requests: Vec<usize>,
}

impl Book {
    /// Notes a request that has left the client; returned is its place.
    fn request(&mut self, body: Bytes) -> usize {
        let mut passed = self.capture.lock();
        passed.push(Passed { body, sent: Instant::now(), ended: None, answer: Answer::UnderWay });
        self.requests.push(passed.len() - 1);
        passed.len() - 1
    }

    /// Notes what became of one; only its first end counts.
    fn end(&mut self, place: usize, answer: Answer) {
        if let Some(one) = self.capture.lock().get_mut(place)
            && one.answer == Answer::UnderWay
        {
            (one.answer, one.ended) = (answer, Some(Instant::now()));
        }
    }

    fn ended(&mut self) {
        let now = Instant::now();
        let mut passed = self.capture.lock();
        for place in self.requests.drain(..) {
            let one = &mut passed[place];
            if one.ended.is_none_or(|ended| now - ended < UNREAD) {
                (one.answer, one.ended) = (Answer::Unclear, one.ended.or(Some(now)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
