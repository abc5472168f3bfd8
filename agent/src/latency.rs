//! Round trips to targets, as smokeping_prober gives them.
//!
//! | file | room |
//! |---|---|
//! | `fleet.rs` | all targets: which is due for what (no I/O) |
//! | `target.rs` | one target: its counts and its round |
//! | `round.rs` | the raw round trips of a round, median and loss |
//! | `export.rs` | the metrics of one target |
//!
//! Pings are spread evenly over the round, each target with its own random phase: bursts would find cold caches and
//! meet each other (what they then measure is the prober).

use std::sync::Arc;
use std::time::Duration;

use ao_common::units::Span;
use serde::Deserialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::context::Context;
use crate::event::Event;
use crate::net::{self, Prober, ResolveError, TargetSpec};

mod fleet;

mod target;

mod export;
mod round;

pub use round::Round;

use fleet::{Due, Fleet};

/// Pings under way and reports unread at most; beyond it pings are put off.
const WINDOW: usize = 8192;

/// Lookups at once: the resolver is asked in turn, not by a thousand tasks.
const LOOKUPS: usize = 16;

/// What to ping, and how often.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Targets, besides those that the aggregator names. `"gateway"` is the default gateway.
    pub targets: Vec<TargetSpec>,
    /// Length of a round.
    pub interval: Span,
    /// Pings per round and target, evenly spread.
    pub pings: u32,
    /// An answer that takes longer is a loss.
    pub timeout: Span,
    /// Payload bytes of a ping.
    pub size: u16,
    /// Type of service (IPv4) or traffic class (IPv6) of the pings.
    pub tos: u8,
    /// How often a target's metrics are handed on.
    pub export: Span,
    /// How often names are looked up again.
    pub resolve: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            targets: vec![net::GATEWAY.into()],
            interval: Span::secs(60),
            pings: 20,
            timeout: Span::secs(2),
            size: 56,
            tos: 0,
            export: Span::secs(15),
            resolve: Span::secs(60),
        }
    }
}

impl Config {
    /// Time between two pings to one target; a configuration of zeroes still leaves a pause.
    fn period(&self) -> Duration {
        (self.interval.0 / self.pings.max(1)).max(Duration::from_millis(1))
    }
}

/// Pings until shutdown.
pub async fn run(config: Config, ctx: Context, prober: Arc<Prober>) {
    let mut client = prober.client(WINDOW);
    let mut directives = ctx.directives.clone();
    let mut lookups = JoinSet::new();
    let wanted = TargetSpec::merge(&config.targets, &directives.borrow_and_update().latency);
    let mut fleet = Fleet::new(config);
    fleet.apply(wanted, Instant::now());
    loop {
        for removed in fleet.removed() {
            if ctx.events.send(Event::Metrics(removed)).await.is_err() {
                return;
            }
        }
        tokio::select! {
            biased;
            () = ctx.shutdown.cancelled() => break,
            Some(report) = client.recv() => fleet.report(report),
            Some(Ok((id, found))) = lookups.join_next() => fleet.resolved(id, found, Instant::now()),
            Ok(()) = directives.changed() => {
                let wanted = TargetSpec::merge(fleet.configured(), &directives.borrow_and_update().latency);
                fleet.apply(wanted, Instant::now());
            }
            () = fleet.wait() => match fleet.due(Instant::now()) {
                Some(Due::Ping(probe)) => match client.try_send(probe) {
                    Ok(true) => {}
                    Ok(false) => fleet.put_off(probe.key, Instant::now()),
                    Err(net::Stopped) => break,
                },
                Some(Due::Resolve(id, _)) if lookups.len() >= LOOKUPS => fleet.resolve_later(id, Instant::now()),
                Some(Due::Resolve(id, host)) => {
                    let proc = ctx.node.roots.proc.clone();
                    lookups.spawn(async move { (id, net::resolve(&host, &proc).await) });
                }
                Some(Due::Export(set)) => match ctx.events.send(Event::Metrics(set)).await {
                    Ok(()) => {}
                    Err(_) => return,
                },
                None => {}
            },
        }
    }
    for set in fleet.last() {
        if ctx.events.send(Event::Metrics(set)).await.is_err() {
            return;
        }
    }
}

/// What a lookup gave.
type Found = Result<std::net::IpAddr, ResolveError>;

#[cfg(test)]
mod tests;
