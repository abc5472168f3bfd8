//! What is asked of a target: ICMP echo by the agent's prober, or a service's own protocol by a socket of its own.
//!
//! | file | room |
//! |---|---|
//! | `udp.rs` | an echo service by UDP |
//! | `http.rs` | a web server |
//! | `tls.rs` | the same over TLS: whose certificates are taken |
//! | `failure.rs` | why there was no good answer |
//!
//! A service's round trips end when its answer is read here: they have this process's scheduling in them, which ICMP's
//! have not. What fails in any way is a loss, and its reason is counted.

mod failure;
mod http;
mod tls;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::net::{self, Outcome, Report, SendError};

pub use crate::net::Dns;
pub use http::Http;
pub use tls::Tls;

pub(super) use failure::{Failure, REASONS};
pub(super) use tls::Trust;

/// `icmp`, or `{tcp: {port: 443}}`, `{udp: {port: 7}}`, `{dns: {query: example.org}}`, `{http: {path: /healthz, tls: {}}}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "Written")]
pub enum Kind {
    /// Echo, or what the prober has in its place.
    #[default]
    Icmp,
    /// A connection, closed at once; a refusal is an answer, too.
    Tcp {
        /// Port.
        port: u16,
    },
    /// What is sent comes back.
    Udp {
        /// Port.
        port: u16,
    },
    /// A query to the target, which is a name server.
    Dns(Dns),
    /// A request, over TLS where that is wanted.
    Http(Http),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Word(String),
    Full(Full),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    tcp: Option<Port>,
    udp: Option<Port>,
    dns: Option<Dns>,
    http: Option<Http>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Port {
    port: u16,
}

impl TryFrom<Written> for Kind {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Word(word) if word == "icmp" => Ok(Self::Icmp),
            Written::Full(Full { tcp: Some(Port { port }), udp: None, dns: None, http: None }) if port > 0 => {
                Ok(Self::Tcp { port })
            }
            Written::Full(Full { tcp: None, udp: Some(Port { port }), dns: None, http: None }) if port > 0 => {
                Ok(Self::Udp { port })
            }
            Written::Full(Full { tcp: None, udp: None, dns: Some(dns), http: None }) => {
                dns.check().map(|()| Self::Dns(dns))
            }
            Written::Full(Full { tcp: None, udp: None, dns: None, http: Some(http) }) => {
                http.check().map(|()| Self::Http(http))
            }
            _ => Err("a probe is one of icmp, {tcp: {port: 443}}, {udp: {port: 7}}, {dns: {query: example.org}}, {http: {}}"
                .to_owned()),
        }
    }
}

impl Kind {
    /// For the label `probe`; `None` for ICMP, whose series are smokeping_prober's.
    pub(super) fn label(&self) -> Option<String> {
        match self {
            Self::Icmp => None,
            Self::Tcp { port } => Some(format!("tcp:{port}")),
            Self::Udp { port } => Some(format!("udp:{port}")),
            Self::Dns(dns) => Some(format!("dns:{}", dns.query)),
            Self::Http(http) => {
                let scheme = if http.tls.is_some() { "https" } else { "http" };
                Some(format!("{scheme}:{}{}", http.port(), http.path))
            }
        }
    }
}

/// One question to a service.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) kind: Kind,
    pub(super) dest: IpAddr,
    /// The target as it was configured: a web server wants its name.
    pub(super) host: String,
    pub(super) source: Option<IpAddr>,
    pub(super) size: u16,
    pub(super) timeout: Duration,
    pub(super) key: u64,
}

/// Asks; the report is final. Beside it, why there was no good answer.
pub(super) async fn ask(ask: Ask, trust: Arc<Trust>) -> (Report, Option<Failure>) {
    let Ask { kind, dest, host, source, size, timeout, key } = ask;
    let start = Instant::now();
    let to = |port| SocketAddr::new(dest, port);
    let answered = async {
        match &kind {
            Kind::Icmp | Kind::Tcp { .. } => Ok(()),
            Kind::Udp { port } => Ok(udp::echo(to(*port), source, size).await?),
            Kind::Dns(dns) => match dns.ask(to(dns.port), source).await? {
                code if dns.require_noerror && code != 0 => {
                    Err(Failure::Answer(format!("it answers with code {code}")))
                }
                _ => Ok(()),
            },
            Kind::Http(http) => http.get(dest, source, &host, &trust).await,
        }
    };
    let outcome = match kind {
        Kind::Tcp { port } => Ok(net::connect_round_trip(to(port), source, timeout).await),
        _ => match timeout_at(start + timeout, answered).await {
            Ok(Ok(())) => Ok(Outcome::Reply { rtt: start.elapsed(), ttl: None }),
            Ok(Err(failure)) => unless_own_limit(dest, failure),
            Err(_) => Err(Failure::Timeout),
        },
    };
    let (outcome, failure) = match outcome {
        Ok(outcome @ Outcome::Timeout) => (outcome, Some(Failure::Timeout)),
        Ok(outcome @ Outcome::Unreachable { .. }) => {
            (outcome, Some(Failure::Connection(io::ErrorKind::HostUnreachable.into())))
        }
        Ok(Outcome::NotSent(error)) => {
            let failure = refused(&error);
            (Outcome::NotSent(error), failure)
        }
        Ok(outcome) => (outcome, None),
        Err(failure) => (Outcome::Timeout, Some(failure)),
    };
    (Report { key, outcome, gap: None }, failure)
}

/// A lack of room here, of descriptors or of memory, is no failure of the target: it was not asked.
fn unless_own_limit(dest: IpAddr, failure: Failure) -> Result<Outcome, Failure> {
    match failure {
        Failure::Connection(source) if net::is_own_limit(&source) => {
            Ok(Outcome::NotSent(SendError::Io { dest, source }))
        }
        failure => Err(failure),
    }
}

/// Why the system made no connection, where that is no lack of room here.
fn refused(error: &SendError) -> Option<Failure> {
    let SendError::Io { source, .. } = error else { return None };
    let code = source.raw_os_error().filter(|_| !error.is_own_limit())?;
    Some(Failure::Connection(io::Error::from_raw_os_error(code)))
}

#[cfg(test)]
mod tests;
