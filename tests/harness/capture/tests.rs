//! Both parsers, on bytes that come one by one.

use super::*;

fn answers(capture: &Capture) -> Vec<(Vec<u8>, Answer)> {
    capture.passed().into_iter().map(|one| (one.body.to_vec(), one.answer)).collect()
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
    bytes.extend(payload);
    bytes
}

/// Scenario: over HTTP/1.1 one request is taken, one refused, one is not whole and one is whole when the connection ends;
/// all bytes come one by one.
/// Guarantees: each whole one is there with what became of it; the answer just before the end may not have been read.
#[test]
fn http1() {
    let capture = Capture::new(Protocol::Http1);
    let one_by_one = |tap: &Tap, text: &str, given: bool| {
        text.bytes().for_each(|byte| if given { tap.given(&[byte]) } else { tap.sent(&[byte]) });
    };
    let post = |body: &str| format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let tap = capture.tap();
    one_by_one(&tap, &post("one"), false);
    one_by_one(&tap, "HTTP/1.1 204 No Content\r\n\r\n", true);
    one_by_one(&tap, &post("two"), false);
    one_by_one(&tap, "HTTP/1.1 503 Busy\r\ncontent-length: 2\r\n\r\nno", true);
    assert_eq!(answers(&capture), [(b"one".to_vec(), Answer::Taken), (b"two".to_vec(), Answer::Refused)]);
    // Long ago.
    capture.lock().iter_mut().for_each(|one| one.ended = Some(one.sent - 2 * UNREAD));
    one_by_one(&tap, &post("three"), false);
    one_by_one(&tap, "HTTP/1.1 200 OK\r\n\r\n", true);
    one_by_one(&tap, &post("four")[..30], false);
    tap.ended();
    let tap = capture.tap();
    one_by_one(&tap, &post("five"), false);
    assert_eq!(answers(&capture)[3].1, Answer::UnderWay);
    tap.ended();
    let end: Vec<Answer> = answers(&capture).iter().map(|one| one.1).collect();
    assert_eq!(end, [Answer::Taken, Answer::Refused, Answer::Unclear, Answer::Unclear]);
    assert_eq!(capture.passed()[3].body, "five");
}

/// Scenario: over HTTP/2 four streams: taken, refused without DATA, given up by the client, and left when the connection
/// ends; a body comes in two frames, one of them padded.
/// Guarantees: each is there with its whole body and what became of it.
#[test]
fn http2() {
    let capture = Capture::new(Protocol::Http2);
    let tap = capture.tap();
    tap.sent(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    tap.sent(&frame(4, 0, 0, b""));
    tap.sent(&frame(1, 4, 1, b"head"));
    let data = [frame(0, 0, 1, b"on"), frame(0, 9, 1, b"\x02exx")].concat();
    data.chunks(5).for_each(|some| tap.sent(some));
    for stream in [3, 5, 7] {
        tap.sent(&frame(0, 1, stream, &[stream]));
    }
    tap.given(&[frame(1, 4, 1, b"head"), frame(0, 0, 1, b"ok"), frame(1, 5, 1, b"status")].concat());
    tap.given(&frame(1, 5, 3, b"status"));
    tap.sent(&frame(3, 0, 5, b"\0\0\0\x08"));
    capture.lock().iter_mut().for_each(|one| one.ended = one.ended.map(|_| one.sent - 2 * UNREAD));
    tap.ended();
    let is = [
        (b"one".to_vec(), Answer::Taken),
        (vec![3], Answer::Refused),
        (vec![5], Answer::Unclear),
        (vec![7], Answer::Unclear),
    ];
    assert_eq!(answers(&capture), is);
}
