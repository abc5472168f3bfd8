//! `ao-agent convert`: another tool's configuration into ours.
//!
//! | room | what it reads |
//! |---|---|
//! | `promtail` | Promtail's files, labels and stages |
//! | `relabel` | its rules for the labels of pods |

mod promtail;
mod relabel;

use std::io::{self, Write};
use std::path::PathBuf;

use thiserror::Error;

/// Whose configuration.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Args {
    /// Prints the sections `logs`, `enrich` and `pipeline` that do what a Promtail configuration does.
    Promtail {
        /// Its YAML file.
        file: PathBuf,
    },
}

/// Why nothing, or not all, was converted.
#[derive(Debug, Error)]
pub enum ConvertError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{} is no configuration of Promtail: {why}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Some of it has no equivalent; the rest was printed.
    #[error("what has no equivalent here ({0}): see the lines that begin with # NOT CONVERTED")]
    Parts(usize),
    /// The output is closed.
    #[error("cannot write the configuration: {0}")]
    Write(#[from] io::Error),
}

/// Prints to `out`.
///
/// # Errors
/// See [`ConvertError`]; what can be converted is printed all the same.
pub fn run(args: &Args, mut out: impl Write) -> Result<(), ConvertError> {
    let Args::Promtail { file } = args;
    let text =
        std::fs::read_to_string(file).map_err(|source| ConvertError::Read { path: file.clone(), source })?;
    let made = promtail::convert(&text).map_err(|why| ConvertError::Form { path: file.clone(), why })?;
    out.write_all(made.text.as_bytes())?;
    out.flush()?;
    if made.missing > 0 { Err(ConvertError::Parts(made.missing)) } else { Ok(()) }
}
