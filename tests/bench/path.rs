//! What tracing paths costs: 100 targets behind four Linux routers with their default limit of one ICMP error a second,
//! each traced once a minute on its canonical flow. Measured is the whole agent, its connection to an aggregator
//! included, for a minute behind the one in which all routers are found. At the same time mtr does the same job in a
//! network of the same shape: it needs a process for each target. What expires at a router is counted by that router's
//! kernel. Needs root, for the namespaces.
//!
//! | room | what it holds |
//! |---|---|
//! | `world` | a client, routers and a server; what expires where |
//! | `ours` | the agent and its aggregator, and what they show |
//! | `peer` | mtr |

mod ours;
mod peer;
mod world;

use std::error::Error;
use std::time::{Duration, Instant};

use crate::api::Row;
use ours::Ours;
use world::World;

pub(crate) use peer::mtr;

const TARGETS: u8 = 100;
const PEER: &str = "mtr";

/// Time from round to round, here and there.
const INTERVAL: Duration = Duration::from_secs(60);
/// Each target has had its first round, in which the routers are found.
const WARM: Duration = Duration::from_secs(65);

fn target(n: u8) -> String {
    format!("10.78.0.{n}")
}

/// All rows.
///
/// # Errors
/// Where there are no namespaces, a program is missing, or a target is not traced.
pub(crate) fn run() -> Result<Vec<Row>, Box<dyn Error>> {
    let (world, theirs) = (World::build("p")?, World::build("q")?);
    let ours = Ours::start(&world)?;
    let begin = Instant::now();
    let mut busiest = world.watch(begin + WARM)?;
    let before = ours.cpu()?;
    let peer = peer::start(&theirs)?;
    let measured = Instant::now();
    busiest = busiest.max(world.watch(measured + INTERVAL)?);
    let cpu = (ours.cpu()? - before) / measured.elapsed().as_secs_f64();
    let (shown, peer) = (ours.shown(&world)?, peer::end(peer)?);
    Ok(vec![
        Row::new(
            "path.cpu_100_targets",
            format!(
                "CPU of the whole agent, {TARGETS} targets traced once a minute on their canonical flow, {} hops shown",
                shown.hops
            ),
            cpu,
            "core",
        )
        .beside(PEER, peer.cpu_seconds / INTERVAL.as_secs_f64()),
        Row::new(
            "path.expiring_per_second",
            "most probes that expired at one router within a second, by its own count",
            busiest,
            "probes",
        ),
        Row::new("path.fake_hop_loss", "loss that hops show, where none is lost", shown.loss, "share")
            .beside(PEER, peer.loss),
    ])
}
