//! One YAML file into one typed configuration.
//!
//! ```text
//! file -> variables put in -> serde (deny_unknown_fields) -> typed value
//! ```
//!
//! Every refusal is one sentence with the place, the cause and the fix. The commands end with
//! [`EXIT_BAD_CONFIG`] on one.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_yaml_ng::Value;

mod error;
mod refusal;
mod variables;

pub use error::ConfigError;

/// Exit code of a command that was given a configuration it cannot use.
pub const EXIT_BAD_CONFIG: u8 = 2;

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
