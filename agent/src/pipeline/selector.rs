//! Which lines a `match` means: LogQL's stream selector with filters of the line behind it.
//!
//! ```text
//! {app="shop", env!~"dev|test"} |= "order" != "health" |~ "id=[0-9]+" !~ `^#`
//! ```
//!
//! A label that a line does not have is an empty one; expressions for labels must match all of the value, those for
//! the line any part of it. Source: Loki's documentation of LogQL, log queries.

use std::sync::Arc;

use regex::Regex;

use super::api::Entry;
use super::dialect;
use super::option::{self, StageError};

/// See the file's head.
pub(super) struct Selector {
    labels: Vec<(Arc<str>, Test)>,
    filters: Vec<Test>,
}

/// What a text must be, or must not.
struct Test {
    wanted: bool,
    what: What,
}

enum What {
    Is(String),
    Has(String),
    Matches(Regex),
}

impl Test {
    fn holds(&self, text: &str) -> bool {
        let found = match &self.what {
            What::Is(wanted) => text == wanted,
            What::Has(wanted) => text.contains(&**wanted),
            What::Matches(regex) => regex.is_match(text),
        };
        found == self.wanted
    }
}

impl Selector {
    /// # Errors
    /// Says where it ends to be a selector.
    pub(super) fn parse(text: &str) -> Result<Self, StageError> {
        let mut reader = Reader { text, rest: text };
        let (mut labels, mut filters) = (Vec::new(), Vec::new());
        reader.expect("{")?;
        while !reader.take("}") {
            if !labels.is_empty() {
                reader.expect(",")?;
                if reader.take("}") {
                    break;
                }
            }
            let name = reader.name()?;
            let (wanted, whole) = reader.one_of(&[
                ("=~", (true, false)),
                ("!~", (false, false)),
                ("!=", (false, true)),
                ("=", (true, true)),
            ])?;
            let value = reader.string()?;
            let what = if whole {
                What::Is(value)
            } else {
                What::Matches(option::pattern("selector", &format!("^(?:{value})$"))?)
            };
            labels.push((name, Test { wanted, what }));
        }
        while !reader.is_at_end() {
            let (wanted, plain) = reader.one_of(&[
                ("|=", (true, true)),
                ("!=", (false, true)),
                ("|~", (true, false)),
                ("!~", (false, false)),
            ])?;
            let value = reader.string()?;
            let what =
                if plain { What::Has(value) } else { What::Matches(option::pattern("selector", &value)?) };
            filters.push(Test { wanted, what });
        }
        Ok(Self { labels, filters })
    }

    /// The line is meant.
    pub(super) fn matches(&self, entry: &Entry) -> bool {
        self.labels.iter().all(|(name, test)| test.holds(entry.labels.get(name).unwrap_or_default()))
            && self.filters.iter().all(|test| test.holds(&entry.line))
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn wrong<T>(&self, wanted: &str) -> Result<T, StageError> {
        let at = self.text.len() - self.rest.len();
        let why = format!(
            "{wanted} is wanted at byte {at}; a selector is {{label=\"value\"}} with filters such as |= \"text\" behind it"
        );
        Err(StageError::Option { option: "selector", value: self.text.to_owned(), why })
    }

    fn is_at_end(&mut self) -> bool {
        self.rest = self.rest.trim_start();
        self.rest.is_empty()
    }

    fn take(&mut self, word: &str) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, word: &str) -> Result<(), StageError> {
        if self.take(word) { Ok(()) } else { self.wrong(word) }
    }

    fn one_of<T: Copy>(&mut self, words: &[(&str, T)]) -> Result<T, StageError> {
        for (word, value) in words {
            if self.take(word) {
                return Ok(*value);
            }
        }
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        self.wrong(&format!("one of {}", words.join(" ")))
    }

    fn name(&mut self) -> Result<Arc<str>, StageError> {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        if end == 0 {
            return self.wrong("a label's name");
        }
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(name.into())
    }

    /// In double quotes with escapes, or in backquotes without.
    fn string(&mut self) -> Result<String, StageError> {
        self.rest = self.rest.trim_start();
        match dialect::go_string(self.rest) {
            Some((value, rest)) => {
                self.rest = rest;
                Ok(value)
            }
            None => self.wrong("a text in quotes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(labels: &[(&str, &str)], line: &str) -> Entry {
        Entry::of(ao_proto::model::Labels::from_pairs(labels.iter().copied()), line)
    }

    /// Scenario: selectors with every operator.
    /// Guarantees: each holds where LogQL says so; a missing label is an empty one.
    #[test]
    fn holds() {
        let it = entry(&[("app", "shop"), ("env", "dev")], "GET /order id=7");
        for (selector, expect) in [
            (r#"{app="shop"}"#, true),
            (r#"{app="shop", env="prod"}"#, false),
            (r#"{app=~"sh.p", env!~"prod|test",}"#, true),
            (r#"{app=~"sh"}"#, false),
            (r#"{missing=""}"#, true),
            (r#"{missing!="x"}"#, true),
            (r#"{} |= "order""#, true),
            (r#"{app="shop"} != "order""#, false),
            (r#"{app="shop"} |~ `id=\d$` !~ "health""#, true),
            (r#"{app="shop"} |= "order" |= "nothing""#, false),
        ] {
            assert_eq!(Selector::parse(selector).unwrap().matches(&it), expect, "{selector}");
        }
    }

    /// Scenario: what is no selector.
    /// Guarantees: an error that says what is wanted where.
    #[test]
    fn refused() {
        for (selector, message) in [
            ("app", "{ is wanted at byte 0"),
            (r#"{app}"#, "one of =~ !~ != = is wanted at byte 4"),
            (r#"{app="a" env="b"}"#, ", is wanted at byte 9"),
            (r#"{app="a"} | json"#, "one of |= != |~ !~ is wanted at byte 10"),
            (r#"{app="a"} |= order"#, "a text in quotes is wanted at byte 13"),
            (r#"{app=~"("}"#, "no regular expression"),
        ] {
            let error = Selector::parse(selector).err().unwrap().to_string();
            assert!(error.contains(message), "{selector}: {error}");
        }
    }
}
