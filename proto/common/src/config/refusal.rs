//! Turns the YAML reader's error into ours: path, line, cause, what is allowed.

use serde_yaml_ng::Error;

use super::error::ConfigError;

/// For a text that is no YAML; a key given twice is found here too.
pub(super) fn syntax(err: &Error, origin: &str) -> ConfigError {
    let (line, text) = split_place(err);
    ConfigError::Syntax { origin: origin.to_owned(), line, cause: text }
}

/// For a value that does not fit what is expected. `base` is prefixed to the path of the mistake. `lines`: whether line numbers mean the user's file.
pub(super) fn explain(err: &Error, origin: &str, base: &str, lines: bool) -> ConfigError {
    let (found, text) = split_place(err);
    let line = if lines { found } else { 0 };
    let origin = origin.to_owned();
    let (path, message) = split_path(&text);
    let parent = join(base, path);
    if let Some((key, allowed)) = unknown_field(message) {
        return ConfigError::UnknownKey { origin, line, key: join(&parent, key), allowed };
    }
    ConfigError::Value { origin, line, key: or_top(&parent), cause: message.to_owned() }
}

/// The line (0 where unknown), and the text without the reader's own " at line 3 column 5".
fn split_place(err: &Error) -> (usize, String) {
    let text = err.to_string();
    let Some(location) = err.location() else { return (0, text) };
    let place = format!(" at line {} column {}", location.line(), location.column());
    (location.line(), text.strip_suffix(&place).unwrap_or(&text).to_owned())
}

fn or_top(path: &str) -> String {
    if path.is_empty() { "(top level)".to_owned() } else { path.to_owned() }
}

fn join(base: &str, path: &str) -> String {
    match (base, path) {
        ("", path) => path.to_owned(),
        (base, "") => base.to_owned(),
        (base, path) if path.starts_with('[') => format!("{base}{path}"),
        (base, path) => format!("{base}.{path}"),
    }
}

/// The reader writes `a.b[0]: message`, and the bare message for the top level. A message of its own can begin
/// with a word and a colon too ("invalid type: ..."): a path has no blank.
fn split_path(text: &str) -> (&str, &str) {
    match text.split_once(": ") {
        Some((path, message)) if !path.contains(' ') => (path, message),
        _ => ("", text),
    }
}

/// serde's words: "unknown field `x`, expected one of `a`, `b`" (or "expected `a` or `b`", "there are no fields").
fn unknown_field(message: &str) -> Option<(&str, Vec<String>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    let allowed = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((key, allowed))
}
