//! `ao-agent convert`: another tool's configuration into ours.
//!
//! | room | what it reads, or writes |
//! |---|---|
//! | `promtail` | Promtail's files, labels and stages |
//! | `journal` | its systemd journal |
//! | `relabel` | its rules for the labels of pods and of journals |
//! | `smokeping` | Smokeping's targets, probes and alerts |
//! | `notes` | what each says beside what it makes |

mod journal;
mod notes;
mod promtail;
mod relabel;
mod smokeping;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Whose configuration.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Args {
    /// Prints the sections `logs`, `enrich` and `pipeline` that do what a Promtail configuration does.
    Promtail {
        /// Its YAML file.
        file: PathBuf,
    },
    /// Prints the section `latency` that does what a Smokeping configuration does.
    Smokeping {
        /// Its file, or that of its targets alone.
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
    #[error("{} is no configuration of {whose}: {why}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The other tool.
        whose: &'static str,
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
    let (Args::Promtail { file } | Args::Smokeping { file }) = args;
    let text =
        std::fs::read_to_string(file).map_err(|source| ConvertError::Read { path: file.clone(), source })?;
    let (whose, made) = match args {
        Args::Promtail { .. } => ("Promtail", promtail::convert(&text)),
        Args::Smokeping { .. } => {
            // Files that it includes lie where it says, or beside it.
            let beside = |path: &Path| file.parent().unwrap_or(Path::new("")).join(path);
            let open = |path: &Path| std::fs::read_to_string(beside(path)).ok();
            ("Smokeping", smokeping::convert(&text, &open))
        }
    };
    let made = made.map_err(|why| ConvertError::Form { path: file.clone(), whose, why })?;
    out.write_all(made.text.as_bytes())?;
    out.flush()?;
    if made.missing > 0 { Err(ConvertError::Parts(made.missing)) } else { Ok(()) }
}
