//! `ao-agent collect`: one round of the collectors in the Prometheus text format, to see what a node gives.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{COLLECTORS, Config, RunError, collect_once};
use crate::context::Roots;

/// What stands behind `ao-agent collect`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Read once, print, and end.
    #[arg(long, required = true)]
    pub once: bool,
    /// Only this collector.
    #[arg(long, value_name = "NAME", value_parser = names())]
    pub collector: Option<String>,
}

fn names() -> clap::builder::PossibleValuesParser {
    COLLECTORS.iter().map(|entry| entry.name).collect::<Vec<_>>().into()
}

/// Why nothing was printed.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// See [`RunError`].
    #[error(transparent)]
    Collect(#[from] RunError),
    /// The output cannot be written to.
    #[error("cannot write the figures: {0}")]
    Write(#[from] io::Error),
}

/// Reads the host once and writes what was read to `out`.
///
/// # Errors
/// Where a collector cannot be built, or the output is closed.
pub fn print_once(
    args: &Args,
    config: &Config,
    roots: &Roots,
    mut out: impl Write,
) -> Result<(), PrintError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let set = collect_once(config, roots, args.collector.as_deref(), at_ms)?;
    out.write_all(set.exposition().as_bytes())?;
    Ok(out.flush()?)
}
