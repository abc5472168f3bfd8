//! What two agents measure together: UDP echoes between nodes, with the times at both ends. Round trips by ICMP and
//! paths to the same peers are the sources `latency` and `path`, as for any target.
//!
//! | file | room |
//! |---|---|
//! | `config.rs` | the section `mesh` |
//! | `echo.rs` | answers those that measure this node |
//! | `packet.rs` | questions and answers as bytes (no I/O) |
//! | `flows.rs` | the sockets that ask, one for each source port |
//! | `asker.rs` | questions under way (no I/O) |
//! | `grid.rs` | all peers: what is due for which (no I/O) |
//! | `cell.rs` | one peer: its rounds, clock offset and one-way changes (no I/O) |
//! | `baseline.rs` | what a direction's delay has changed, between clocks that differ and drift (no I/O) |
//! | `sweep.rs` | which source ports are dead (no I/O) |
//! | `mtu.rs` | the search for the path's MTU (no I/O) |
//! | `tcp.rs` | what TCP has seen on the way to the peers |
//! | `export.rs` | metrics and events |
//! | `flight.rs` | the flight recorder: both ends are looked at when a way gets worse |
//! | `fuzzing.rs` | doors for the fuzz targets |

mod config;

mod grid;

mod asker;
mod cell;

mod baseline;
mod mtu;
mod sweep;

mod echo;
mod flows;
mod packet;
mod tcp;

mod export;

mod flight;

pub(crate) mod fuzzing;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ao_common::clock;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use config::Config;

use crate::context::Context;
use crate::event::Event;
use crate::net::{Datagram, Prober};
use flight::{Flown, Looks};
use flows::Flows;
use grid::{Due, Grid};

/// Ways that are looked at at a time: a peer that dies is seen by many, and each needs but one look.
const FLIGHTS: usize = 4;

/// How often questions that wait are looked through.
const EXPIRE: Duration = Duration::from_millis(100);

/// An agent that is replaced may hold the port for a moment yet.
const BIND_TRIES: u32 = 12;
/// Between two of them.
const BIND_AGAIN: Duration = Duration::from_secs(5);

/// Why it ends early.
#[derive(Debug, Error)]
pub enum MeshError {
    /// The echo's port.
    #[error("cannot open UDP port {port} for the mesh's echo: {source}; choose another one in mesh.port")]
    Bind {
        /// Which.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
}

/// Measures, and answers, until the shutdown; does nothing while the aggregator names no others.
///
/// # Errors
/// Where the echo's port cannot be had.
pub async fn run(config: Config, ctx: Context, prober: Arc<Prober>) -> Result<(), MeshError> {
    if !config.enabled {
        ctx.shutdown.cancelled().await;
        return Ok(());
    }
    let mut directives = ctx.directives.clone();
    directives.mark_changed();
    let (mut grid, mut flows) = (Grid::new(config.clone()), Flows::new(config.ports.into(), None));
    // Ends with this function.
    let mut helpers = JoinSet::new();
    let (peers, looked_for) = watch::channel(HashSet::<IpAddr>::new());
    let (seen, towards) = watch::channel(HashMap::new());
    helpers.spawn(tcp::follow(config.export.0, looked_for, seen));
    let mut answers = false;
    let (mut flights, mut recorded) = (JoinSet::new(), Vec::new());
    let mut expiry = interval(EXPIRE);
    expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut packet = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = ctx.shutdown.cancelled() => return Ok(()),
            Ok(()) = directives.changed() => {
                let told = directives.borrow_and_update().clone();
                if !answers && !told.askers.is_empty() {
                    let Some(socket) = bind(config.port, &ctx).await? else { return Ok(()) };
                    let looks = Looks::new(Arc::clone(&prober), ctx.node.roots.proc.clone());
                    helpers.spawn(echo::answer(socket, ctx.directives.clone(), looks));
                    answers = true;
                }
                flows.come_from(told.address.parse().ok());
                grid.apply(&told.peers, Instant::now());
                peers.send_replace(grid.addresses());
            }
            Some(answer) = flows.next() => grid.answered(&answer),
            Some(Ok((cell, flown))) = flights.join_next() => landed(&mut grid, cell, flown, &mut recorded),
            _ = expiry.tick(), if grid.is_busy() => grid.expire(clock::boot_ns()),
            () = grid.wait() => match grid.due(Instant::now(), |place, towards| flows.port(place, towards)) {
                Some(Due::Ask(question)) => {
                    packet::question(question.token, question.bytes, &mut packet);
                    if let Err(error) = flows.send(question.port, question.to, &packet) {
                        grid.unsent(&question, &error);
                    }
                }
                Some(Due::Export(cell, ip)) => {
                    let tcp = towards.borrow().get(&ip).copied();
                    grid.export(cell, tcp);
                }
                None => {}
            },
        }
        for (cell, peer, trouble) in grid.troubles() {
            if flights.len() < FLIGHTS {
                let own = directives.borrow().address.parse().ok();
                let (node, prober, usual) = (Arc::clone(&ctx.node), Arc::clone(&prober), config.interval.0);
                let flight = flight::fly(node, prober, own, peer, trouble, usual);
                flights.spawn(async move { (cell, flight.await) });
            } else {
                grid.judged(cell, "not_recorded");
            }
        }
        for event in grid.events().into_iter().chain(recorded.drain(..)) {
            // The batcher is gone only when the agent stops.
            if ctx.events.send(event).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// A way was looked at.
fn landed(grid: &mut Grid, cell: u64, flown: io::Result<Flown>, recorded: &mut Vec<Event>) {
    match flown {
        Ok(flown) => {
            grid.judged(cell, flown.verdict);
            recorded.extend(flown.events);
        }
        Err(error) => {
            tracing::warn!(%error, "a way that got worse cannot be looked at");
            grid.judged(cell, "not_recorded");
        }
    }
}

/// The echo's socket; `None` at the shutdown.
async fn bind(port: u16, ctx: &Context) -> Result<Option<Datagram>, MeshError> {
    let mut tries = 1;
    loop {
        match echo::open(port) {
            Ok(socket) => return Ok(Some(socket)),
            Err(source) if tries >= BIND_TRIES => return Err(MeshError::Bind { port, source }),
            Err(error) => tracing::warn!(port, %error, "the mesh's echo cannot open its port yet"),
        }
        tries += 1;
        tokio::select! {
            () = ctx.shutdown.cancelled() => return Ok(None),
            () = tokio::time::sleep(BIND_AGAIN) => {}
        }
    }
}
