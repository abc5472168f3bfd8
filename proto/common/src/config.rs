//! One YAML file into one typed configuration.
//!
//! ```text
//! file -> variables put in -> serde (deny_unknown_fields) -> typed value
//! ```
//!
//! Every refusal is one sentence with the place, the cause and the fix. The commands end with
//! [`EXIT_BAD_CONFIG`] on one.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_yaml_ng::Value;

mod refusal;
mod variables;

/// Exit code of a command that was given a configuration it cannot use.
pub const EXIT_BAD_CONFIG: u8 = 2;

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

/// Reads one file. An empty one (or one of comments alone) gives the default.
///
/// # Errors
/// See [`ConfigError`].
pub fn load<T: DeserializeOwned + Default>(path: &Path) -> Result<T, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
    parse(&text, &path.display().to_string())
}

/// Reads a text; `origin` says in errors where it came from. Variables come from the process's environment.
///
/// # Errors
/// See [`ConfigError`].
pub fn parse<T: DeserializeOwned + Default>(text: &str, origin: &str) -> Result<T, ConfigError> {
    parse_with(text, origin, |name| std::env::var(name).ok())
}

/// As [`parse`], with the variables given: for tests.
///
/// # Errors
/// See [`ConfigError`].
pub fn parse_with<T: DeserializeOwned + Default>(
    text: &str,
    origin: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<T, ConfigError> {
    let text = variables::put_in(text, origin, variable)?;
    // First as a tree: what fails there is no YAML at all, whatever is expected of it.
    match serde_yaml_ng::from_str(&text) {
        Err(err) => Err(refusal::syntax(&err, origin)),
        Ok(Value::Null) => Ok(T::default()),
        Ok(_) => serde_yaml_ng::from_str(&text).map_err(|err| refusal::explain(&err, origin, "", true)),
    }
}

/// Turns the section of one component, kept as a YAML value by its family, into the component's own
/// configuration. `path` is the section's key, such as `collectors.filesystem`. No value gives the default.
///
/// # Errors
/// See [`ConfigError`]; the line is not known here, the path is.
pub fn section<T: DeserializeOwned + Default>(
    value: &Value,
    origin: &str,
    path: &str,
) -> Result<T, ConfigError> {
    if value.is_null() {
        return Ok(T::default());
    }
    // Through text, since only the text reader tracks the path of a mistake.
    serde_yaml_ng::to_string(value)
        .and_then(|text| serde_yaml_ng::from_str(&text))
        .map_err(|err| refusal::explain(&err, origin, path, false))
}

#[cfg(test)]
mod tests;
