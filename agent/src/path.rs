//! The way to targets, hop by hop, as mtr measures it and mtr-exporter gives it.
//!
//! | file | room |
//! |---|---|
//! | `config.rs` | the section `path` |
//! | `trace.rs` | one target: its rounds, one after the other |
//! | `strategy.rs` | which TTL next, and when a pass over the hops ends (no I/O) |
//! | `live.rs` | the strategy's network: the prober, within the budget |
//! | `budget.rs` | how often a router may be made to answer (no I/O) |
//! | `hop.rs` | mtr's figures of one hop (no I/O) |
//! | `route.rs` | which path is the accepted one, and when it has changed (no I/O) |
//! | `export.rs` | metrics and the log event |
//!
//! All packets to a target are one flow (see `net/packet.rs`), so that load balancing shows one path, not a mixture.
//! Loss at a hop that later hops do not share is the router's thrift with answers, not loss: never alarm on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::context::Context;
use crate::event::Event;
use crate::net::{Agenda, Prober, TargetSpec};

mod config;
mod trace;

mod live;
mod strategy;

mod budget;
mod export;
mod hop;
mod route;

pub use config::Config;

use budget::Budget;
use trace::Trace;

/// Traces at once; the others wait their turn.
const TRACES: usize = 64;

/// How long a trace waits for its turn before it asks again.
const TURN: Duration = Duration::from_millis(250);

/// Traces until shutdown.
pub async fn run(config: Config, ctx: Context, prober: Arc<Prober>) {
    let mut directives = ctx.directives.clone();
    let budget = Arc::new(Mutex::new(Budget::default()));
    let mut fleet = Fleet::default();
    let mut running = JoinSet::new();
    let mut events = Vec::new();
    let wanted = TargetSpec::merge(&config.targets, &directives.borrow_and_update().paths);
    fleet.apply(wanted, &config, &mut events);
    loop {
        for event in events.drain(..) {
            if ctx.events.send(event).await.is_err() {
                return;
            }
        }
        tokio::select! {
            biased;
            () = ctx.shutdown.cancelled() => return,
            Some(done) = running.join_next() => match done {
                Ok((id, started, trace, found)) => {
                    if fleet.back(id, trace, started + config.interval.0) {
                        events = found;
                    }
                }
                Err(error) => tracing::error!(%error, "a trace has ended unfinished; its target is not traced any more"),
            },
            Ok(()) = directives.changed() => {
                let wanted = TargetSpec::merge(&config.targets, &directives.borrow_and_update().paths);
                fleet.apply(wanted, &config, &mut events);
            }
            () = fleet.agenda.wait() => {
                let now = Instant::now();
                let Some(id) = fleet.agenda.due(now) else { continue };
                if running.len() >= TRACES {
                    fleet.agenda.add(now + TURN, id);
                    continue;
                }
                let Some(Some(mut trace)) = fleet.targets.get_mut(&id).map(|(_, trace)| trace.take()) else {
                    continue;
                };
                let (config, node, budget) = (config.clone(), Arc::clone(&ctx.node), Arc::clone(&budget));
                let prober = Arc::clone(&prober);
                running.spawn(async move {
                    let change = trace.round(&config, &node, &prober, &budget).await;
                    let mut found = vec![Event::Metrics(export::metrics(&trace, &config, &node))];
                    if let Some(change) = change {
                        trace.accept(&change);
                        found.push(Event::Logs(export::log(&trace, &change)));
                    }
                    (id, now, trace, found)
                });
            }
        }
    }
}

/// The targets; a trace is away while its round runs.
#[derive(Default)]
struct Fleet {
    targets: HashMap<u64, (TargetSpec, Option<Box<Trace>>)>,
    agenda: Agenda<u64>,
    next_id: u64,
}

impl Fleet {
    /// Makes the targets be `wanted`; those that stay keep what is known of their paths.
    fn apply(&mut self, mut wanted: Vec<TargetSpec>, config: &Config, events: &mut Vec<Event>) {
        self.targets.retain(|_, (spec, _)| match wanted.iter().position(|new| new == spec) {
            Some(at) => {
                wanted.swap_remove(at);
                true
            }
            None => {
                events.push(Event::Metrics(export::empty(&spec.host)));
                false
            }
        });
        // Few targets show themselves within seconds; many are spread over the interval.
        let spread = config.interval.0.min(Duration::from_millis(1_000 + 500 * wanted.len() as u64));
        for spec in wanted {
            self.next_id += 1;
            self.agenda.add(Instant::now() + spread.mul_f64(rand::random()), self.next_id);
            self.targets.insert(self.next_id, (spec.clone(), Some(Box::new(Trace::new(spec)))));
        }
    }

    /// A round has ended; false when its target has gone meanwhile.
    fn back(&mut self, id: u64, trace: Box<Trace>, next: Instant) -> bool {
        let Some((_, place)) = self.targets.get_mut(&id) else { return false };
        *place = Some(trace);
        self.agenda.add(next.max(Instant::now()), id);
        true
    }
}

#[cfg(test)]
mod tests;
