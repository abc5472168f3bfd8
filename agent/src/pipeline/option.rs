//! How stages are made: the row of one in the table, what its options may name, and what is wrong with them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use regex::Regex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_yaml_ng::Value as Yaml;

use super::api::Stage;
use super::dialect;
use crate::event::ABANDONED;
use crate::metrics::lines::LineMetrics;

/// A stage's row in the table.
pub(crate) struct Row {
    /// Its key in the configuration, Promtail's name where it has one.
    pub(crate) name: &'static str,
    /// Makes it from its section.
    pub(crate) build: fn(Yaml, &Site) -> Built,
}

/// What [`Row::build`] gives.
pub(crate) type Built = Result<Box<dyn Stage>, StageError>;

/// What a stage may use of its surroundings while it is built.
pub(crate) struct Site {
    /// All stages.
    pub(crate) rows: &'static [Row],
    /// Makes one stage of a list of stages.
    pub(crate) chain: fn(&[Yaml], &Self) -> Built,
    /// Where the stage `metrics` writes.
    pub(crate) metrics: Arc<LineMetrics>,
    /// Why lines are dropped, as far as stages are built.
    pub(crate) reasons: RefCell<BTreeSet<Arc<str>>>,
}

/// Different reasons in one configuration: each is kept and sent by itself.
const REASONS: usize = 32;
/// What the ledger says by itself.
const RESERVED: [&str; 4] = ["shed", "refused", "damaged", ABANDONED];

impl Site {
    /// The reason that a stage gives for what it drops.
    ///
    /// # Errors
    /// Where the ledger has another use for it, it is too long, or there are too many.
    pub(crate) fn reason(&self, wanted: Option<&str>, default: &str) -> Result<Arc<str>, StageError> {
        let reason: Arc<str> = wanted.filter(|name| !name.is_empty()).unwrap_or(default).into();
        let wrong = |why: String| {
            let value = reason.to_string();
            StageError::Option { option: "drop_counter_reason", value, why }
        };
        if RESERVED.contains(&&*reason) {
            return Err(wrong(format!("the ledger itself uses {}", RESERVED.join(", "))));
        }
        if reason.len() > 64 {
            return Err(wrong("it is longer than 64 bytes".to_owned()));
        }
        let mut reasons = self.reasons.borrow_mut();
        reasons.insert(Arc::clone(&reason));
        if reasons.len() > REASONS {
            return Err(wrong(format!("there are more than {REASONS} different ones")));
        }
        Ok(reason)
    }
}

/// Why a stage cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    /// Where it stands, and what is wrong there.
    #[error("stages[{index}].{name}: {why}")]
    At {
        /// From 0.
        index: usize,
        /// The stage.
        name: String,
        /// What is wrong.
        why: Box<StageError>,
    },
    /// Not what the stage wants.
    #[error("{0}")]
    Section(#[from] serde_yaml_ng::Error),
    /// An option whose value cannot be used.
    #[error("{option}: {value:?}: {why}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// Options that do not go together, or one that is missing.
    #[error("{0}")]
    Wrong(&'static str),
    /// A name that is not in the table.
    #[error("there is no such stage; there are {0}")]
    Unknown(String),
    /// An element of a list of stages that is not one key with its section.
    #[error("stages[{0}]: a stage is one name with its options, such as `output: {{ source: message }}`")]
    Shape(usize),
}

/// A stage's own options from its section; an empty section where the stage has only optional ones.
///
/// # Errors
/// Where the section has an unknown field or a wrong type.
pub(crate) fn section<T: DeserializeOwned>(value: Yaml) -> Result<T, StageError> {
    let value = if value.is_null() { Yaml::Mapping(serde_yaml_ng::Mapping::new()) } else { value };
    Ok(serde_yaml_ng::from_value(value)?)
}

/// A regular expression of an option, as Go reads it.
///
/// # Errors
/// Where it is none.
pub(crate) fn pattern(option: &'static str, value: &str) -> Result<Regex, StageError> {
    Regex::new(&dialect::from_go(value)).map_err(|why| StageError::Option {
        option,
        value: value.to_owned(),
        why: format!("no regular expression: {why}"),
    })
}

/// A name that a label may have.
///
/// # Errors
/// Where it is none.
pub(crate) fn label(option: &'static str, name: &str) -> Result<Arc<str>, StageError> {
    let mut bytes = name.bytes();
    let good = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if good {
        return Ok(name.into());
    }
    let why = "a label's name has letters, digits and _ and begins with no digit".to_owned();
    Err(StageError::Option { option, value: name.to_owned(), why })
}

/// A text that may be written as a number or as true or false, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Yaml::deserialize(deserializer)? {
            Yaml::String(text) => Ok(Self(text)),
            Yaml::Number(number) => Ok(Self(number.to_string())),
            Yaml::Bool(is) => Ok(Self(is.to_string())),
            Yaml::Null => Ok(Self(String::new())),
            _ => Err(serde::de::Error::custom("a text is wanted here")),
        }
    }
}
