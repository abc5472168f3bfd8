//! What is asked of a target: ICMP echo by the agent's prober, or a service's own protocol by a socket of its own.
//!
//! | file | room |
//! |---|---|
//! | `udp.rs` | an echo service by UDP |
//! | `dns.rs` | a name server |
//! | `http.rs` | a web server |
//!
//! A service's round trips end when its answer is read here: they have this process's scheduling in them, which ICMP's
//! have not. What fails in any way is a loss.

mod dns;
mod http;
mod udp;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::net::{self, Outcome, Report};

pub use dns::Dns;
pub use http::Http;

/// `icmp`, or `{tcp: {port: 443}}`, `{udp: {port: 7}}`, `{dns: {query: example.org}}`, `{http: {path: /healthz}}`.
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
    /// A request without TLS.
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
            Self::Http(http) => Some(format!("http:{}{}", http.port, http.path)),
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

/// Asks; the report is final.
pub(super) async fn ask(ask: Ask) -> Report {
    let Ask { kind, dest, host, source, size, timeout, key } = ask;
    let start = Instant::now();
    let to = |port| SocketAddr::new(dest, port);
    let answered = match kind {
        Kind::Icmp => None,
        Kind::Tcp { port } => {
            return Report {
                key,
                outcome: net::connect_round_trip(to(port), source, timeout).await,
                gap: None,
            };
        }
        Kind::Udp { port } => timeout_at(start + timeout, udp::echo(to(port), source, size)).await.ok(),
        Kind::Dns(dns) => timeout_at(start + timeout, dns.ask(to(dns.port), source)).await.ok(),
        Kind::Http(http) => timeout_at(start + timeout, http.get(to(http.port), source, &host)).await.ok(),
    };
    let outcome = match answered {
        Some(Ok(())) => Outcome::Reply { rtt: start.elapsed(), ttl: None },
        Some(Err(error)) => {
            tracing::debug!(target_host = host, %error, "a probe has failed");
            Outcome::Timeout
        }
        None => Outcome::Timeout,
    };
    Report { key, outcome, gap: None }
}

#[cfg(test)]
mod tests;
