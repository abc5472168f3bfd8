//! The sentences that a user gets for a configuration that was refused.

use std::io;
use std::path::PathBuf;

/// Why a configuration was refused. `origin` is the file's path, or what else the text came from; lines count
/// from 1, and 0 means that the line is not known.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {cause}; give a readable file with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It is not YAML.
    #[error("{}: not valid YAML: {cause}", at(origin, *line))]
    Syntax {
        /// Where the text came from.
        origin: String,
        /// Line of the mistake.
        line: usize,
        /// What the YAML parser said.
        cause: String,
    },
    /// A key that nothing reads, most often a typing error.
    #[error("{}: unknown key \"{key}\"; {}", at(origin, *line), allowed_here(allowed))]
    UnknownKey {
        /// Where the text came from.
        origin: String,
        /// Line of the key.
        line: usize,
        /// Its full path, such as `logs.files[0].pth`.
        key: String,
        /// What may stand there.
        allowed: Vec<String>,
    },
    /// A value that does not fit its key.
    #[error("{}: \"{key}\": {cause}", at(origin, *line))]
    Value {
        /// Where the text came from.
        origin: String,
        /// Line of the value.
        line: usize,
        /// The key's full path.
        key: String,
        /// What was found and what is expected.
        cause: String,
    },
    /// `${NAME}` with no such variable and no default.
    #[error(
        "{}: the environment variable {name} is not set; set it, or write ${{{name}:-default}}",
        at(origin, *line)
    )]
    Unset {
        /// Where the text came from.
        origin: String,
        /// Line of the reference.
        line: usize,
        /// The variable.
        name: String,
    },
    /// A variable whose value would change the shape of the file. The value is not shown: it may be a secret.
    #[error(
        "{}: the value of the environment variable {name} cannot stand there as it is; write the whole value in double quotes",
        at(origin, *line)
    )]
    Unquoted {
        /// Where the text came from.
        origin: String,
        /// Line of the reference.
        line: usize,
        /// The variable.
        name: String,
    },
}

fn at(origin: &str, line: usize) -> String {
    if line == 0 { origin.to_owned() } else { format!("{origin}, line {line}") }
}

fn allowed_here(allowed: &[String]) -> String {
    match allowed {
        [] => "nothing may stand there".to_owned(),
        [one] => format!("only \"{one}\" may stand there"),
        many => format!("allowed there: {}", many.join(", ")),
    }
}
