//! What a conversion says beside what it makes: lines that begin with `#`, above the YAML.

use std::fmt::Write as _;

use serde_yaml_ng::{Mapping, Value};

use crate::config::Config;

/// What comes out.
pub(super) struct Made {
    /// YAML, under its notes.
    pub(super) text: String,
    /// Parts without an equivalent.
    pub(super) missing: usize,
}

/// Notes as they come.
#[derive(Default)]
pub(super) struct Notes {
    text: String,
    missing: usize,
}

impl Notes {
    /// What is worth knowing of a part.
    pub(super) fn note(&mut self, text: &str) {
        // Writing to a String cannot fail.
        let _ok = writeln!(self.text, "# {}", text.replace('\n', " "));
    }

    /// A part without an equivalent.
    pub(super) fn miss(&mut self, place: &str, why: &str) {
        self.missing += 1;
        self.note(&format!("NOT CONVERTED {place}: {why}"));
    }

    /// These notes above the configuration that was built, which `check` and the agent's own reading of it must take.
    pub(super) fn above(mut self, whole: Mapping, check: fn(&Config) -> Result<(), String>) -> Made {
        if whole.is_empty() {
            return Made { text: self.text, missing: self.missing };
        }
        let yaml = serde_yaml_ng::to_string(&Value::Mapping(whole)).unwrap_or_default();
        let read = serde_yaml_ng::from_str::<Config>(&yaml).map_err(|why| why.to_string());
        if let Err(why) = read.and_then(|config| check(&config)) {
            self.miss("all of it", &format!("the agent refuses what came out: {why}"));
        }
        Made { text: self.text + &yaml, missing: self.missing }
    }
}
