//! Which of the many fields of a file are wanted, by a pattern.

use regex::Regex;

use super::api::BuildError;
use super::filter::{self, Names};

/// The kernel writes its fields in the same order at each reading, so what the pattern says of the field at a place is
/// remembered, with the metric's name and help: a round compares names, and neither matches nor allocates.
pub(super) struct Picker {
    pattern: Regex,
    /// What the metrics' names begin with, and their help texts.
    before: (&'static str, &'static str),
    places: Vec<Place>,
}

/// No file that is read so has more fields; further ones are left out.
const MAX_PLACES: usize = 1 << 14;

struct Place {
    /// The metric's name.
    name: String,
    /// `None` where it is not wanted.
    help: Option<String>,
}

impl Picker {
    /// `pattern` is the value of `option`, `before` what names and help texts of the metrics begin with.
    ///
    /// # Errors
    /// Where the pattern is no regular expression.
    pub(super) fn new(
        option: &'static str,
        pattern: &str,
        before: (&'static str, &'static str),
    ) -> Result<Self, BuildError> {
        Ok(Self { pattern: filter::compile(option, pattern, Names::Once)?, before, places: Vec::new() })
    }

    /// Name and help of the metric for the field at a place (from 0, in the file's order), where it is wanted. The
    /// field's name is `group`, `_` and `field`, or `field` alone where the group is empty.
    pub(super) fn metric(&mut self, place: usize, group: &str, field: &str) -> Option<(&str, &str)> {
        while self.places.len() <= place.min(MAX_PLACES - 1) {
            self.places.push(Place { name: String::new(), help: None });
        }
        let before = self.before.0.len();
        let known = self.places.get_mut(place)?;
        if !is_named(known.name.get(before..).unwrap_or_default(), group, field) {
            let name = &mut known.name;
            name.clear();
            name.push_str(self.before.0);
            name.push_str(group);
            if !group.is_empty() {
                name.push('_');
            }
            name.push_str(field);
            let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let wanted = is_name && self.pattern.is_match(&name[before..]);
            known.help = wanted.then(|| format!("{}{}.", self.before.1, &name[before..]));
        }
        Some((&known.name, known.help.as_deref()?))
    }
}

fn is_named(name: &str, group: &str, field: &str) -> bool {
    let rest = if group.is_empty() {
        Some(name)
    } else {
        name.strip_prefix(group).and_then(|rest| rest.strip_prefix('_'))
    };
    !field.is_empty() && rest == Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the same places with the same fields, then with others, then one that is no metric's name.
    /// Guarantees: the answer is always that of the field that is asked for.
    #[test]
    fn places() {
        let mut picker = Picker::new("fields", "^(Tcp_In.*|pg.*)$", ("node_", "Field ")).unwrap();
        for _ in 0..2 {
            for (place, group, field, wanted) in [
                (0, "Tcp", "InSegs", Some(("node_Tcp_InSegs", "Field Tcp_InSegs."))),
                (1, "Tcp", "OutSegs", None),
                (7, "", "pgfault", Some(("node_pgfault", "Field pgfault."))),
                (0, "", "pgin", Some(("node_pgin", "Field pgin."))),
                (1, "Tcp_In", "Segs", Some(("node_Tcp_In_Segs", "Field Tcp_In_Segs."))),
                (2, "", "pg in", None),
                (MAX_PLACES, "", "pgin", None),
            ] {
                assert_eq!(picker.metric(place, group, field), wanted);
            }
        }
        assert!(Picker::new("fields", "(", ("", "")).is_err());
    }
}
