//! An alert as it is configured: one of the two kinds of rule, and how it is told.

use serde::Deserialize;

use super::history::History;
use super::matcher::Matcher;
use super::pattern::{Pattern, Series};

/// An alert as Smokeping's section `Alerts` has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Alert {
    /// `loss`, `rtt` or `matcher`.
    pub kind: String,
    /// As it was written.
    pub pattern: String,
    /// Tell of its beginning and its end; without, of every round in which it holds.
    pub edgetrigger: bool,
    /// For people.
    pub comment: String,
    /// Of several alerts of a target only the one with the least number is told; those without a number always are.
    pub priority: Option<u32>,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Pattern(Pattern),
    Matcher(Matcher),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "type")]
    kind: String,
    pattern: String,
    #[serde(default)]
    edgetrigger: bool,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    priority: Option<u32>,
}

impl TryFrom<Written> for Alert {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { kind, pattern, edgetrigger, comment, priority } = written;
        let test = match kind.as_str() {
            "loss" => Test::Pattern(Pattern::parse(&pattern, Series::Loss)?),
            "rtt" => Test::Pattern(Pattern::parse(&pattern, Series::Rtt)?),
            "matcher" => Test::Matcher(Matcher::parse(&pattern)?),
            other => return Err(format!("an alert of type {other:?}: there are loss, rtt and matcher")),
        };
        Ok(Self { kind, pattern, edgetrigger, comment, priority, test })
    }
}

impl Alert {
    /// Reads one from Smokeping's words.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(kind: &str, pattern: &str, edgetrigger: bool) -> Result<Self, String> {
        let (kind, pattern) = (kind.to_owned(), pattern.to_owned());
        Written { kind, pattern, edgetrigger, comment: String::new(), priority: None }.try_into()
    }

    /// Rounds that it looks back at most.
    pub fn length(&self) -> usize {
        match &self.test {
            Test::Pattern(pattern) => pattern.length(),
            Test::Matcher(matcher) => matcher.length(),
        }
    }

    /// Whether it holds behind the newest round; `before` is what it was behind the one before.
    pub fn holds(&self, history: &History, before: bool) -> bool {
        match &self.test {
            Test::Pattern(pattern) => pattern.holds(history),
            Test::Matcher(matcher) => matcher.holds(history, before),
        }
    }
}
