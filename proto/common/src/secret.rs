//! A secret of a configuration: shown nowhere, given as a value or as the path of a file that holds it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// `"text"`, or `{file: PATH}`. A file is read at each use, so that a rotated secret is picked up.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Kept);

#[derive(Clone, PartialEq, Eq)]
enum Kept {
    Value(String),
    File(PathBuf),
}

/// The secret's file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the secret file {}: {cause}", path.display())]
pub struct SecretError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

impl Secret {
    /// From a value at hand.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Kept::Value(value.into()))
    }

    /// From a file, read at each use.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Kept::File(path.into()))
    }

    /// The secret itself; of a file, without the line ends at its end. Reads a small file: blocking.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn reveal(&self) -> Result<String, SecretError> {
        match &self.0 {
            Kept::Value(value) => Ok(value.clone()),
            Kept::File(path) => std::fs::read_to_string(path)
                .map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
                .map_err(|cause| SecretError { path: path.clone(), cause }),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kept::Value(_) => f.write_str("(secret)"),
            Kept::File(path) => write!(f, "(secret in {})", path.display()),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Its errors never show the value.
struct SecretVisitor;

const UNQUOTED: &str = "a secret that looks like a number or a truth value must stand in quotes";

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret: text in quotes, or {file: PATH}")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Secret, E> {
        Ok(Secret::new(value))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Err(E::custom(UNQUOTED))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom(UNQUOTED))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Secret, E> {
        Err(E::custom(UNQUOTED))
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Secret, E> {
        Err(E::custom(UNQUOTED))
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Secret, E> {
        Err(E::custom(UNQUOTED))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom(UNQUOTED))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let mut path: Option<PathBuf> = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "file" if path.is_none() => path = Some(map.next_value()?),
                "file" => return Err(de::Error::duplicate_field("file")),
                other => return Err(de::Error::unknown_field(other, &["file"])),
            }
        }
        path.map(Secret::file).ok_or_else(|| de::Error::missing_field("file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a secret as a value, as a file, and in the wrong forms.
    /// Guarantees: both forms reveal the same text; nothing that is shown contains it, errors included.
    #[test]
    fn shown_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "hunter2\n").unwrap();
        let value: Secret = serde_yaml_ng::from_str("hunter2").unwrap();
        let file: Secret = serde_yaml_ng::from_str(&format!("{{file: {}}}", path.display())).unwrap();
        assert_eq!(value.reveal().unwrap(), file.reveal().unwrap());
        assert!(!format!("{value:?} {value} {file:?} {file}").contains("hunter2"));
        for bad in ["12345678", "1.5", "-1", "true", "{path: x}", "{}", "[hunter2]"] {
            let err = serde_yaml_ng::from_str::<Secret>(bad).unwrap_err().to_string();
            assert!(!err.contains("hunter2") && !err.contains("12345678"), "{err}");
        }
    }

    /// Scenario: the file is not there.
    /// Guarantees: the error names it.
    #[test]
    fn missing_file() {
        let err = Secret::file("/nowhere/token").reveal().unwrap_err().to_string();
        assert!(err.contains("/nowhere/token") && err.contains("No such file"), "{err}");
    }
}
