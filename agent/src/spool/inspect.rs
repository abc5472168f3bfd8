//! `ao-agent journal`: what lies in the spool, and a damaged one made clean.

use std::io::Write;
use std::path::Path;

use ao_common::journal::{About, Ask, CommandError, command};
use ao_proto::frame;
use ao_proto::queue::QUEUES;
use bytes::Bytes;

/// What to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Args {
    /// Shows what lies in the spool, who has read how far, and damage (exit code 1 where there is some). Changes
    /// nothing, also while the agent runs.
    Inspect {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Makes a damaged spool clean while the agent does not run. No healthy record is touched; what is taken out is
    /// kept in the spool's folder `damaged`.
    Repair {
        /// Only says what would be done.
        #[arg(long)]
        dry_run: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command on the spool under `data_dir`.
///
/// # Errors
/// See [`CommandError`].
pub fn run(args: &Args, data_dir: &Path, out: impl Write) -> Result<(), CommandError> {
    let (ask, json) = match *args {
        Args::Inspect { json } => (Ask::Inspect, json),
        Args::Repair { dry_run, json } => (Ask::Repair { dry_run }, json),
    };
    command(ask, json, &data_dir.join("spool"), &QUEUES.map(|queue| queue.name()), about, out)
}

/// What a frame's header says. All frames are this agent's.
fn about(sealed: &Bytes) -> Option<About> {
    let header = frame::open(sealed).ok()?.header;
    Some(About {
        agent: String::new(),
        source: header.source,
        records: header.records,
        bytes: header.bytes,
        first_ms: header.first_ms,
        last_ms: header.first_ms.saturating_add_unsigned(header.span_ms),
    })
}
