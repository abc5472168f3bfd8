//! `ao-agent collect`: the host's metrics in the Prometheus text format, once for people (`--once`), or for those who
//! scrape (`--serve`).
//!
//! | room | what it holds |
//! |---|---|
//! | `reader` | all that is read, and its text |
//! | `serve` | the doors `/metrics` and `/`; scrapes that come at once share one round |

mod reader;
mod serve;

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};

use ao_common::admin::{self, BindError};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::collector::RunError;
use crate::config::Config;
use crate::context::Roots;
use reader::Reader;

/// What to read, and for whom.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Read once, print, and end.
    #[arg(long, required_unless_present = "serve", conflicts_with = "serve")]
    pub once: bool,
    /// Serve /metrics at this address, or at this port of the loopback; each scrape reads the host.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub serve: Option<SocketAddr>,
    /// Only this collector, also where it is off.
    #[arg(long, value_name = "NAME")]
    pub collector: Option<String>,
}

/// Why nothing is printed or served.
#[derive(Debug, Error)]
pub enum CollectError {
    /// A collector's name or section.
    #[error(transparent)]
    Collector(#[from] RunError),
    /// The output is closed.
    #[error("cannot write what was read: {0}")]
    Write(io::Error),
    /// The listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The server.
    #[error("the server has ended: {0}")]
    Serve(io::Error),
}

/// Prints to `out`, or serves until the shutdown.
///
/// # Errors
/// Where a name is unknown, a collector cannot be built, the output is closed, or the address cannot be had.
pub async fn run(
    args: &Args,
    config: &Config,
    roots: &Roots,
    mut out: impl Write,
    shutdown: CancellationToken,
) -> Result<(), CollectError> {
    let mut reader = Reader::new(config, roots, args.collector.as_deref())?;
    let Some(address) = args.serve else {
        let text = reader.read();
        return out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CollectError::Write);
    };
    let listener = admin::bind(address, "collect", "--serve").await?;
    serve::run(listener, reader, shutdown).await.map_err(CollectError::Serve)
}

/// `127.0.0.1:9100`, or `9100` or `:9100`: then nobody but this machine is served.
fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    text.parse()
        .or_else(|_| port.parse().map(loopback))
        .map_err(|_| format!("{text:?} is neither an address such as 127.0.0.1:9100 or [::]:9100 nor a port"))
}

#[cfg(test)]
mod tests;
