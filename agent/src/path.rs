//! The way to targets, hop by hop, as mtr measures it and mtr-exporter gives it.
//!
//! | file | room |
//! |---|---|
//! | `config.rs` | the section `path` |
//! | `trace.rs` | one target: its rounds, one after the other |
//! | `strategy.rs` | which TTL next, and when a pass over the hops ends (no I/O) |
//! | `live.rs` | the strategy's network: the prober, within the routers' budget |
//! | `hop.rs` | mtr's figures of one hop (no I/O) |
//! | `route.rs` | which path is the accepted one, and when it has changed (no I/O) |
//! | `spot.rs` | the same for one distance: a set of routers (no I/O) |
//! | `ends.rs` | the same for the distance of the target (no I/O) |
//! | `sight.rs` | what one flow has shown in a round (no I/O) |
//! | `names.rs`, `asn.rs` | who routers are: names by DNS, systems by a local table |
//! | `export.rs` | metrics |
//! | `event.rs` | a change as log event and trace |
//! | `tracer.rs` | one path for a person (`ao-agent mtr`) |
//!
//! All packets of a flow look alike to routers (see `net/packet.rs`, `net/crafted.rs`), so that load balancing shows one
//! path, not a mixture. The canonical flow gives the figures; now and then, and when something looks changed, up to eight
//! flows show the set of ways.
//! Loss at a hop that later hops do not share is the router's thrift with answers, not loss: never alarm on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::context::Context;
use crate::event::Event;
use crate::net::{Agenda, Prober, TargetSpec};
use crate::trouble::{Alarm, Alarms, Trouble, Turn};

mod config;
mod trace;

mod live;
mod strategy;

mod asn;
mod ends;
mod event;
mod export;
mod hop;
mod names;
mod route;
mod sight;
mod spot;
mod tracer;

pub use config::{Config, Protocol};
pub use hop::Figures;
pub use tracer::{HopReport, Tracer};

use export::Known;
use names::Names;
use trace::Trace;

/// Traces at once; the others wait their turn.
const TRACES: usize = 64;

/// Traces until shutdown.
pub async fn run(config: Config, ctx: Context, prober: Arc<Prober>, alarms: Alarms) {
    let mut directives = ctx.directives.clone();
    let known = Arc::new(Known { names: config.names.then(Names::default), asn: export::table(&config) });
    let config = Arc::new(config);
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
            // Those that are overdue meanwhile get their turn in the order of their times.
            () = fleet.agenda.wait(), if running.len() < TRACES => {
                let now = Instant::now();
                let planned = fleet.agenda.next().unwrap_or(now);
                let Some(id) = fleet.agenda.due(now) else { continue };
                fleet.late(now.saturating_duration_since(planned), config.interval.0);
                let Some(Some(mut trace)) = fleet.targets.get_mut(&id).map(|(_, trace)| trace.take()) else {
                    continue;
                };
                let (config, node) = (Arc::clone(&config), Arc::clone(&ctx.node));
                let (prober, known, crowd) = (Arc::clone(&prober), Arc::clone(&known), fleet.targets.len());
                let alarms = alarms.clone();
                running.spawn(async move {
                    let change = trace.run(&config, &node, &prober, crowd).await;
                    let mut found = vec![Event::Metrics(export::metrics(&trace, &config, &node, &known))];
                    if let Some(change) = change {
                        let trace_id = rand::random::<u128>().max(1);
                        found.push(Event::Spans(event::spans(&trace, &change, &node, trace_id)));
                        trace.accept(&change);
                        found.push(Event::Logs(event::log(&trace, &change, trace_id)));
                        let (host, address) = (trace.spec.host.clone(), trace.address);
                        let turn = Turn::begun(Trouble::PathChange);
                        // Nobody needs to listen.
                        let _heard = alarms.send(Alarm { turn, host, address, server: None });
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
    late_told: bool,
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
        let spread = config.interval.0.min(Duration::from_secs(1 + wanted.len() as u64));
        for spec in wanted {
            self.next_id += 1;
            self.agenda.add(Instant::now() + spread.mul_f64(rand::random()), self.next_id);
            self.targets.insert(self.next_id, (spec.clone(), Some(Box::new(Trace::new(spec)))));
        }
    }

    /// A round begins so late. More targets than there is time for are said once, until all are in time again.
    fn late(&mut self, late: Duration, interval: Duration) {
        if late >= interval && !std::mem::replace(&mut self.late_told, true) {
            let (targets, seconds) = (self.targets.len(), (interval + late).as_secs());
            tracing::warn!(
                targets,
                "there are too many paths for path.interval: they are traced every {seconds} s or so"
            );
        }
        self.late_told &= late >= interval / 2;
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
