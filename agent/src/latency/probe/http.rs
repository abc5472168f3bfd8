//! A request to a web server (RFC 9112), and the head of its answer.

use std::io;
use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::net;

/// The longest head of an answer that is read.
const HEAD: usize = 16 << 10;

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Port.
    pub port: u16,
    /// Path, and query where there is one.
    pub path: String,
    /// The header `Host`; left out, the target's name.
    pub host: Option<String>,
    /// The method.
    pub method: String,
}

impl Default for Http {
    fn default() -> Self {
        Self { port: 80, path: "/".to_owned(), host: None, method: "GET".to_owned() }
    }
}

impl Http {
    /// # Errors
    /// What would not be one request.
    pub(super) fn check(&self) -> Result<(), String> {
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        let method = !self.method.is_empty() && self.method.bytes().all(|b| b.is_ascii_uppercase());
        if !method {
            return Err(format!("{:?} is no method such as GET or HEAD", self.method));
        }
        if !self.path.starts_with('/') || !plain(&self.path) {
            return Err(format!(
                "{:?} is no path: it begins with / and has neither spaces nor controls",
                self.path
            ));
        }
        if !self.host.as_deref().is_none_or(plain) {
            return Err(format!("{:?} is no name of a host", self.host));
        }
        Ok(())
    }

    /// Asks, and reads up to the end of the answer's head; a status of 400 and above is an error.
    pub(super) async fn get(&self, to: SocketAddr, source: Option<IpAddr>, target: &str) -> io::Result<()> {
        let mut stream = net::connect(to, source).await?;
        let host = self.host.as_deref().unwrap_or(target);
        let bracket = host.parse::<std::net::Ipv6Addr>().is_ok();
        let host = if bracket { format!("[{host}]") } else { host.to_owned() };
        let Self { method, path, .. } = self;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ao-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if head.len() >= HEAD {
                return Err(io::Error::other("the head of the answer has no end"));
            }
            if stream.read_buf(&mut head).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        match status(&head) {
            Some(100..=399) => Ok(()),
            Some(status) => Err(io::Error::other(format!("the server answers with status {status}"))),
            None => Err(io::Error::other("what answers is no web server")),
        }
    }
}

/// The status of an answer's first line.
pub(super) fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let (_, rest) = line.strip_prefix("HTTP/1.")?.split_once(' ')?;
    rest.get(..3)?.parse().ok().filter(|status| (100..=999).contains(status))
}
