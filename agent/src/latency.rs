//! Round trips to targets, as smokeping_prober gives them.
//!
//! | file | room |
//! |---|---|
//! | `config.rs` | the section `latency` |
//! | `fleet.rs` | all targets: which is due for what (no I/O) |
//! | `target.rs` | one target: its counts and its round |
//! | `round.rs` | the raw round trips of a round, median and loss |
//! | `export.rs` | the metrics of one target |
//!
//! Pings are spread evenly over the round, each target with its own random phase: bursts would find cold caches and
//! meet each other (what they then measure is the prober).

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::context::Context;
use crate::event::Event;
use crate::net::{self, Prober, TargetSpec};

mod config;
mod fleet;

mod target;

mod export;
mod round;

pub use config::Config;
pub use round::Round;

use fleet::{Due, Fleet};

/// Pings under way and reports unread at most; beyond it pings are put off.
const WINDOW: usize = 8192;

/// Lookups at once: the resolver is asked in turn, not by a thousand tasks.
const LOOKUPS: usize = 16;

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
                Some(Due::Resolve(id, ..)) if lookups.len() >= LOOKUPS => fleet.resolve_later(id, Instant::now()),
                Some(Due::Resolve(id, host, current)) => {
                    let proc = ctx.node.roots.proc.clone();
                    lookups.spawn(async move { (id, net::resolve(&host, &proc, current).await) });
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

#[cfg(test)]
mod tests;
