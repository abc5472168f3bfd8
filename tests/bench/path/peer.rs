//! mtr: a cycle for each target within the interval, evenly spread, each by a process of its own. A process in the client's
//! namespace starts them all and adds up what they cost and show.

use std::error::Error;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use ao_tests::workspace::tool;
use serde::{Deserialize, Serialize};

use super::world::{CLIENT, World};
use super::{INTERVAL, TARGETS, target};
use crate::api::children_seconds;

/// What they cost and show.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) cpu_seconds: f64,
    /// Share of all probes to all hops.
    pub(super) loss: f64,
}

pub(super) fn start(world: &World) -> Result<Child, Box<dyn Error>> {
    world.spaces.role(CLIENT, "mtr", "", Stdio::piped())
}

/// # Errors
/// Where a mtr has failed.
pub(super) fn end(child: Child) -> Result<Found, Box<dyn Error>> {
    let said = child.wait_with_output()?.stdout;
    serde_json::from_slice(&said).map_err(|why| format!("the run of mtr has failed: {why}").into())
}

/// The process that starts them; says what was found.
///
/// # Errors
/// Where a mtr cannot be run, or does not say what it should.
pub(crate) fn mtr(_argument: &str) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let mut running = Vec::new();
    for n in 1..=TARGETS {
        let due = begin + INTERVAL * u32::from(n - 1) / u32::from(TARGETS);
        while Instant::now() < due {
            std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        }
        let child = Command::new(tool("mtr"))
            .env("MTR_PACKET", tool("mtr-packet"))
            .args(["--json", "--no-dns", "-c", "1", &target(n)])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|why| format!("cannot run mtr: {why}"))?;
        running.push(child);
    }
    let (mut sent, mut lost) = (0.0, 0.0);
    for child in running {
        let report: serde_json::Value = serde_json::from_slice(&child.wait_with_output()?.stdout)?;
        for hub in report["report"]["hubs"].as_array().into_iter().flatten() {
            let probes = hub["Snt"].as_f64().unwrap_or(0.0);
            sent += probes;
            lost += probes * hub["Loss%"].as_f64().unwrap_or(0.0) / 100.0;
        }
    }
    let found = Found { cpu_seconds: children_seconds()?, loss: lost / f64::max(sent, 1.0) };
    serde_json::to_writer(std::io::stdout().lock(), &found)?;
    std::io::stdout().flush()?;
    Ok(())
}
