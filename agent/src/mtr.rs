//! `ao-agent mtr HOST`: the path to a host as mtr shows it, with its options and its JSON, by the agent's own engine: one
//! flow is one path, other ways are shown beside it, and no router is asked more often than it answers. Needs no
//! aggregator and no configuration.
//!
//! | room | what it holds |
//! |---|---|
//! | `args` | the options |
//! | `head` | what a report says of itself |
//! | `text` | the report and the live table |
//! | `json` | mtr's JSON, with other ways and MPLS labels |

mod args;
mod head;
mod json;
mod text;

use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;

use thiserror::Error;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub use args::Args;

use crate::net::{self, OpenError, Prober};
use crate::path::Tracer;
use head::Head;

/// Cycles of a report where `-c` is not given.
const CYCLES: u64 = 10;

/// Why there is no path to show.
#[derive(Debug, Error)]
pub enum MtrError {
    /// The name.
    #[error("cannot resolve {host}: {why}")]
    Resolve {
        /// As typed.
        host: String,
        /// The resolver's reason, or that no address is of the family.
        why: String,
    },
    /// The options.
    #[error("{0}")]
    Options(String),
    /// The sockets.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No probe could be sent.
    #[error("{0}")]
    Send(String),
    /// The output is closed.
    #[error("cannot write the report: {0}")]
    Write(io::Error),
}

/// Traces until the cycles are done or the shutdown, then reports; on a terminal, without `--report` and `--json`, shows
/// the table all the while.
///
/// # Errors
/// See [`MtrError`].
pub async fn run(
    args: &Args,
    net: &net::Config,
    mut out: impl Write + IsTerminal,
    shutdown: CancellationToken,
) -> Result<(), MtrError> {
    args.config(args.ipv6).check().map_err(MtrError::Options)?;
    let address = resolve(args).await?;
    let config = args.config(address.is_ipv6());
    let prober = Prober::start(net, shutdown.child_token())?;
    let live = !args.report && !args.json && out.is_terminal();
    let most = args.cycles.or_else(|| (!live).then_some(CYCLES));
    let mut head = Head {
        source: ao_common::process::host_name(),
        target: args.host.clone(),
        address,
        tests: 0,
        size: config.packet_size(address.is_ipv6()),
        tos: args.tos,
    };
    let capability = prober.capability().sentence.clone();
    let mut tracer = Tracer::new(config, address, prober);
    let start = Instant::now();
    while most.is_none_or(|most| head.tests < most) {
        let round = tokio::select! {
            () = shutdown.cancelled() => break,
            round = tracer.round() => round,
        };
        head.tests += 1;
        if let Err(why) = round
            && tracer.hops().iter().all(|hop| hop.address.is_none())
        {
            return Err(MtrError::Send(why));
        }
        if live {
            text::screen(&mut out, &head, &tracer, args, &capability).map_err(MtrError::Write)?;
        }
        let next =
            (start + args.interval() * u32::try_from(head.tests).unwrap_or(u32::MAX)).max(Instant::now());
        if most.is_none_or(|most| head.tests < most) {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep_until(next) => {}
            }
        }
    }
    tracer.settle().await;
    let written = match (args.json, live) {
        (true, _) => json::write(&mut out, &head, &tracer, args),
        (false, true) => Ok(()),
        (false, false) => text::report(&mut out, &head, &tracer, args),
    };
    written.and_then(|()| out.flush()).map_err(MtrError::Write)
}

/// The address of the wanted family; IPv4 first where both will do, as the agent's targets.
async fn resolve(args: &Args) -> Result<IpAddr, MtrError> {
    let failed = |why: String| MtrError::Resolve { host: args.host.clone(), why };
    let found =
        tokio::net::lookup_host((args.host.as_str(), 0)).await.map_err(|why| failed(why.to_string()))?;
    let mut found: Vec<IpAddr> = found
        .map(|address| address.ip().to_canonical())
        .filter(|ip| (ip.is_ipv4() || !args.ipv4) && (ip.is_ipv6() || !args.ipv6))
        .collect();
    found.sort_by_key(|address| address.is_ipv6());
    found.first().copied().ok_or_else(|| failed("it has no address of that family".to_owned()))
}

#[cfg(test)]
mod tests;
