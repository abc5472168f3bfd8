//! `ao-aggregator journal`: what lies in the journals, and damaged ones made clean.

use std::io::Write;
use std::path::Path;

use ao_common::journal::{About, Ask, CommandError, command};
use ao_proto::frame;
use ao_proto::queue::QUEUES;
use bytes::Bytes;

/// What to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Args {
    /// Shows what lies in the journals, who has read how far, and damage (exit code 1 where there is some). Changes
    /// nothing, also while the aggregator runs.
    Inspect {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Makes damaged journals clean while the aggregator does not run. No healthy record is touched; what is taken out is
    /// kept in the journals' folder `damaged`.
    Repair {
        /// Only says what would be done.
        #[arg(long)]
        dry_run: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command on the journals under `data_dir`.
///
/// # Errors
/// See [`CommandError`].
pub fn run(args: &Args, data_dir: &Path, out: impl Write) -> Result<(), CommandError> {
    let (ask, json) = match *args {
        Args::Inspect { json } => (Ask::Inspect, json),
        Args::Repair { dry_run, json } => (Ask::Repair { dry_run }, json),
    };
    command(ask, json, &data_dir.join("journal"), &QUEUES.map(|queue| queue.name()), about, out)
}

/// What a frame's header says.
fn about(sealed: &Bytes) -> Option<About> {
    let header = frame::open(sealed).ok()?.header;
    Some(About {
        agent: header.agent.iter().map(|byte| format!("{byte:02x}")).collect(),
        source: header.source,
        records: header.records,
        bytes: header.bytes,
        first_ms: header.first_ms,
        last_ms: header.first_ms.saturating_add_unsigned(header.span_ms),
    })
}
