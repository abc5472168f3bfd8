//! `ao-agent ping HOST...`: pings like fping, with its options, its output and its exit codes, and with the agent's own
//! prober: kernel timestamps, answers that belong to nobody else. Needs no aggregator and no configuration.
//!
//! | room | what it holds |
//! |---|---|
//! | `args` | the options |
//! | `plan` | which ping when, and whose turn it is (no I/O) |
//! | `tally` | what became of one host's pings (no I/O) |
//! | `printer` | lines and JSON, as fping writes them |

mod args;
mod plan;
mod printer;
mod tally;

use std::io::{self, Write};
use std::net::IpAddr;

use futures_util::stream::{self, StreamExt as _};
use thiserror::Error;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub use args::Args;

use crate::net::{self, Client, OpenError, Outcome, Probe, Prober, Report};
use plan::Plan;
use printer::Printer;
use tally::Tally;

/// Lookups at once.
const LOOKUPS: usize = 16;

/// Pings without a report read at most; beyond it they wait.
const WINDOW: usize = 32_768;

/// fping's exit codes (fping(8)).
pub mod exit {
    /// All hosts answered.
    pub const ALL: u8 = 0;
    /// Some did not.
    pub const SOME: u8 = 1;
    /// A name has no address.
    pub const NO_ADDRESS: u8 = 2;
    /// The command line is wrong.
    pub const USAGE: u8 = 3;
    /// The system refuses.
    pub const SYSTEM: u8 = 4;
}

/// Why nothing was pinged.
#[derive(Debug, Error)]
pub enum PingError {
    /// The options contradict each other or are out of range.
    #[error("{0}")]
    Usage(String),
    /// The list of hosts.
    #[error("cannot read the hosts from {file}: {source}")]
    Hosts {
        /// Its file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// No way to probe.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The prober has ended.
    #[error(transparent)]
    Stopped(#[from] net::Stopped),
    /// The output is closed.
    #[error("cannot write the results: {0}")]
    Write(#[from] io::Error),
}

impl PingError {
    /// What the process ends with.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            _ => exit::SYSTEM,
        }
    }
}

/// Pings until all is known or the shutdown; results go to `out`, summaries and complaints to `err`, as with fping.
/// Gives the exit code.
///
/// # Errors
/// See [`PingError`].
pub async fn run(
    args: Args,
    net: &net::Config,
    out: impl Write,
    err: impl Write,
    shutdown: CancellationToken,
) -> Result<u8, PingError> {
    args.check().map_err(PingError::Usage)?;
    let names = args.hosts()?;
    let config = net::Config { mode: args.mode.or(net.mode), ..net.clone() };
    let prober = Prober::start(&config, shutdown.child_token())?;
    let mut found: Vec<(usize, String, Result<IpAddr, String>)> = stream::iter(names.into_iter().enumerate())
        .map(async |(at, name)| (at, name.clone(), lookup(&args, &name).await))
        .buffer_unordered(LOOKUPS)
        .collect()
        .await;
    found.sort_by_key(|(at, ..)| *at);
    let mut hosts = Vec::with_capacity(found.len());
    let mut unknown = Vec::new();
    for (_, name, address) in found {
        match address {
            Ok(address) => {
                hosts.push(Tally::new(if args.addr { address.to_string() } else { name }, address))
            }
            Err(why) => unknown.push((name, why)),
        }
    }
    if args.vcount.is_some() {
        hosts.iter_mut().for_each(Tally::keep);
    }
    let client = prober.client(WINDOW);
    let mut printer = Printer::new(&args, &hosts, out, err);
    for (name, why) in &unknown {
        printer.unknown(name, why)?;
    }
    let plan = Plan::new(&args, hosts.len());
    let mut run = Run { args, hosts, client, plan, printer, begin: Instant::now(), other: 0 };
    run.pings(&shutdown).await?;
    run.end(unknown.len())
}

/// The first address of the wanted family.
async fn lookup(args: &Args, name: &str) -> Result<IpAddr, String> {
    let wanted = |address: &IpAddr| (!args.ipv6 || address.is_ipv6()) && (!args.ipv4 || address.is_ipv4());
    if let Ok(address) = name.parse::<IpAddr>() {
        let why = || "Address family for hostname not supported".to_owned();
        return Some(address).filter(wanted).ok_or_else(why);
    }
    let found =
        tokio::net::lookup_host((name, 0)).await.map_err(|_| "Name or service not known".to_owned())?;
    let mut found: Vec<IpAddr> = found.map(|address| address.ip().to_canonical()).filter(wanted).collect();
    // The system's order, but IPv4 where a name has both, as everywhere in this program.
    found.sort_by_key(IpAddr::is_ipv6);
    found.first().copied().ok_or_else(|| "Name or service not known".to_owned())
}

struct Run<O, E> {
    args: Args,
    hosts: Vec<Tally>,
    client: Client,
    plan: Plan,
    printer: Printer<O, E>,
    begin: Instant,
    /// ICMP errors received.
    other: u64,
}

impl<O: Write, E: Write> Run<O, E> {
    async fn pings(&mut self, shutdown: &CancellationToken) -> Result<(), PingError> {
        loop {
            let Some(next) = self.plan.next() else {
                if self.plan.under_way() == 0 {
                    return Ok(());
                }
                tokio::select! {
                    () = shutdown.cancelled() => return Ok(()),
                    Some(report) = self.client.recv() => self.report(&report)?,
                }
                continue;
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                Some(report) = self.client.recv() => {
                    self.report(&report)?;
                    while let Some(report) = self.client.try_recv() {
                        self.report(&report)?;
                    }
                }
                () = sleep_until(next) => self.send()?,
            }
        }
    }

    /// Sends what is due.
    fn send(&mut self) -> Result<(), PingError> {
        let now = Instant::now();
        while let Some(ping) = self.plan.due(now) {
            let Some(host) = self.hosts.get_mut(ping.host) else { continue };
            let probe = Probe {
                ttl: self.args.ttl,
                tos: self.args.tos,
                size: self.args.size,
                source: self.args.source,
                timeout: self.plan.timeout(ping.number),
                key: ping.key(),
                ..Probe::to(host.address)
            };
            if !self.client.try_send(probe)? {
                self.plan.again(ping, now);
                return Ok(());
            }
            host.sent(ping.number);
        }
        Ok(())
    }

    fn report(&mut self, report: &Report) -> Result<(), PingError> {
        let ping = plan::Ping::of(report.key);
        let Some(host) = self.hosts.get_mut(ping.host) else { return Ok(()) };
        match &report.outcome {
            Outcome::Duplicate => {
                self.printer.duplicate(host, ping.number)?;
                return Ok(());
            }
            Outcome::Reply { rtt, .. } => {
                host.answered(ping.number, *rtt);
                self.printer.answered(host, ping.number, *rtt)?;
            }
            lost => {
                if let Outcome::Unreachable { from, .. } | Outcome::Expired { from, .. } = lost {
                    self.other += 1;
                    self.printer.refused(host, *from, lost)?;
                }
                if let Outcome::NotSent(why) = lost {
                    self.printer.unsent(why)?;
                }
                host.lost();
                self.printer.timed_out(host, ping.number)?;
            }
        }
        let done = self.plan.ended(ping, matches!(report.outcome, Outcome::Reply { .. }), Instant::now());
        if done {
            self.printer.verdict(host)?;
        }
        Ok(())
    }

    fn end(mut self, unknown: usize) -> Result<u8, PingError> {
        self.printer.summaries(&self.hosts)?;
        if self.args.stats {
            self.printer.stats(&self.hosts, unknown, self.other, self.begin.elapsed())?;
        }
        self.printer.flush()?;
        let alive = self.hosts.iter().filter(|host| host.received > 0).count();
        Ok(if unknown > 0 {
            exit::NO_ADDRESS
        } else if alive < self.hosts.len() {
            exit::SOME
        } else {
            exit::ALL
        })
    }
}

#[cfg(test)]
mod tests;
