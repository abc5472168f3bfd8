//! A request to a web server (RFC 9112), over TLS where that is wanted, and the head of its answer.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::failure::Failure;
use super::tls::{Tls, Trust};
use crate::net;

/// The longest head of an answer that is read.
const HEAD: usize = 16 << 10;

/// What to ask for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Port; left out, 443 with TLS and 80 without.
    pub port: Option<u16>,
    /// Path, and query where there is one.
    pub path: String,
    /// The header `Host`; left out, the target's name.
    pub host: Option<String>,
    /// The method.
    pub method: String,
    /// HTTPS.
    pub tls: Option<Tls>,
}

impl Default for Http {
    fn default() -> Self {
        Self { port: None, path: "/".to_owned(), host: None, method: "GET".to_owned(), tls: None }
    }
}

impl Http {
    /// A target that is written as a URL: its host, and what to ask there. The rest is as in `like`. `None` where it is
    /// none.
    ///
    /// # Errors
    /// A URL that cannot be asked for.
    pub(crate) fn of_url(url: &str, like: Option<&Self>) -> Option<Result<(String, Self), String>> {
        let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return None,
        };
        let mut http = like.cloned().unwrap_or_default();
        http.tls = secure.then(|| http.tls.unwrap_or_default());
        let (server, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        http.path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let bad = || format!("{url:?} is no URL of the form https://host:port/path");
        let (host, port) = match server.strip_prefix('[') {
            Some(v6) => match v6.split_once(']') {
                Some((v6, port)) if v6.parse::<Ipv6Addr>().is_ok() => (v6, port.strip_prefix(':')),
                _ => return Some(Err(bad())),
            },
            None => server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port))),
        };
        http.port = match port.map(str::parse) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return Some(Err(bad())),
        };
        if host.is_empty() || host.contains(['@', '%', '#', ']']) {
            return Some(Err(bad()));
        }
        Some(http.check().map(|()| (host.to_owned(), http)))
    }

    /// The port that is asked.
    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls.is_some() { 443 } else { 80 })
    }

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
        self.tls.as_ref().map_or(Ok(()), Tls::check)
    }

    /// Asks, and reads up to the end of the answer's head; a status of 400 and above is a failure.
    pub(super) async fn get(
        &self,
        to: IpAddr,
        source: Option<IpAddr>,
        target: &str,
        trust: &Trust,
    ) -> Result<(), Failure> {
        let stream = net::connect(SocketAddr::new(to, self.port()), source).await?;
        let host = self.host.as_deref().unwrap_or(target);
        match &self.tls {
            None => self.exchange(stream, host).await,
            Some(tls) => self.exchange(tls.handshake(stream, host, trust).await?, host).await,
        }
    }

    async fn exchange(
        &self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin,
        host: &str,
    ) -> Result<(), Failure> {
        let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() };
        let Self { method, path, .. } = self;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ao-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if head.len() >= HEAD {
                return Err(Failure::Answer("the head of its answer has no end".to_owned()));
            }
            if stream.read_buf(&mut head).await? == 0 {
                return Err(Failure::Answer("it hangs up in the middle of its answer".to_owned()));
            }
        }
        match status(&head) {
            Some(100..=399) => Ok(()),
            Some(status) => Err(Failure::Status(status)),
            None => Err(Failure::Answer("what answers is no web server".to_owned())),
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
