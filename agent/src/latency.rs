//! Round trips to targets: Smokeping's rounds and alerts, under smokeping_prober's names.
//!
//! | file | room |
//! |---|---|
//! | `config.rs` | the section `latency`, and the tree of its groups |
//! | `fleet.rs` | all targets: which is due for what (no I/O) |
//! | `line.rs` | those for which there is no room now (no I/O) |
//! | `target.rs` | one target: its counts, its round, its alerts |
//! | `probe.rs` | what is asked of a target: ICMP, TCP, UDP, DNS, HTTP |
//! | `round.rs` | the raw round trips of a round, median and loss |
//! | `doubt.rs` | what the prober thinks of its own figures |
//! | `alert.rs` | alerts in Smokeping's language |
//! | `export.rs` | the metrics of one target, and the log event of an alert |
//!
//! Pings are spread evenly over the round, each target with its own random phase: bursts would find cold caches and
//! meet each other (what they then measure is the prober).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ao_common::clock::now_ms;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::context::Context;
use crate::event::Event;
use crate::net::{self, Prober};
use crate::trouble::Alarms;

pub mod alert;

mod config;
mod fleet;
mod line;

mod probe;
mod target;

mod doubt;
mod export;
mod round;

pub use config::{Config, Group};
pub use doubt::Doubt;
pub use probe::{Dns, Http, Kind, Tls};
pub use round::Round;

use doubt::Witness;
use fleet::{Due, Fleet, Room};

/// Pings under way and reports unread, twice as many while nobody answers twice; beyond it pings wait.
const WINDOW: usize = 4096;

/// Lookups at once: the resolver is asked in turn, not by a thousand tasks.
const LOOKUPS: usize = 16;

/// Questions to services at once; each holds a file descriptor.
const ASKS: usize = 256;

/// Steps before reports are looked at again.
const BATCH: usize = 256;

/// Pings until shutdown.
pub async fn run(config: Config, ctx: Context, prober: Arc<Prober>, alarms: Alarms) {
    let mut client = prober.client(WINDOW);
    let mut directives = ctx.directives.clone();
    let mut lookups = JoinSet::new();
    let mut asks: JoinSet<(net::Report, Option<probe::Failure>)> = JoinSet::new();
    let trust = Arc::<probe::Trust>::default();
    let mut witness = Witness::new(&ctx.node.roots.proc);
    let mut ticks = tokio::time::interval(config.export.0.max(Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let dropped = || prober.counted().dropped();
    let mut fleet = Fleet::new(config);
    let wanted = fleet.plans(&directives.borrow_and_update().latency);
    fleet.apply(wanted, Instant::now());
    let mut loaded_ms = now_ms();
    // Whether the prober's own series are out, which end with the last target.
    let mut told = false;
    'run: loop {
        for event in fleet.events() {
            if ctx.events.send(event).await.is_err() {
                return;
            }
        }
        for alarm in fleet.alarms() {
            // Nobody needs to listen.
            let _heard = alarms.send(alarm);
        }
        tokio::select! {
            biased;
            () = ctx.shutdown.cancelled() => break,
            Some(report) = client.recv() => {
                let now = witness.look(dropped());
                fleet.report(&report, now);
                for _ in 1..BATCH {
                    let Some(report) = client.try_recv() else { break };
                    fleet.report(&report, now);
                }
            }
            Some(Ok((report, failure))) = asks.join_next() => {
                fleet.asked(report.key, failure.as_ref());
                fleet.report(&report, witness.look(dropped()));
            }
            Some(Ok((id, found, took))) = lookups.join_next() => fleet.resolved(id, found, took, Instant::now()),
            Ok(()) = directives.changed() => {
                let wanted = fleet.plans(&directives.borrow_and_update().latency);
                fleet.apply(wanted, Instant::now());
                loaded_ms = now_ms();
            }
            _ = ticks.tick(), if told || !fleet.is_empty() => {
                told = !fleet.is_empty();
                let figures = told.then(|| export::Prober {
                    receive_errors: prober.counted().receive_errors.load(Ordering::Relaxed),
                    errors: fleet.lookups_failed(),
                    loaded_ms,
                });
                if ctx.events.send(Event::Metrics(export::prober(figures, now_ms()))).await.is_err() {
                    return;
                }
            }
            () = fleet.wait() => {
                for _ in 0..BATCH {
                    let room = Room {
                        pings: client.has_room(),
                        asks: asks.len() < ASKS,
                        lookups: lookups.len() < LOOKUPS,
                    };
                    match fleet.due(Instant::now(), room) {
                        Some(Due::Ping(probe)) => match client.try_send(probe) {
                            Ok(true) => {}
                            Ok(false) => fleet.put_off(probe.key),
                            Err(net::Stopped) => break 'run,
                        },
                        Some(Due::Ask(ask)) => {
                            asks.spawn(probe::ask(ask, Arc::clone(&trust)));
                        }
                        Some(Due::Resolve(id, host, current)) => {
                            let proc = ctx.node.roots.proc.clone();
                            lookups.spawn(async move {
                                let began = Instant::now();
                                (id, net::resolve(&host, &proc, current).await, began.elapsed())
                            });
                        }
                        Some(Due::Export(set)) => match ctx.events.send(Event::Metrics(set)).await {
                            Ok(()) => {}
                            Err(_) => return,
                        },
                        None => continue 'run,
                    }
                }
                // More is due, at once; but what was handed over is to be sent first.
                tokio::task::yield_now().await;
            }
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
