//! An HTTP server on this machine that does as it is told, and passes on what it was sent.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A request as it came.
pub(in crate::sink) struct Request {
    /// Request line and headers.
    pub(in crate::sink) head: String,
    /// What it carries.
    pub(in crate::sink) body: Vec<u8>,
}

/// What the server does with one connection.
#[derive(Clone)]
pub(in crate::sink) enum Deed {
    /// Reads the request and answers so.
    Answer(String),
    /// Reads the request and never answers.
    Hang,
    /// Reads the request and closes.
    Close,
    /// Answers with a body of so many bytes, of which nobody needs the end.
    Huge(usize),
}

/// Serves the deeds, one connection each; what it is sent can be received.
pub(in crate::sink) async fn server(deeds: Vec<Deed>) -> (SocketAddr, mpsc::Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, requests) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut open = Vec::new();
        for deed in deeds {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let request = read_request(&mut stream).await;
            sender.send(request).await.expect("somebody looks");
            match deed {
                Deed::Answer(text) => stream.write_all(text.as_bytes()).await.expect("written"),
                Deed::Hang => open.push(stream),
                Deed::Close => drop(stream),
                Deed::Huge(size) => {
                    let head = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {size}\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.expect("written");
                    // The client may close before it has all of it.
                    let _broken = stream.write_all(&vec![b'x'; size]).await;
                }
            }
        }
        if !open.is_empty() {
            // Who hangs does not close either.
            std::future::pending::<()>().await;
        }
    });
    (address, requests)
}

async fn read_request(stream: &mut TcpStream) -> Request {
    let mut read = Vec::new();
    loop {
        let more = stream.read_buf(&mut read).await.expect("read");
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
            assert!(more > 0, "closed within the head");
            continue;
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
        // Without a length there is no body.
        let length = length.unwrap_or("0");
        if read.len() >= end + 4 + length.parse::<usize>().expect("a number") {
            return Request { head, body: read.split_off(end + 4) };
        }
    }
}

/// An answer, after which the connection is closed.
pub(in crate::sink) fn answer(status: &str, headers: &str, body: &str) -> Deed {
    let length = body.len();
    Deed::Answer(format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    ))
}
