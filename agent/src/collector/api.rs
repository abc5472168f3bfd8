//! What a host collector is: the trait, its row in the table, its errors. Imports no sibling.

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_yaml_ng::Value;

use crate::context::Roots;
use crate::event::MetricSet;

/// Reads one part of the host. Called on a blocking thread, once per round, never twice at the same time.
pub trait Collector {
    /// Appends samples to `out`.
    ///
    /// # Errors
    /// What was appended before the error stays: a file with one line that cannot be read still gives the others.
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError>;
}

/// What [`Entry::build`] gives.
pub type Built = Result<Box<dyn Collector + Send>, BuildError>;

/// A collector's row in the table.
pub struct Entry {
    /// Its key in the configuration and its `collector` label; node_exporter's name where it has one.
    pub name: &'static str,
    /// Whether it runs without being named in the configuration.
    pub default_on: bool,
    /// Makes it from its section of the configuration.
    pub build: fn(Option<Value>) -> Built,
}

/// Why a collector's section cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Not what the collector's `Config` wants.
    #[error("{0}")]
    Section(#[from] serde_yaml_ng::Error),
    /// A pattern that is no regular expression.
    #[error("{option}: {pattern:?} is no regular expression: {why}")]
    Pattern {
        /// The option.
        option: &'static str,
        /// Its value.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// A path or pattern of paths that means nothing.
    #[error("{option}: {}: {why}", path.display())]
    Path {
        /// The option.
        option: &'static str,
        /// Its value.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two options that contradict each other.
    #[error("{0} and {1} exclude each other: set one of them")]
    Both(&'static str, &'static str),
}

/// Why a round of one collector failed.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// This host has nothing of the kind: said at debug level only.
    #[error("this host has no {0}")]
    NoData(&'static str),
    /// A file that must be there cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line that is not what the kernel's documentation says.
    #[error("cannot understand line {line} of {}: {text:?}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Its beginning.
        text: String,
    },
}

impl CollectError {
    /// A line that cannot be understood; `index` counts from 0.
    pub fn line(path: &Path, index: usize, text: &str) -> Self {
        Self::Parse { path: path.to_owned(), line: index + 1, text: text.chars().take(120).collect() }
    }

    /// Whether a file is absent: what it tells of is not on this host or not in this kernel.
    pub fn is_absent(&self) -> bool {
        use io::ErrorKind::{NotADirectory, NotFound};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), NotFound | NotADirectory))
    }

    /// [`CollectError::NoData`] instead, where a file is absent.
    pub fn absent_means_no(self, what: &'static str) -> Self {
        if self.is_absent() { Self::NoData(what) } else { self }
    }
}

/// The first thing that went wrong while the rest was read.
#[derive(Debug, Default)]
pub struct Faults(Option<CollectError>);

impl Faults {
    /// The value, or nothing and the error remembered.
    pub fn note<T>(&mut self, result: Result<T, CollectError>) -> Option<T> {
        result.map_err(|why| self.add(why)).ok()
    }

    /// Remembers an error if it is the first.
    pub fn add(&mut self, why: CollectError) {
        self.0.get_or_insert(why);
    }

    /// What the collector returns.
    ///
    /// # Errors
    /// The first one.
    pub fn end(self) -> Result<(), CollectError> {
        self.0.map_or(Ok(()), Err)
    }
}

/// A collector's own `Config` from its section; the default one where there is none.
///
/// # Errors
/// Where the section has an unknown field or a wrong type.
pub fn section<T: DeserializeOwned + Default>(value: Option<Value>) -> Result<T, BuildError> {
    match value {
        None | Some(Value::Null) => Ok(T::default()),
        Some(value) => Ok(serde_yaml_ng::from_value(value)?),
    }
}
