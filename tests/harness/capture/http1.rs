//! HTTP/1.1: a client that waits for each answer before its next request.

use bytes::Bytes;

use super::{Answer, Book};

/// See the module.
#[derive(Default)]
pub(super) struct Parser {
    /// Of a request that is not whole yet.
    request: Vec<u8>,
    /// Of an answer whose head is not whole yet.
    answer: Vec<u8>,
    /// The request that waits for an answer.
    waits: Option<usize>,
}

impl Parser {
    pub(super) fn sent(&mut self, bytes: &[u8], book: &mut Book) {
        self.request.extend_from_slice(bytes);
        while let Some(head) = head(&self.request) {
            let end = head + content_length(&self.request[..head]);
            if self.request.len() < end {
                return;
            }
            let body = Bytes::copy_from_slice(&self.request[head..end]);
            self.request.drain(..end);
            self.waits = Some(book.request(body));
            // What is left of the answer before.
            self.answer.clear();
        }
    }

    pub(super) fn given(&mut self, bytes: &[u8], book: &mut Book) {
        let Some(place) = self.waits else { return };
        self.answer.extend_from_slice(bytes);
        let Some(head) = head(&self.answer) else { return };
        // "HTTP/1.1 204 No Content"
        let status = self.answer[..head].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let answer = if status.first() == Some(&b'2') { Answer::Taken } else { Answer::Refused };
        book.end(place, answer);
        self.waits = None;
    }
}

/// Where the body begins.
fn head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
}
