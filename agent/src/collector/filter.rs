//! Which devices, mount points or types a collector leaves out: a pattern to exclude or one to include.

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use super::api::BuildError;

/// The options of a collector that reads devices and nothing else, under node_exporter's names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Devices {
    /// Devices to leave out (a regular expression); what is left out by default the collector says.
    pub device_exclude: Option<String>,
    /// The only devices to read; excludes the option above.
    pub device_include: Option<String>,
}

impl Devices {
    /// See [`Filter::new`].
    pub(super) fn filter(&self, default: &str) -> Result<Filter, BuildError> {
        let exclude = ("device_exclude", self.device_exclude.as_deref());
        let include = ("device_include", self.device_include.as_deref());
        Filter::new(exclude, include, default)
    }
}

/// The patterns are node_exporter's: regular expressions, not anchored by themselves.
#[derive(Debug)]
pub(super) struct Filter {
    exclude: Option<Regex>,
    include: Option<Regex>,
}

/// An option's name with its value.
pub(super) type Pattern<'a> = (&'static str, Option<&'a str>);

impl Filter {
    /// `default` holds where neither option is set; an empty pattern excludes nothing.
    ///
    /// # Errors
    /// Where both options are set, or one is no regular expression.
    pub(super) fn new(exclude: Pattern<'_>, include: Pattern<'_>, default: &str) -> Result<Self, BuildError> {
        let compile = |option, pattern: &str| {
            if pattern.is_empty() { Ok(None) } else { compile(option, pattern, Names::EachRound).map(Some) }
        };
        match (exclude, include) {
            ((a, Some(_)), (b, Some(_))) => Err(BuildError::Both(a, b)),
            (_, (option, Some(pattern))) => Ok(Self { exclude: None, include: compile(option, pattern)? }),
            ((option, pattern), _) => {
                Ok(Self { exclude: compile(option, pattern.unwrap_or(default))?, include: None })
            }
        }
    }

    /// Whether `name` is left out.
    pub(super) fn ignores(&self, name: &str) -> bool {
        self.exclude.as_ref().is_some_and(|pattern| pattern.is_match(name))
            || self.include.as_ref().is_some_and(|pattern| !pattern.is_match(name))
    }
}

/// How often a pattern is asked about a name.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Names {
    EachRound,
    /// The answer is remembered: the states of an automaton, up to 200 kB, need not be.
    Once,
}

/// The regular expression that is an option's value.
///
/// # Errors
/// Where it is none.
pub(super) fn compile(option: &'static str, pattern: &str, names: Names) -> Result<Regex, BuildError> {
    let mut builder = RegexBuilder::new(pattern);
    if names == Names::Once {
        builder.dfa_size_limit(0);
    }
    builder.build().map_err(|why| {
        // The error draws the pattern over several lines; its last one says what is wrong.
        let why = why.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        BuildError::Pattern { option, pattern: pattern.to_owned(), why }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(exclude: Option<&str>, include: Option<&str>) -> Result<Filter, BuildError> {
        Filter::new(("exclude", exclude), ("include", include), "^lo$")
    }

    /// Scenario: no option, either, both, a broken pattern.
    /// Guarantees: an option replaces the default pattern; both or a broken one are refused by name.
    #[test]
    fn patterns() {
        for (exclude, include, ignored, kept) in [
            (None, None, "lo", "eth0"),
            (Some("^eth"), None, "eth0", "lo"),
            (None, Some("^eth"), "lo", "eth0"),
        ] {
            let filter = filter(exclude, include).unwrap();
            assert!(filter.ignores(ignored) && !filter.ignores(kept));
        }
        assert!(!filter(Some(""), None).unwrap().ignores("lo"));
        assert!(filter(Some("a"), Some("b")).unwrap_err().to_string().contains("exclude each other"));
        let error = filter(Some("("), None).unwrap_err().to_string();
        assert_eq!(error, "exclude: \"(\" is no regular expression: unclosed group");
    }
}
