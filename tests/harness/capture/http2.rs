//! HTTP/2 (RFC 9113, sections 4.1 and 6): a request is a stream's DATA up to END_STREAM; the answer is through with the
//! headers that end the stream, which gRPC calls trailers, and one without DATA before them is a refusal.

use std::collections::HashMap;

use bytes::Bytes;

use super::{Answer, Book};

/// What a client says first.
const PREFACE: usize = 24;
/// Bytes of a frame's head.
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;
const PADDED: u8 = 8;

/// See the module.
#[derive(Default)]
pub(super) struct Parser {
    greeted: bool,
    client: Vec<u8>,
    server: Vec<u8>,
    /// DATA of requests that are not whole yet.
    bodies: HashMap<u32, Vec<u8>>,
    /// Places of those that wait for an answer, and whether DATA of it has come.
    wait: HashMap<u32, (usize, bool)>,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Parser {
    pub(super) fn sent(&mut self, bytes: &[u8], book: &mut Book) {
        self.client.extend_from_slice(bytes);
        if !self.greeted {
            if self.client.len() < PREFACE {
                return;
            }
            self.client.drain(..PREFACE);
            self.greeted = true;
        }
        while let Some(frame) = next(&mut self.client) {
            match frame.kind {
                DATA => self.bodies.entry(frame.stream).or_default().extend(data(&frame)),
                RST_STREAM => {
                    self.bodies.remove(&frame.stream);
                    if let Some((place, _)) = self.wait.remove(&frame.stream) {
                        book.end(place, Answer::Unclear);
                    }
                }
                _ => {}
            }
            if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 {
                let body = self.bodies.remove(&frame.stream).unwrap_or_default();
                self.wait.insert(frame.stream, (book.request(Bytes::from(body)), false));
            }
        }
    }

    pub(super) fn given(&mut self, bytes: &[u8], book: &mut Book) {
        self.server.extend_from_slice(bytes);
        while let Some(frame) = next(&mut self.server) {
            let Some((place, has_data)) = self.wait.get_mut(&frame.stream) else { continue };
            match frame.kind {
                DATA => *has_data = true,
                HEADERS if frame.flags & END_STREAM != 0 => {
                    book.end(*place, if *has_data { Answer::Taken } else { Answer::Refused });
                    self.wait.remove(&frame.stream);
                }
                // It may have done anything before.
                RST_STREAM => {
                    book.end(*place, Answer::Unclear);
                    self.wait.remove(&frame.stream);
                }
                _ => {}
            }
        }
    }
}

/// The next whole frame.
fn next(bytes: &mut Vec<u8>) -> Option<Frame> {
    let head = bytes.first_chunk::<HEAD>()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let (kind, flags) = (head[3], head[4]);
    // The highest bit is reserved.
    let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
    let payload = bytes.get(HEAD..HEAD + length)?.to_vec();
    bytes.drain(..HEAD + length);
    Some(Frame { kind, flags, stream, payload })
}

/// A DATA frame's content without its padding.
fn data(frame: &Frame) -> &[u8] {
    if frame.flags & PADDED == 0 {
        return &frame.payload;
    }
    let Some((padding, rest)) = frame.payload.split_first() else { return &[] };
    &rest[..rest.len().saturating_sub(usize::from(*padding))]
}
