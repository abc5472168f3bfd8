//! The part of Go's templates that pipelines use: texts with `{{ }}` in between, which put fields, texts and calls of
//! functions, one behind the other with `|`, or choose with `if`, `else if`, `else` and `end`. `{{-` and `-}}` take the
//! white space beside them away. Source: the documentation of Go's package text/template, and of Promtail's stage
//! `template` for the functions.

mod api;
mod functions;
mod parse;

use std::borrow::Cow;

use self::api::{Datum, Expression, Node};

/// A template that can be run.
pub(super) struct Template(Vec<Node>);

/// What a template may become, bytes at most.
const MOST_BYTES: usize = 1 << 20;

/// Says what a field has.
type Fields<'a> = &'a dyn Fn(&str) -> Option<Cow<'a, str>>;

impl Template {
    /// # Errors
    /// A sentence on what is not understood.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        parse::template(text).map(Self)
    }

    /// The text; none where a function cannot take what it is given, or it grows too long.
    pub(super) fn run(&self, fields: Fields<'_>) -> Option<String> {
        let mut out = String::new();
        put(&self.0, fields, &mut out)?;
        Some(out)
    }
}

fn put(nodes: &[Node], fields: Fields<'_>, out: &mut String) -> Option<()> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Put(expression) => out.push_str(&value(expression, fields)?.printed()),
            Node::If(branches) => {
                for (condition, nodes) in branches {
                    let chosen = match condition {
                        Some(condition) => value(condition, fields)?.is_true(),
                        None => true,
                    };
                    if chosen {
                        put(nodes, fields, out)?;
                        break;
                    }
                }
            }
        }
        if out.len() > MOST_BYTES {
            return None;
        }
    }
    Some(())
}

fn value(expression: &Expression, fields: Fields<'_>) -> Option<Datum> {
    match expression {
        Expression::Literal(datum) => Some(datum.clone()),
        Expression::Field(name) => {
            Some(fields(name).map_or(Datum::Nothing, |text| Datum::Text(text.into_owned())))
        }
        Expression::Call(function, arguments, regex) => {
            let arguments: Option<Vec<_>> = arguments.iter().map(|one| value(one, fields)).collect();
            let made = (function.run)(&arguments?, regex.as_ref())?;
            if matches!(&made, Datum::Text(text) if text.len() > MOST_BYTES) { None } else { Some(made) }
        }
    }
}

#[cfg(test)]
mod tests;
