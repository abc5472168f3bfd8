//! What `journal inspect` and `journal repair` of both services do and print.

use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use thiserror::Error;

use super::error::JournalError;
use super::inspect::inspect;
use super::repair::repair;
use super::report::About;
use super::text::Text;
use crate::clock::now_ms;

/// What to do.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub enum Args {
    /// Shows what lies there, who has read how far, and damage (exit code 1 where there is some). Changes nothing, also
    /// while the service runs.
    Inspect {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Cleans up damage while the service does not run. No healthy record is touched; what is taken out is kept in the
    /// folder `damaged` beside the rest.
    Repair {
        /// Only says what would be done.
        #[arg(long)]
        dry_run: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Why nothing, or not all, was shown or done.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The folder, or the service that has it open.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Whoever reads what is printed has gone.
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
    /// For scripts: all was shown, and there is something to do.
    #[error("damaged places: {0}; stop the service and run the same command with repair for inspect")]
    Damaged(usize),
}

/// Does it with the logs of these names below `dir` and prints the outcome; `describe` reads a frame.
///
/// # Errors
/// See [`CommandError`].
pub fn command(
    args: Args,
    dir: &Path,
    names: &[&str],
    describe: impl Fn(&Bytes) -> Option<About>,
    mut out: impl Write,
) -> Result<(), CommandError> {
    let mut damaged = 0;
    match args {
        Args::Inspect { json } => {
            let report = inspect(dir, names, |_, frame| describe(frame))?;
            damaged = report.damaged();
            if json {
                serde_json::to_writer_pretty(&mut out, &report).map_err(io::Error::from)?;
                writeln!(out)?;
            } else {
                write!(out, "{}", Text(&report, now_ms()))?;
            }
        }
        Args::Repair { dry_run, json } => {
            let done = repair(dir, names, dry_run)?;
            if json {
                serde_json::to_writer_pretty(&mut out, &done).map_err(io::Error::from)?;
                writeln!(out)?;
            } else {
                done.iter().try_for_each(|mend| writeln!(out, "{mend}"))?;
                match (done.is_empty(), dry_run) {
                    (true, _) => writeln!(out, "nothing is damaged")?,
                    (false, true) => writeln!(out, "this is what would be done; nothing was changed")?,
                    (false, false) => {
                        writeln!(out, "what was changed is kept in {}", dir.join("damaged").display())?
                    }
                }
            }
        }
    }
    out.flush()?;
    if damaged > 0 { Err(CommandError::Damaged(damaged)) } else { Ok(()) }
}
