//! Paths into JSON: the part of JMESPath that pipelines use. `a.b`, `"quoted name"`, `list[0]`, `list[-1]`, `@`, and
//! `a || b` for the first that is there. Source: jmespath.org, specification.

use serde_json::Value;

use super::option::StageError;

/// See the file's head.
pub(super) struct Path(Vec<Vec<Step>>);

enum Step {
    Field(String),
    Index(i64),
}

impl Path {
    /// # Errors
    /// What is none of the file's head, with the place.
    pub(super) fn parse(text: &str) -> Result<Self, StageError> {
        let mut rest = text;
        let mut alternatives = Vec::new();
        loop {
            let steps = steps(&mut rest).map_err(|what| {
                let at = text.len() - rest.len();
                let why = format!(
                    "{what} at byte {at}; there are names, \"quoted names\", dots, indexes such as [0], and ||"
                );
                StageError::Option { option: "expressions", value: text.to_owned(), why }
            })?;
            alternatives.push(steps);
            if rest.is_empty() {
                return Ok(Self(alternatives));
            }
        }
    }

    /// The value there; none where there is nothing, or null.
    pub(super) fn find<'a>(&self, tree: &'a Value) -> Option<&'a Value> {
        let (last, others) = self.0.split_last()?;
        let found = others.iter().filter_map(|steps| walk(steps, tree)).find(|value| is_true(value));
        found.or_else(|| walk(last, tree)).filter(|value| !value.is_null())
    }
}

/// As `||` sees it.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    }
}

fn walk<'a>(steps: &[Step], tree: &'a Value) -> Option<&'a Value> {
    steps.iter().try_fold(tree, |tree, step| match step {
        Step::Field(name) => tree.get(name),
        Step::Index(index) => {
            let list = tree.as_array()?;
            let from_end = || list.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?);
            list.get(usize::try_from(*index).ok().or_else(from_end)?)
        }
    })
}

/// Steps up to `||` or the end.
fn steps(rest: &mut &str) -> Result<Vec<Step>, &'static str> {
    let mut steps = Vec::new();
    *rest = rest.trim_start();
    if let Some(behind) = rest.strip_prefix('@') {
        *rest = behind;
    } else if !rest.starts_with('[') {
        steps.push(field(rest)?);
    }
    loop {
        *rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix("||") {
            *rest = behind;
            if behind.trim_start().is_empty() {
                return Err("a name is missing");
            }
            return Ok(steps);
        }
        if let Some(behind) = rest.strip_prefix('.') {
            *rest = behind.trim_start();
            steps.push(field(rest)?);
        } else if let Some(behind) = rest.strip_prefix('[') {
            let (index, behind) = behind.split_once(']').ok_or("a ] is missing")?;
            let index = index.trim().parse().map_err(|_| "no index")?;
            *rest = behind;
            steps.push(Step::Index(index));
        } else if rest.is_empty() {
            return Ok(steps);
        } else {
            return Err("something else");
        }
    }
}

fn field(rest: &mut &str) -> Result<Step, &'static str> {
    if rest.starts_with('"') {
        let mut texts = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let name = texts.next().and_then(Result::ok).ok_or("an open quote")?;
        let end = texts.byte_offset();
        *rest = &rest[end..];
        return Ok(Step::Field(name));
    }
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !rest.starts_with(is_first) {
        return Err("no name");
    }
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (name, behind) = rest.split_at(end);
    *rest = behind;
    Ok(Step::Field(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: paths that are there, that lead nowhere, and that are none.
    /// Guarantees: the value, nothing, or an error that says where.
    #[test]
    fn paths() {
        let tree = serde_json::json!({
            "a": {"b": [1, {"c": "deep"}], "x-y": 2}, "empty": "", "nothing": null, "zero": 0
        });
        for (path, expect) in [
            ("a.b[0]", Some("1")),
            ("a.b[-1].c", Some("\"deep\"")),
            ("a.b[1].c", Some("\"deep\"")),
            ("a.\"x-y\"", Some("2")),
            ("@.zero", Some("0")),
            ("empty || zero", Some("0")),
            ("nothing || missing || empty", Some("\"\"")),
            ("a.b[7]", None),
            ("a.b[-3]", None),
            ("zero.b", None),
            ("nothing", None),
        ] {
            let found = Path::parse(path).unwrap().find(&tree).map(ToString::to_string);
            assert_eq!(found.as_deref(), expect, "{path}");
        }
        for path in ["", "a.", "a b", "length(a)", "a[*]", "a[", "a ||", "\"a", "9", "a | b"] {
            let error = Path::parse(path).err().unwrap().to_string();
            assert!(error.contains("at byte"), "{path}: {error}");
        }
    }

    proptest! {
        /// Scenario: any text as a path.
        /// Guarantees: no panic.
        #[test]
        fn any_text(text in r#"[a-c.\[\]"|@ \\0-9-]{0,20}|\PC{0,20}"#) {
            if let Ok(path) = Path::parse(&text) {
                let _found = path.find(&serde_json::json!([{"a": 1}]));
            }
        }
    }
}
