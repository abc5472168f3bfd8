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
//! | `flight.rs` | the flight recorder: both ends are looked at when a way gets worse, whoever sees it |
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
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

pub use config::Config;

use crate::context::Context;
use crate::net::{Datagram, Prober};
use crate::rounds::Complaint;
use crate::trouble::Alarm;
use flight::{Base, Looks, Recorder};
use flows::Flows;
use grid::{Due, Grid};

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

/// Measures, and answers, until the shutdown, whom the aggregator names; records what the other sources raise alarms of.
///
/// # Errors
/// Where the echo's port cannot be had.
pub async fn run(
    config: Config,
    ctx: Context,
    prober: Arc<Prober>,
    mut alarms: broadcast::Receiver<Alarm>,
) -> Result<(), MeshError> {
    let mut directives = ctx.directives.clone();
    directives.mark_changed();
    let (mut grid, mut flows) = (Grid::new(config.clone()), Flows::new(config.ports.into(), None));
    let (node, interval) = (Arc::clone(&ctx.node), config.interval.0);
    let (usual, walks) = Default::default();
    let base = Base { node, prober: Arc::clone(&prober), own: None, interval, usual, walks };
    let mut recorder = Recorder::new(&config, base);
    // Ends with this function.
    let mut helpers = JoinSet::new();
    let (peers, looked_for) = watch::channel(HashSet::<IpAddr>::new());
    let (seen, towards) = watch::channel(HashMap::new());
    helpers.spawn(tcp::follow(config.export.0, looked_for, seen));
    let (mut answers, mut listens) = (false, true);
    let (mut expiry, mut exports) = (every(EXPIRE), every(config.export.0.max(Duration::from_secs(1))));
    let (mut packet, mut unsent) = (Vec::new(), Complaint::default());
    loop {
        tokio::select! {
            biased;
            () = ctx.shutdown.cancelled() => return Ok(()),
            Ok(()) = directives.changed(), if config.enabled => {
                let told = directives.borrow_and_update().clone();
                if !answers && !told.askers.is_empty() {
                    let Some(socket) = bind(config.port, &ctx).await? else { return Ok(()) };
                    let proc = ctx.node.roots.proc.clone();
                    let looks = Looks::new(Arc::clone(&prober), proc, config.port, recorder.ways());
                    helpers.spawn(echo::answer(socket, ctx.directives.clone(), looks));
                    answers = true;
                }
                recorder.come_from(flows.come_from(&told.address));
                grid.apply(&told.peers, Instant::now());
                recorder.keep(&grid);
                peers.send_replace(grid.addresses());
            }
            Some(answer) = flows.next() => if !grid.answered(&answer) {
                recorder.answered(&answer);
            },
            ended = recorder.next() => recorder.landed(&mut grid, &mut flows, ended),
            alarm = alarms.recv(), if listens => match alarm {
                Ok(alarm) => recorder.alarm(&mut grid, &mut flows, alarm),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                // Nobody is left who might raise one.
                Err(broadcast::error::RecvError::Closed) => listens = false,
            },
            _ = expiry.tick(), if grid.is_busy() => {
                grid.expire(clock::boot_ns());
                recorder.look_around(&grid);
            }
            _ = exports.tick(), if recorder.has_counted() || grid.is_busy() => {
                if recorder.has_counted() {
                    recorder.export();
                }
                if grid.is_busy() {
                    // The machine may have lost its address, or only now have it.
                    recorder.come_from(flows.come_from(&directives.borrow().address));
                }
            }
            () = grid.wait() => match grid.due(Instant::now(), |place, towards| flows.port(place, towards)) {
                Some(Due::Ask(question)) => {
                    packet::question(question.token, 0, question.bytes, &mut packet);
                    if let Err(error) = flows.send(question.port, question.to, &packet) {
                        // What is too large for the interface is an answer.
                        if error.raw_os_error() != Some(libc::EMSGSIZE)
                            && let Some(times) = unsent.failed()
                        {
                            tracing::warn!(to = %question.to, %error, times, "echoes to other nodes are not sent");
                        }
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
        for (cell, trouble) in grid.troubles() {
            recorder.cell(&mut grid, &mut flows, cell, trouble);
        }
        for event in grid.events().into_iter().chain(recorder.events()) {
            // The batcher is gone only when the agent stops.
            if ctx.events.send(event).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
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
