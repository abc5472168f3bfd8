//! `ao-agent record`: writes down what the host collectors read, round by round, so that benchmarks run on a real
//! kernel's figures again and again.
//!
//! | room | what it holds |
//! |---|---|
//! | `format` | the file: a writer, and [`Recording`], which reads it back |

mod format;

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::sync::Arc;

use ao_common::clock::now_ms;
use ao_common::units::Span;
use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior};

use crate::collector;
use crate::context::Roots;
pub use format::{FormatError, RecordedSeries, Recording, Snapshot, Writer};

/// What to record, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Time between two rounds.
    #[arg(long, default_value = "15s")]
    pub interval: Span,
    /// For how long; the last round is at its end.
    #[arg(long = "for", default_value = "1h")]
    pub length: Span,
    /// The file to write; one that exists is not overwritten.
    pub file: PathBuf,
}

/// Why a recording ended early. What was written until then can be read.
#[derive(Debug, Error)]
pub enum RecordError {
    /// An interval of no time.
    #[error("--interval must be longer than 0s")]
    Interval,
    /// The file cannot be made.
    #[error("cannot make {}: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The collectors cannot be built.
    #[error(transparent)]
    Collect(#[from] collector::RunError),
    /// The thread of a round is gone.
    #[error("a round of the collectors ended early: {0}")]
    Round(#[from] tokio::task::JoinError),
}

/// Records this host with all collectors that are on by default. Each round is in the file before the next begins.
///
/// # Errors
/// See [`RecordError`]. A collector that fails leaves its samples out of the round.
pub async fn run(args: Args) -> Result<(), RecordError> {
    if args.interval.0.is_zero() {
        return Err(RecordError::Interval);
    }
    let file = File::create_new(&args.file)
        .map_err(|source| RecordError::Create { path: args.file.clone(), source })?;
    let mut collectors = collector::Config::default().collectors(None)?;
    let roots = Arc::new(Roots::default());
    let mut writer = Writer::new(BufWriter::new(file));

    let begin = Instant::now();
    let end = begin + args.length.0;
    let mut ticks = tokio::time::interval_at(begin, args.interval.0);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let tick = ticks.tick().await;
        if tick > end {
            return Ok(());
        }
        let roots = Arc::clone(&roots);
        let result;
        (collectors, writer, result) = tokio::task::spawn_blocking(move || {
            let set = collectors.round(&roots, now_ms());
            let result = writer.write(&set);
            (collectors, writer, result)
        })
        .await?;
        result.map_err(|source| RecordError::Write { path: args.file.clone(), source })?;
    }
}
