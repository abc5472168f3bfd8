//! `ao-agent ping HOST...`: pings like fping, with its options, its output and its exit codes, and with the agent's own
//! prober: kernel timestamps, answers that belong to nobody else. Needs no aggregator and no configuration.
//!
//! | room | what it holds |
//! |---|---|
//! | `args` | the options |
//! | `plan` | which ping when, and whose turn it is (no I/O) |
//! | `error` | why it ends, and its exit codes |
//! | `tally` | what became of one host's pings (no I/O) |
//! | `printer` | lines and JSON, as fping writes them |

mod args;
mod error;
mod plan;
mod printer;
mod tally;

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

pub use args::Args;
pub use error::{PingError, exit};

use crate::net::{self, Client, Outcome, Probe, Prober, Report, TICK};
use plan::Plan;
use printer::Printer;
use tally::Tally;

/// Lookups at once.
const LOOKUPS: usize = 16;

/// The kernel begins to stamp what it receives a moment after it is asked to (net/core/dev.c, `netstamp_work`).
const WARM: Duration = Duration::from_millis(10);

/// Pings without a report read, twice as many while nobody answers twice; beyond it they wait.
const WINDOW: usize = 16_384;

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
    sleep(WARM).await;
    let plan = Plan::new(&args, hosts.len());
    let (begin, served) = (Instant::now(), None);
    let mut run = Run { args, hosts, client, plan, printer, begin, served, other: 0 };
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
    let unknown = || "Name or service not known".to_owned();
    let found: Vec<_> = tokio::net::lookup_host((name, 0)).await.map_err(|_| unknown())?.collect();
    let mut usable: Vec<IpAddr> = found.iter().filter_map(net::unscoped).filter(wanted).collect();
    // The system's order, but IPv4 where a name has both, as everywhere in this program.
    usable.sort_by_key(IpAddr::is_ipv6);
    usable.first().copied().ok_or_else(|| {
        match found.iter().any(|address| net::unscoped(address).is_none()) {
            true => "Addresses that hold on one interface alone are not supported".to_owned(),
            false => unknown(),
        }
    })
}

struct Run<O, E> {
    args: Args,
    hosts: Vec<Tally>,
    client: Client,
    plan: Plan,
    printer: Printer<O, E>,
    begin: Instant,
    /// When pings were last sent.
    served: Option<Instant>,
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
                () = sleep_until(self.served.map_or(next, |last| next.max(last + TICK))) => self.send()?,
            }
        }
    }

    /// Sends what is due.
    fn send(&mut self) -> Result<(), PingError> {
        let now = Instant::now();
        self.served = Some(now);
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
